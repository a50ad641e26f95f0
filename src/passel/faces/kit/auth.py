"""Who is calling: a bearer key, looked up by its hash and remembered for some seconds."""

import time
from collections import OrderedDict

from starlette.requests import Request

from passel.core.errors import Unauthenticated
from passel.services import accounts
from passel.services.deps import Caller, Deps

_REMEMBERED_SECONDS = 5.0  # so long a revoked key may still work
_REMEMBERED_KEYS = 10_000


class Authenticator:
    def __init__(self, deps: Deps) -> None:
        self._deps = deps
        self._known: OrderedDict[str, tuple[float, Caller]] = OrderedDict()

    async def __call__(self, request: Request) -> Caller:
        scheme, _, secret = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not secret.strip():
            raise Unauthenticated("Missing or invalid API key")
        return await self._caller(secret.strip())

    async def _caller(self, secret: str) -> Caller:
        now = time.monotonic()
        known = self._known.get(secret)
        if known and known[0] > now:
            return known[1]
        caller = await accounts.authenticate(self._deps, secret)
        self._known[secret] = (now + _REMEMBERED_SECONDS, caller)
        if len(self._known) > _REMEMBERED_KEYS:
            self._known.popitem(last=False)
        return caller
