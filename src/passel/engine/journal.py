"""The journal groups the writes of all sessions of a worker.

A flush takes everything that has been asked for since the last one and commits it as one transaction. Two flushes
are under way at most: while PostgreSQL works on one, the worker prepares the other. So commits do not grow with
concurrency: under load a flush carries hundreds of writes, and an idle worker still writes at once.

When the database is away, full or out of connections, the flush is tried again until it answers; nothing is
dropped, and a commit whose answer got lost is recognised by its step number. When one write of a group is at fault,
each is tried alone, and only that one's author gets the error.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

import structlog

from passel.core.clock import Clock
from passel.core.errors import LeaseLost
from passel.core.ids import SessionId
from passel.store import turns
from passel.store.database import Database, is_passing, pause_before_retry
from passel.store.jobs import Job
from passel.store.turns import Capacity, Claim, StepWrite

log = structlog.get_logger()

_LARGEST_FLUSH = 500
_FLUSHERS = 2


@dataclass(slots=True)
class _Entry:
    work: Job | StepWrite
    done: asyncio.Future[Claim | None] = field(repr=False)

    @property
    def session_id(self) -> SessionId:
        return self.work.session_id if isinstance(self.work, Job) else self.work.lease.session_id

    def resolve(self, claim: Claim | None) -> None:
        if not self.done.done():
            self.done.set_result(claim)

    def fail(self, error: BaseException) -> None:
        if not self.done.done():
            self.done.set_exception(error)


class Journal:
    def __init__(self, db: Database, clock: Clock, capacity: Capacity) -> None:
        self._db, self._clock, self._capacity = db, clock, capacity
        self._waiting: list[_Entry] = []
        self._wake = asyncio.Event()
        self._stopping = False
        self.flushes = 0
        self.writes = 0

    async def begin(self, job: Job) -> Claim | None:
        """Begin an attempt. None when there is nothing to do: the message has ended or was cancelled."""
        return await self._put(job)

    async def write(self, write: StepWrite) -> None:
        """Durable when this returns. Raises `LeaseLost` when another attempt owns the session."""
        await self._put(write)

    async def run(self) -> None:
        """Flush until `stop`; what was asked for before that is still written."""
        await asyncio.gather(*(self._keep_flushing() for _ in range(_FLUSHERS)))

    async def _keep_flushing(self) -> None:
        while not (self._stopping and not self._waiting):
            await self._wake.wait()
            while self._waiting:
                await self._flush(self._take())
            if not self._stopping:
                self._wake.clear()

    def stop(self) -> None:
        self._stopping = True
        self._wake.set()

    def _put(self, work: Job | StepWrite) -> asyncio.Future[Claim | None]:
        entry = _Entry(work, asyncio.get_running_loop().create_future())
        self._waiting.append(entry)
        self._wake.set()
        return entry.done

    def _take(self) -> list[_Entry]:
        """The next group: in order, and no session twice (its second write builds on the first)."""
        group: dict[SessionId, _Entry] = {}
        rest: list[_Entry] = []
        for entry in self._waiting:
            if isinstance(entry.work, Job) and entry.done.cancelled():
                continue  # a begin that nobody waits for; a write is made all the same, since it may carry a paid answer
            if entry.session_id in group or len(group) >= _LARGEST_FLUSH:
                rest.append(entry)
            else:
                group[entry.session_id] = entry
        self._waiting = rest
        return list(group.values())

    async def _flush(self, group: Sequence[_Entry]) -> None:
        tries = 0
        while True:
            try:
                claims, held = await self._commit(group)
            except Exception as error:
                if is_passing(error):
                    if tries % 20 == 0:
                        log.warning("database is away, writes wait", error=str(error) or repr(error), writes=len(group))
                    await pause_before_retry(tries)
                    tries += 1
                    continue
                await self._flush_one_by_one(group, error)
                return
            break
        self.flushes += 1
        self.writes += len(group)
        granted = {claim.lease.session_id: claim for claim in claims}
        for entry in group:
            if isinstance(entry.work, Job):
                entry.resolve(granted.get(entry.session_id))
            elif entry.session_id in held:
                entry.resolve(None)
            else:
                entry.fail(LeaseLost(entry.session_id))

    async def _commit(self, group: Sequence[_Entry]) -> tuple[list[Claim], set[SessionId]]:
        begins = [e.work for e in group if isinstance(e.work, Job)]
        writes = [e.work for e in group if isinstance(e.work, StepWrite)]
        async with self._db.write() as c:
            return await turns.apply(c, begins, writes, self._clock(), self._capacity)

    async def _flush_one_by_one(self, group: Sequence[_Entry], error: Exception) -> None:
        if len(group) == 1:
            log.error("a write was refused by the database", session=group[0].session_id, error=str(error))
            group[0].fail(error)
            return
        for entry in group:
            await self._flush([entry])
