"""How often a key may call this face (D23): a token bucket for each key, in the memory of the process that serves it."""

import math
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from passel.core.errors import RateLimited
from passel.core.ids import KeyId
from passel.faces.kit.errors import Refuse

_KEYS = 10_000


class Standing(NamedTuple):
    """How a key stands after a call: whether it was allowed, how many more are, and in how many seconds all are back and one is."""

    allowed: bool
    remaining: int
    full_in: float
    next_in: float


@dataclass
class Buckets:
    """`per_minute` calls flow in, and up to `burst` more may have gathered. A full bucket is as good as none, so those of keys
    that have not called for longest are forgotten."""

    per_minute: int
    burst: int
    clock: Callable[[], float] = time.monotonic
    _levels: OrderedDict[KeyId, tuple[float, float]] = field(default_factory=OrderedDict[KeyId, tuple[float, float]])

    @property
    def size(self) -> int:
        return self.per_minute + self.burst

    def take(self, key_id: KeyId) -> Standing:
        now, flow = self.clock(), self.per_minute / 60
        level, at = self._levels.pop(key_id, (float(self.size), now))
        level = min(self.size, level + (now - at) * flow)
        if allowed := level >= 1:
            level -= 1
        self._levels[key_id] = level, now
        if len(self._levels) > _KEYS:
            self._levels.popitem(last=False)
        return Standing(allowed, int(level), (self.size - level) / flow, max(0.0, 1 - level) / flow)


class RateLimit:
    """Answers 429 to a key that calls too often, and says in the headers of every answer how it stands. Stands behind `RequireKey`."""

    def __init__(self, app: ASGIApp, buckets: Buckets, owns: Callable[[str], bool], refuse: Refuse) -> None:
        self._app, self._buckets, self._owns, self._refuse = app, buckets, owns, refuse

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        caller = scope.get("state", {}).get("caller") if scope["type"] == "http" else None
        if caller is None or not self._owns(scope["path"]):
            await self._app(scope, receive, send)
            return
        standing = self._buckets.take(caller.key_id)
        headers = self._headers(standing)

        async def tell(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *headers]
            await send(message)

        if standing.allowed:
            await self._app(scope, receive, tell)
            return
        error = RateLimited(f"Too many requests: this key may make {self._buckets.per_minute} a minute")
        await self._refuse(scope, error)(scope, receive, tell)

    def _headers(self, standing: Standing) -> list[tuple[bytes, bytes]]:
        told = {
            b"x-ratelimit-limit": self._buckets.per_minute,
            b"x-ratelimit-remaining": standing.remaining,
            b"x-ratelimit-reset": math.ceil(time.time() + standing.full_in),
        }
        if not standing.allowed:
            told[b"retry-after"] = math.ceil(standing.next_in)
        return [(name, str(value).encode()) for name, value in told.items()]
