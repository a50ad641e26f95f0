"""A worker: takes jobs, runs attempts, and drains when asked to stop."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta

import structlog
from pgqueuer.errors import RetryRequested

from passel.engine.attempt import Attempts
from passel.engine.duty import Duty
from passel.engine.queue import Queue
from passel.store import turns
from passel.store.database import Database, is_passing, pause_before_retry
from passel.store.jobs import Job

log = structlog.get_logger()

_LAST_WRITES_SECONDS = 10.0


class Worker:
    """`run` returns when `stop` was called and everything is finished or handed back."""

    def __init__(self, db: Database, queue: Queue, attempts: Attempts, duties: Sequence[Duty], drain_seconds: float) -> None:
        self._db, self._queue, self._attempts, self._duties = db, queue, attempts, duties
        self._running: set[asyncio.Task[None]] = set()
        self._stop = asyncio.Event()
        self._drain_seconds = drain_seconds

    def stop(self) -> None:
        self._stop.set()

    async def run(self) -> None:
        journal = asyncio.create_task(self._attempts.journal.run())
        duties = [asyncio.create_task(duty.run()) for duty in self._duties]
        queue = asyncio.create_task(self._queue.run(self._handle))
        stopped = asyncio.create_task(self._stop.wait())
        try:
            await asyncio.wait([queue, journal, stopped], return_when=asyncio.FIRST_COMPLETED)
            for task in (queue, journal):
                if task.done() and not self._stop.is_set():
                    await task  # raises what ended it; the parent starts a new process
        finally:
            self._stop.set()
            await self._drain(queue)
            for duty in self._duties:
                duty.stop()
            await asyncio.gather(*duties, return_exceptions=True)
            self._attempts.journal.stop()
            if not (await asyncio.wait([journal], timeout=_LAST_WRITES_SECONDS))[0]:
                log.warning("the database is away: the last writes could not be made")
                journal.cancel()
            stopped.cancel()

    async def _handle(self, job: Job) -> None:
        if self._stop.is_set():
            raise RetryRequested(timedelta(0), "the worker is shutting down")  # back into the queue
        task = asyncio.current_task()
        assert task is not None
        self._running.add(task)
        try:
            await self._attempts.run(job)
        finally:
            self._running.discard(task)

    async def _drain(self, queue: asyncio.Task[None]) -> None:
        """Take nothing new, let what runs finish for a while, hand back the rest."""
        self._queue.stop()
        if self._running:
            log.info("draining", running=len(self._running), seconds=self._drain_seconds)
            await asyncio.wait(list(self._running), timeout=self._drain_seconds)
        while left := [work for work in self._running if not work.done()]:
            for work in left:
                work.cancel()
            await asyncio.wait(left)
        await self._hand_back()
        _, late = await asyncio.wait([queue], timeout=_LAST_WRITES_SECONDS)
        self._queue.give_up()
        if late:
            queue.cancel()
            await asyncio.wait([queue], timeout=_LAST_WRITES_SECONDS)
        if queue.done() and not queue.cancelled() and (error := queue.exception()):
            log.warning("the queue ended with an error", error=str(error) or repr(error))

    async def _hand_back(self) -> None:
        leases = [held.lease for held in self._attempts.held.values()]
        for tries in range(20):
            if not leases:
                return
            try:
                async with self._db.write() as c:
                    handed = await turns.hand_back(c, leases, self._queue.owner)
            except Exception as error:
                if not is_passing(error):
                    raise
                await pause_before_retry(tries)
                continue
            log.info("handed back", sessions=handed)
            return
        log.warning("the database is away: others will take these sessions over", sessions=len(leases))
