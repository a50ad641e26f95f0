"""The duties of a worker. Each takes an advisory lock, so one process at a time does the work; none is a leader."""

from datetime import timedelta

import structlog

from passel.core.clock import Clock
from passel.engine.duty import Duty
from passel.store import batches, jobs, turns
from passel.store.database import Database, WriteConnection
from passel.store.jobs import Job
from passel.store.turns import Capacity

log = structlog.get_logger()

_FEEDER, _RECONCILER, _CANCELLER, _PRUNER = 7_254_101, 7_254_102, 7_254_103, 7_254_104


async def _alone(c: WriteConnection, lock: int) -> bool:
    return await c.raw.fetchval("select pg_try_advisory_xact_lock($1)", lock)


class Feeder(Duty):
    """Admits what those who end items leave open: lanes that grew, batches whose last slot went to another."""

    interval = 0.5

    def __init__(self, db: Database, capacity: Capacity) -> None:
        super().__init__()
        self._db, self._capacity = db, capacity

    async def tick(self) -> None:
        async with self._db.write() as c:
            if await _alone(c, _FEEDER):
                rows = await c.fetch("hungry_lanes", self._capacity.default, self._capacity.local)
                if rows:
                    await turns.admit(c, [row["id"] for row in rows], self._capacity)


class Reconciler(Duty):
    """Queues active messages again that no live job belongs to."""

    interval = 3.0

    def __init__(self, db: Database) -> None:
        super().__init__()
        self._db = db

    async def tick(self) -> None:
        async with self._db.write() as c:
            if not await _alone(c, _RECONCILER):
                return
            rows = await c.fetch("orphaned_messages")
            orphans = [Job(row["session_id"], row["message_id"]) for row in rows]
            await jobs.enqueue(c, orphans, [row["fence"] for row in rows], priority=jobs.DIRECT_PRIORITY)
            if orphans:
                log.warning("messages without a job were queued again", messages=len(orphans))


class Canceller(Duty):
    """Finishes cancellations that the request itself left to be done, in steps that hold locks for a moment only."""

    interval = 1.0
    _step = 500

    def __init__(self, db: Database, clock: Clock, capacity: Capacity) -> None:
        super().__init__()
        self._db, self._clock, self._capacity = db, clock, capacity

    async def tick(self) -> None:
        async with self._db.read() as c:
            waiting = await batches.cancelling_batches(c)
        for batch_id in waiting:
            more = True
            while more and not self._stop.is_set():
                async with self._db.write() as c:
                    more = await _alone(c, _CANCELLER) and await batches.cancel_some(c, batch_id, self._step, self._clock(), self._capacity)


class Pruner(Duty):
    """Keeps PgQueuer's log small, which nothing else does."""

    interval = 30.0

    def __init__(self, db: Database, clock: Clock, keep: timedelta = timedelta(minutes=10)) -> None:
        super().__init__()
        self._db, self._clock, self._keep = db, clock, keep

    async def tick(self) -> None:
        async with self._db.write() as c:
            if await _alone(c, _PRUNER):
                await c.execute("prune_job_log", self._clock() - self._keep)
