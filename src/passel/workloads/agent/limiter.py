"""How many calls of one provider key run at once: as many as the provider takes.

Additive increase, multiplicative decrease, as TCP does it. An overload lowers the limit to 0.7 of what ran then, at
most once a second (one burst of 429s is one message), and nothing new leaves before `Retry-After` has passed.
Every answer raises it by 1/limit, so by about one a round trip, up to the ceiling.
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

_DECREASE = 0.7
_SETTLE_SECONDS = 1.0


class AdaptiveLimit:
    def __init__(self, ceiling: int) -> None:
        self.ceiling = ceiling
        self.limit = float(ceiling)
        self.running = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._paused_until = 0.0
        self._lowered_at = float("-inf")
        self._timer: asyncio.TimerHandle | None = None

    @asynccontextmanager
    async def slot(self) -> AsyncGenerator[None]:
        """Hold one of the places. What came of the call is told with `answered` or `overloaded`."""
        await self._enter()
        try:
            yield
        finally:
            self.running -= 1
            self._let_in()

    def answered(self) -> None:
        self.limit = min(self.ceiling, self.limit + 1 / self.limit)

    def overloaded(self, retry_after: float) -> None:
        now = time.monotonic()
        self._paused_until = max(self._paused_until, now + retry_after)
        if now - self._lowered_at >= _SETTLE_SECONDS:
            self._lowered_at = now
            self.limit = max(1.0, min(self.limit, self.running) * _DECREASE)

    @property
    def idle(self) -> bool:
        return not self.running and not self._waiting and time.monotonic() >= self._paused_until

    async def _enter(self) -> None:
        if not self._waiting and self._has_room():
            self.running += 1
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        self._let_in()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.running -= 1  # let in and cancelled in the same moment
                self._let_in()
            raise

    def _has_room(self) -> bool:
        return self.running < max(1, int(self.limit)) and time.monotonic() >= self._paused_until

    def _let_in(self) -> None:
        while self._waiting and self._has_room():
            turn = self._waiting.popleft()
            if not turn.done():
                self.running += 1
                turn.set_result(None)
        pause = self._paused_until - time.monotonic()
        if self._waiting and pause > 0 and self._timer is None:
            # a little late: a loop that rounds to milliseconds would wake us while the pause still holds
            self._timer = asyncio.get_running_loop().call_later(pause + 0.002, self._pause_ended)

    def _pause_ended(self) -> None:
        self._timer = None
        self._let_in()
