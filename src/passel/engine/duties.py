"""The duties of a worker. Each takes an advisory lock, so one process at a time does the work; none is a leader."""

import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, Protocol

import structlog

from passel.core.clock import Clock
from passel.core.ids import BatchId, MessageId, WorkerId
from passel.engine.attempt import Attempts
from passel.engine.duty import Duty
from passel.store import admission, attempts, cancelling, deleting, waking, workers
from passel.store.admission import Capacity
from passel.store.announcing import Announcing
from passel.store.database import Database, ReadConnection, WriteConnection

log = structlog.get_logger()

_FEEDER, _WAKER, _CANCELLER, _DELETER, _AUDITOR = 7_254_101, 7_254_102, 7_254_103, 7_254_104, 7_254_105
_SWEEPER, _IMPATIENCE = 7_254_110, 7_254_111
_AT_ONCE = 500


class Feeder(Duty):
    """Admits what those who end items leave open: lanes that grew, batches whose last place went to another."""

    interval = 0.5

    def __init__(self, db: Database, clock: Clock, capacity: Capacity) -> None:
        super().__init__()
        self._db, self._clock, self._capacity = db, clock, capacity

    async def tick(self) -> None:
        async with self._db.write() as c:
            if await c.fetchval("try_duty_lock", _FEEDER):
                await admission.feed(c, self._capacity, self._clock())


class Waker(Duty):
    """Wakes messages whose moment has come."""

    interval = 0.25

    def __init__(self, db: Database, clock: Clock, capacity: Capacity) -> None:
        super().__init__()
        self._db, self._clock, self._capacity = db, clock, capacity

    async def tick(self) -> None:
        more = True
        while more and not self.stopping:
            async with self._db.write() as c:
                alone = await c.fetchval("try_duty_lock", _WAKER)
                more = alone and await waking.wake_due(c, _AT_ONCE, self._clock(), self._capacity) == _AT_ONCE


class _OfBatches(Duty):
    """Goes on with what requests have left to be done of batches, in steps that hold locks for a moment only."""

    interval = 1.0
    lock: int

    def __init__(self, db: Database, clock: Clock, capacity: Capacity, announcing: Announcing) -> None:
        super().__init__()
        self._db, self._clock, self._capacity, self._announcing = db, clock, capacity, announcing

    async def left(self, c: ReadConnection) -> list[BatchId]:
        """The batches that something is left to be done of."""
        raise NotImplementedError

    async def step(self, c: WriteConnection, batch_id: BatchId) -> bool:
        """Whether there may be more."""
        raise NotImplementedError

    async def tick(self) -> None:
        async with self._db.read() as c:
            left = await self.left(c)
        for batch_id in left:
            more = True
            while more and not self.stopping:
                async with self._db.write() as c:
                    more = await c.fetchval("try_duty_lock", self.lock) and await self.step(c, batch_id)


class Canceller(_OfBatches):
    """Finishes cancellations."""

    lock = _CANCELLER

    async def left(self, c: ReadConnection) -> list[BatchId]:
        return await cancelling.cancelling_batches(c)

    async def step(self, c: WriteConnection, batch_id: BatchId) -> bool:
        return await cancelling.cancel_some(c, batch_id, _AT_ONCE, self._clock(), self._capacity, self._announcing) > 0


class Deleter(_OfBatches):
    """Removes what is left of batches that are deleted."""

    lock = _DELETER

    async def left(self, c: ReadConnection) -> list[BatchId]:
        return await deleting.deleting_batches(c)

    async def step(self, c: WriteConnection, batch_id: BatchId) -> bool:
        return await deleting.delete_some(c, batch_id, _AT_ONCE, self._clock(), self._capacity, self._announcing)


class Impatience(Duty):
    """Fails messages of a kind that nobody has taken up for so long: whoever asked for them has gone by then."""

    interval = 2.0

    def __init__(self, db: Database, clock: Clock, capacity: Capacity, announcing: Announcing, kind: str, most: timedelta) -> None:
        super().__init__()
        self._db, self._clock, self._capacity, self._announcing = db, clock, capacity, announcing
        self._kind, self._most = kind, most

    async def tick(self) -> None:
        more = True
        while more and not self.stopping:
            now = self._clock()
            async with self._db.write() as c:
                alone = await c.fetchval("try_duty_lock", _IMPATIENCE)
                failed = alone and await cancelling.fail_untouched(
                    c, self._kind, now - self._most, _AT_ONCE, now, self._capacity, self._announcing
                )
            more = failed == _AT_ONCE


