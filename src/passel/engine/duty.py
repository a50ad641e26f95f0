"""Background duties: one class each, on this base that writes start, tick and stop once."""

import asyncio
import contextlib

import structlog

from passel.store.database import is_passing

log = structlog.get_logger()


class Duty:
    """Calls `tick` every `interval` seconds until stopped. A tick that fails is logged and tried again later."""

    interval: float = 1.0

    def __init__(self) -> None:
        self._stop = asyncio.Event()

    async def tick(self) -> None:
        raise NotImplementedError  # each duty says what it does

    async def run(self) -> None:
        while not self._stop.is_set():
            try:
                await self.tick()
            except Exception as error:
                if is_passing(error):
                    log.debug("duty waits for the database", duty=type(self).__name__)
                else:
                    log.exception("duty failed", duty=type(self).__name__)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), self.interval)

    def stop(self) -> None:
        self._stop.set()
