"""The journal groups the writes of all sessions of a worker.

A flush takes everything that has been asked for since the last one and commits it as one transaction. Three flushes
are under way at most: while PostgreSQL works on one, the worker prepares another. So commits do not grow with
concurrency: under load a flush carries hundreds of writes, and an idle worker still writes at once.

The writes of one attempt are made one after the other, in the order in which they were asked for; the next one waits
until the one before is durable. A write whose author has gone is made all the same: it may carry a paid answer.

When the database is away, full or out of connections, the flush is tried again until it answers; nothing is
dropped, and a commit whose answer got lost is recognised by the attempt and the number of its write. When one write of
a group is at fault, each is tried alone, and only that one's author gets the error.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import structlog

from passel.core.clock import Clock
from passel.core.errors import LeaseLost
from passel.core.events import Event
from passel.core.ids import MessageId
from passel.store import sessions, spawning, steps
from passel.store.admission import Capacity
from passel.store.announcing import Announcing
from passel.store.database import Database, is_passing, patiently, pause_before_retry
from passel.store.steps import StepWrite

log = structlog.get_logger()

_LARGEST_FLUSH = 250
_FLUSHERS = 3
_TAIL = 10_000

Learn = Callable[[tuple[Event, ...]], None]


@dataclass(slots=True)
class _Entry:
    write: StepWrite
    learn: Learn
    done: "asyncio.Future[tuple[Event, ...]]" = field(repr=False)

    @property
    def message_id(self) -> MessageId:
        return self.write.lease.message_id

    def resolve(self, events: Sequence[Event]) -> None:
        events = tuple(events)
        self.learn(events)
        if not self.done.done():
            self.done.set_result(events)

    def fail(self, error: BaseException) -> None:
        if not self.done.done():
            self.done.set_exception(error)


class Journal:
    """Makes the writes of one worker."""

    def __init__(self, db: Database, clock: Clock, capacity: Capacity, announcing: Announcing) -> None:
        self._db, self._clock, self._capacity, self._announcing = db, clock, capacity, announcing
        self._waiting: list[_Entry] = []
        self._in_flight: set[MessageId] = set()
        self._wake = asyncio.Event()
        self._settled = asyncio.Event()
        self._settled.set()
        self._stopping = False

    def write(self, write: StepWrite, learn: Learn) -> "asyncio.Future[tuple[Event, ...]]":
        """The write is durable when the future has its events. `learn` is told them first, also when nobody waits for
        the future any more. The future raises `LeaseLost` when another attempt owns the message or it was cancelled, or
        the database's error when it refuses this write."""
        entry = _Entry(write, learn, asyncio.get_running_loop().create_future())
        self._waiting.append(entry)
        self._settled.clear()
        self._wake.set()
        return entry.done

    async def run(self) -> None:
        """Flush until `stop`; what was asked for before that is still written."""
        await asyncio.gather(*(self._keep_flushing() for _ in range(_FLUSHERS)))

    def stop(self) -> None:
        self._stopping = True
        self._wake.set()

    async def settled(self) -> None:
        """Wait until everything that was asked for is durable."""
        await self._settled.wait()

    async def _keep_flushing(self) -> None:
        while not (self._stopping and not self._waiting):
            await self._wake.wait()
            while group := self._take():
                await self._flush_group(group)
            if not self._stopping:
                self._wake.clear()
            elif self._waiting:
                await asyncio.sleep(0.01)  # another flusher has what these wait for

    async def _flush_group(self, group: Sequence[_Entry]) -> None:
        try:
            await self._flush(group)
        finally:
            self._in_flight.difference_update(entry.message_id for entry in group)
            if self._waiting:
                self._wake.set()
            elif not self._in_flight:
                self._settled.set()

    def _take(self) -> list[_Entry]:
        """The next group: in order, and no message twice nor one whose write before is still under way."""
        group: list[_Entry] = []
        rest: list[_Entry] = []
        for n, entry in enumerate(self._waiting):
            if len(group) == _LARGEST_FLUSH:
                rest += self._waiting[n:]
                break
            if entry.message_id in self._in_flight:
                rest.append(entry)
            else:
                self._in_flight.add(entry.message_id)
                group.append(entry)
        self._waiting = rest
        return group

    async def _flush(self, group: Sequence[_Entry]) -> None:
        tries = 0
        while True:
            try:
                written = await self._commit(group)
            except Exception as error:
                if not is_passing(error):
                    await self._flush_one_by_one(group, error)
                    return
                if tries % 20 == 0:
                    log.warning("database is away, writes wait", error=str(error) or repr(error), writes=len(group))
                await pause_before_retry(tries)
                tries += 1
                continue
            break
        for entry in group:
            if entry.message_id not in written:
                entry.fail(LeaseLost(entry.message_id))
            elif (events := written[entry.message_id]) is not None:
                entry.resolve(events)
            else:
                entry.resolve(await self._what_was_written(entry.write))

    async def _what_was_written(self, write: StepWrite) -> Sequence[Event]:
        """The commit's answer got lost, and the numbers of the events with it. Read before the next write of the
        message is made, so that its attempt learns everything in order."""

        async def read() -> Sequence[Event]:
            async with self._db.read() as c:
                return await sessions.list_events(c, write.lease.session_id, write.known, _TAIL)

        return await patiently(read)

    async def _commit(self, group: Sequence[_Entry]) -> steps.Written:
        writes, lanes = [entry.write for entry in group], None
        if spawns := steps.spawns(writes):
            async with self._db.write() as c:
                lanes = await spawning.ensure_lanes(c, spawns, self._clock())
        async with self._db.write() as c:
            return await steps.apply(c, writes, self._clock(), self._capacity, self._announcing, lanes)

    async def _flush_one_by_one(self, group: Sequence[_Entry], error: Exception) -> None:
        if len(group) == 1:
            log.error("a write was refused by the database", message=group[0].message_id, error=str(error))
            group[0].fail(error)
            return
        for entry in group:
            await self._flush([entry])
