"""Quarantine: messages that may have killed their worker run again in processes of their own.

When a worker dies, what it had in its hands is suspect (`reap_messages.sql`). A message that only waited for the
outside goes on at once with everybody: nearly always it has nothing to do with the death, and thousands may have
waited. One that was being worked on, or died with a worker twice, runs in a small group apart; one that a group is lost
with runs alone, and only the deaths of such a worker are counted as its own. So a message that kills whatever touches
it soon takes nobody along and fails after its tries, and the innocents that were in flight with it keep theirs.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import structlog

from passel.engine.duty import Duty
from passel.store import attempts
from passel.store.database import Database

log = structlog.get_logger()


class Quarantine(Duty):
    """Runs up to `processes` quarantine workers while there are suspects. `run_process` starts one and returns its
    exit code when it has ended; it ends by itself when no suspects are left."""

    interval = 0.5

    def __init__(self, db: Database, kinds: Sequence[str], processes: int, run_process: Callable[[], Awaitable[int]]) -> None:
        super().__init__()
        self._db, self._kinds, self._processes, self._run_process = db, kinds, processes, run_process
        self._running: set[asyncio.Task[None]] = set()

    async def tick(self) -> None:
        if len(self._running) >= self._processes:
            return
        async with self._db.read() as c:
            if not await attempts.has_suspects(c, self._kinds):
                return
        while len(self._running) < self._processes and not self.stopping:
            task = asyncio.create_task(self._run_one())
            self._running.add(task)
            task.add_done_callback(self._running.discard)

    async def _run_one(self) -> None:
        code = await self._run_process()
        if code:
            log.warning("a quarantine process died with what it had in its hands", code=code)

    def stop(self) -> None:
        """End the processes that run, too; what they have in their hands is handed back."""
        super().stop()
        for task in self._running:
            task.cancel()


class Until(Duty):
    """Of a quarantine process: ends it when there is nothing left to do."""

    interval = 1.0

    def __init__(self, db: Database, kinds: Sequence[str], busy: Callable[[], bool], end: Callable[[], None]) -> None:
        super().__init__()
        self._db, self._kinds, self._busy, self._end = db, kinds, busy, end

    async def tick(self) -> None:
        if self._busy():
            return
        async with self._db.read() as c:
            if not await attempts.has_suspects(c, self._kinds) and not self._busy():
                self._end()
