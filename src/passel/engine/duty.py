"""Background duties: one class each, on this base that writes start, tick and stop once."""

import asyncio
import contextlib

import structlog

from passel.store.database import is_passing

log = structlog.get_logger()


class Duty:
    """Calls `tick` every `interval` seconds, and when it is woken, until stopped. A tick that fails is logged and tried
    again later."""

    interval: float = 1.0

    def __init__(self) -> None:
        self._stopped = False
        self._wake = asyncio.Event()

    async def tick(self) -> None:
        """One round. An error is logged by `run`, and the next round comes as ever."""
        raise NotImplementedError  # each duty says what it does

    @property
    def stopping(self) -> bool:
        """For ticks of many steps: whether to leave off before the next one."""
        return self._stopped

    async def run(self) -> None:
        while not self._stopped:
            self._wake.clear()
            try:
                await self.tick()
            except Exception as error:
                if is_passing(error):
                    log.debug("duty waits for the database", duty=type(self).__name__)
                else:
                    log.exception("duty failed", duty=type(self).__name__)
            if self._stopped:
                return
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), self.interval)

    def wake(self) -> None:
        """Tick now."""
        self._wake.set()

    def stop(self) -> None:
        """No more ticks; `run` returns when the one under way has ended."""
        self._stopped = True
        self._wake.set()
