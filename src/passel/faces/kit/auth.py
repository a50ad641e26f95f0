"""Who is calling: a bearer key, looked up by its hash and remembered for some seconds.

Those who ask for one key at the same time, such as the streams of a client, share one look.
Keys are checked before anything of a body is read: a stranger's upload costs nothing but its headers. A key that is
revoked through this process stops working at once; one that another process revokes, when it is looked up again.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable

from starlette.types import ASGIApp, Receive, Scope, Send

from passel.core.errors import Forbidden, PasselError, Unauthenticated
from passel.core.ids import KeyId
from passel.faces.kit.errors import Refuse
from passel.services import accounts
from passel.services.deps import Caller, Deps

_REMEMBERED_SECONDS = 5.0  # so long a key that another process revokes may still work
_REMEMBERED_KEYS = 10_000


class Authenticator:
    def __init__(self, deps: Deps) -> None:
        self._deps = deps
        self._known: OrderedDict[str, tuple[float, Caller]] = OrderedDict()
        self._looking: dict[str, asyncio.Task[Caller]] = {}
        self._forgotten = 0

    async def identify(self, authorization: str) -> Caller:
        """The caller of a request with this header. Raises `Unauthenticated`."""
        scheme, _, secret = authorization.partition(" ")
        if scheme.lower() != "bearer" or not secret.strip():
            raise Unauthenticated("Missing or invalid API key")
        return await self._caller(secret.strip())

    def forget(self, key_id: KeyId) -> None:
        """A key was revoked. What is being looked up just now is not remembered either: it may be that key."""
        self._forgotten += 1
        self._looking.clear()
        for secret in [secret for secret, (_, caller) in self._known.items() if caller.key_id == key_id]:
            del self._known[secret]

    async def _caller(self, secret: str) -> Caller:
        now = time.monotonic()
        known = self._known.get(secret)
        if known and known[0] > now:
            return known[1]
        looking = self._looking.get(secret)
        if looking is None or looking.done():
            looking = self._looking[secret] = asyncio.create_task(self._look_up(secret, now))
            looking.add_done_callback(lambda ended: self._looked(secret, ended))
        return await asyncio.shield(looking)

    def _looked(self, secret: str, ended: asyncio.Task[Caller]) -> None:
        if self._looking.get(secret) is ended:
            del self._looking[secret]
        if not ended.cancelled():
            ended.exception()  # seen, also when nobody waits any more

    async def _look_up(self, secret: str, now: float) -> Caller:
        forgotten = self._forgotten
        caller = await accounts.authenticate(self._deps, secret)
        if forgotten == self._forgotten:
            self._known[secret] = (now + _REMEMBERED_SECONDS, caller)
            if len(self._known) > _REMEMBERED_KEYS:
                self._known.popitem(last=False)
        return caller


class RequireKey:
    """Answers 401 to requests without a good key, and 403 to keys without `scope`; `public` says which need none."""

    def __init__(self, app: ASGIApp, authenticator: Authenticator, public: Callable[[Scope], bool], scope: str, refuse: Refuse) -> None:
        self._app, self._authenticator, self._public, self._scope, self._refuse = app, authenticator, public, scope, refuse

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or self._public(scope):
            await self._app(scope, receive, send)
            return
        header = next((value for name, value in scope["headers"] if name == b"authorization"), b"")
        try:
            caller = await self._authenticator.identify(header.decode("latin-1"))
            if self._scope not in caller.scopes:
                raise Forbidden(f"this API key has the scopes {', '.join(caller.scopes)}, and this call needs {self._scope}")
        except PasselError as error:
            await self._refuse(scope, error)(scope, receive, send)
            return
        scope.setdefault("state", {})["caller"] = caller
        await self._app(scope, receive, send)