class Evictor(Duty):
    """Holds what this worker has in its hands against what the database says. Looks when it is told to, and now and
    then.

    - Attempts whose lease is lost, by a cancellation above all, are ended: what they do would still cost.
    - Messages that are with this worker and that it does not hold are handed back: the commit of their claim was done
      and its answer lost. Those that were seen so twice; a claim may be under way.
    """

    interval = 5.0

    def __init__(self, db: Database, clock: Clock, capacity: Capacity, running: Attempts, worker_id: Callable[[], WorkerId | None]) -> None:
        super().__init__()
        self._db, self._clock, self._capacity, self._attempts, self._worker_id = db, clock, capacity, running, worker_id
        self._adrift: dict[MessageId, float] = {}

    async def tick(self) -> None:
        await self._evict()
        await self.hand_back_adrift(self.interval)

    async def hand_back_adrift(self, seen_for: float) -> None:
        """Hand back what has been with us, and not held, for so many seconds."""
        if (worker := self._worker_id()) is None:
            return
        async with self._db.read() as c:
            adrift = await attempts.adrift(c, worker, list(self._attempts.held))
        now = time.monotonic()
        self._adrift = {lease.message_id: self._adrift.get(lease.message_id, now) for lease in adrift}
        lost = [one for one in adrift if now - self._adrift[one.message_id] >= seen_for and one.message_id not in self._attempts.held]
        if lost:
            async with self._db.write() as c:
                handed = await attempts.hand_back(c, lost, self._clock(), self._capacity)
            log.warning("messages that this worker began and did not know of were handed back", messages=handed)

    async def _evict(self) -> None:
        held = dict(self._attempts.held)
        if not held:
            return
        async with self._db.read() as c:
            lost = await attempts.lost_leases(c, [one.lease for one in held.values()])
        for message_id in lost:
            if self._attempts.held.get(message_id) is held[message_id]:
                self._attempts.evict(message_id)


class Auditor(Duty):
    """Recounts the places of lanes, and looks for messages that nobody has in his hands. Finding anything is a bug,
    and would otherwise hold work up for ever. Sweeps lanes that nobody uses any more."""

    interval = 30.0
    _keep_lanes = timedelta(days=1)

    def __init__(self, db: Database, clock: Clock, capacity: Capacity) -> None:
        super().__init__()
        self._db, self._clock, self._capacity = db, clock, capacity

    async def tick(self) -> None:
        async with self._db.write() as c:
            if not await c.fetchval("try_duty_lock", _AUDITOR):
                return
            if lost := await workers.orphaning_workers(c):
                taken = await attempts.reap(c, lost, self._clock(), self._capacity)
                log.error("messages were with workers that are not there, and were taken over", messages=taken)
            await admission.sweep_lanes(c, self._clock() - self._keep_lanes)
        async with self._db.write() as c:
            if wrong := await admission.recount_lanes(c):
                log.error("lanes had a wrong number of places taken and were set right", lanes=wrong)


class Sweep(Protocol):
    """One kind of rubbish. `doom` marks some of it in a short transaction, so that nothing can refer to it any more;
    `remove` then takes away what it lies in, and may be called again for what is gone."""

    async def doom(self, c: WriteConnection, limit: int) -> Sequence[Any]: ...

    async def remove(self, doomed: Sequence[Any]) -> None: ...


class Sweeper(Duty):
    """Removes what nobody can need any more."""

    interval = 60.0

    def __init__(self, db: Database, sweeps: Sequence[Sweep]) -> None:
        super().__init__()
        self._db, self._sweeps = db, sweeps

    async def tick(self) -> None:
        for sweep in self._sweeps:
            more = True
            while more and not self.stopping:
                async with self._db.write() as c:
                    alone = await c.fetchval("try_duty_lock", _SWEEPER)
                    doomed = await sweep.doom(c, _AT_ONCE) if alone else []
                if doomed:
                    await sweep.remove(doomed)
                more = len(doomed) == _AT_ONCE
