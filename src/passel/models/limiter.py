"""How many calls of one provider key run at once: as many as the provider takes.

Additive increase, multiplicative decrease, as TCP does it. An overload lowers the limit to 0.7 of what ran then, at
most once a second (one burst of 429s is one message), and nothing new leaves before `Retry-After` has passed.
Every answer raises it by 1/limit, so by about one a round trip, up to the ceiling. A pause that is too long to be
waited for in place is said to everybody who waits, or comes: `Closed`.
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

_DECREASE = 0.7
_SETTLE_SECONDS = 1.0
_LONGEST_PAUSE = 2.0


class Closed(Exception):
    """Nothing leaves for `seconds`: come back then instead of waiting here."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"closed for {seconds:.1f} s")
        self.seconds = seconds


class AdaptiveLimit:
    """`limit` is how many calls may run now, from 1 to `ceiling`; `running` how many do."""

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
        """Hold one of the places. What came of the call is told with `answered` or `overloaded`. Raises `Closed`."""
        await self._enter()
        try:
            yield
        finally:
            self.running -= 1
            self._let_in()

    def answered(self) -> None:
        """A call got its answer: the limit rises."""
        self.limit = min(self.ceiling, self.limit + 1 / self.limit)

    def overloaded(self, retry_after: float) -> None:
        """A call was turned away, told while its slot is held: the limit falls. `retry_after` in seconds, 0 where the
        provider named none."""
        now = time.monotonic()
        self._paused_until = max(self._paused_until, now + retry_after)
        if now - self._lowered_at >= _SETTLE_SECONDS:
            self._lowered_at = now
            self.limit = max(1.0, min(self.limit, self.running) * _DECREASE)
        if self._pause > _LONGEST_PAUSE:
            self._send_away()

    @property
    def idle(self) -> bool:
        """Nobody runs, waits or is held off."""
        return not self.running and not self._waiting and self._pause <= 0

    @property
    def _pause(self) -> float:
        return self._paused_until - time.monotonic()

    def _send_away(self) -> None:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_exception(Closed(self._pause))

    async def _enter(self) -> None:
        if self._pause > _LONGEST_PAUSE:
            raise Closed(self._pause)
        if not self._waiting and self._has_room():
            self.running += 1
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        self._let_in()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self.running -= 1  # let in and cancelled in the same moment
                self._let_in()
            raise

    def _has_room(self) -> bool:
        return self.running < max(1, int(self.limit)) and self._pause <= 0

    def _let_in(self) -> None:
        while self._waiting and self._has_room():
            turn = self._waiting.popleft()
            if not turn.done():
                self.running += 1
                turn.set_result(None)
        if self._waiting and self._pause > 0 and self._timer is None:
            # a little late: a loop that rounds to milliseconds would wake us while the pause still holds
            self._timer = asyncio.get_running_loop().call_later(self._pause + 0.002, self._pause_ended)

    def _pause_ended(self) -> None:
        self._timer = None
        self._let_in()
