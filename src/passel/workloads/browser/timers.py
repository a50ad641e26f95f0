"""When a browser session ends by itself: a while after its last client has gone, or at its longest age, whichever comes first."""

import asyncio
from collections.abc import Callable

from passel.core.browser.configuration import Configuration
from passel.core.browser.events import IDLE_TIMEOUT, MAX_DURATION


class Timers:
    """`over` is told the reason, once."""

    def __init__(self, configuration: Configuration, over: Callable[[str], None]) -> None:
        self._idle_seconds, self._over = configuration.idle_seconds, over
        self._loop = asyncio.get_running_loop()
        self._connected = 0
        self._idle: asyncio.TimerHandle | None = None
        self._most_seconds = configuration.max_seconds
        self._most: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        """With the session being ready (D6)."""
        if self._most_seconds is not None:
            self._most = self._loop.call_later(self._most_seconds, self._over, MAX_DURATION)
        self._begin_idle()

    def connected(self) -> None:
        self._connected += 1
        self._end_idle()

    def disconnected(self) -> None:
        self._connected -= 1
        self._begin_idle()

    def close(self) -> None:
        self._end_idle()
        self._idle_seconds = None
        if self._most is not None:
            self._most.cancel()

    def _begin_idle(self) -> None:
        self._end_idle()
        if not self._connected and self._idle_seconds is not None:
            self._idle = self._loop.call_later(self._idle_seconds, self._over, IDLE_TIMEOUT)

    def _end_idle(self) -> None:
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None
