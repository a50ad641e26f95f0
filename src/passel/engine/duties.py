"""The duties of a worker. Each takes an advisory lock, so one process at a time does the work; none is a leader."""

from datetime import timedelta

import structlog

from passel.core.clock import Clock
from passel.engine.attempt import Attempts
from passel.engine.duty import Duty
from passel.store import batches, jobs, turns
from passel.store.database import Database, WriteConnection
from passel.store.jobs import Job
from passel.store.turns import Capacity

log = structlog.get_logger()

_FEEDER, _RECONCILER, _CANCELLER, _PRUNER, _AUDITOR = 7_254_101, 7_254_102, 7_254_103, 7_254_104, 7_254_105


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


class Evictor(Duty):
    """Ends attempts of this worker whose lease is lost, by a cancellation above all: their calls would still cost."""

    interval = 1.0

    def __init__(self, db: Database, attempts: Attempts) -> None:
        super().__init__()
        self._db, self._attempts = db, attempts

    async def tick(self) -> None:
        leases = [held.lease for held in self._attempts.held.values()]
        if not leases:
            return
        async with self._db.read() as c:
            lost = await turns.lost_leases(c, leases)
        for lease in leases:
            held = self._attempts.held.get(lease.session_id)
            if lease.session_id in lost and held is not None and held.lease is lease:
                self._attempts.evict(lease.session_id)


class Auditor(Duty):
    """Recounts the slots of lanes. Finding one wrong is a bug, and would otherwise hold admission up for ever."""

    interval = 30.0

    def __init__(self, db: Database) -> None:
        super().__init__()
        self._db = db

    async def tick(self) -> None:
        async with self._db.write() as c:
            if await _alone(c, _AUDITOR) and (wrong := await turns.recount_lanes(c)):
                log.error("lanes had a wrong number of active sessions and were set right", lanes=wrong)


class Pruner(Duty):
    """Keeps PgQueuer's log small, which nothing else does."""

    interval = 30.0

    def __init__(self, db: Database, clock: Clock, keep: timedelta = timedelta(minutes=10)) -> None:
        super().__init__()
        self._db, self._clock, self._keep = db, clock, keep

    async def tick(self) -> None:
        more = True
        while more and not self._stop.is_set():
            async with self._db.write() as c:
                done = await c.execute("prune_job_log", self._clock() - self._keep) if await _alone(c, _PRUNER) else "DELETE 0"
                more = done == "DELETE 50000"
