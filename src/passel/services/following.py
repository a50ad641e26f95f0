"""Following ledgers: one listener a process wakes its followers, who then read what is committed, by its number.

A notice says that something was told, never what: what a follower gets comes from the ledger, after the last number
that it has seen. So nothing is lost or told twice, whatever becomes of notices, connections and processes.
"""

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Sequence
from typing import Generic, Protocol, TypeVar

from passel.core.batch_log import BatchEntry
from passel.core.events import Event
from passel.core.ids import BatchId, SessionId
from passel.store import batches, sessions
from passel.store.database import Database, patiently
from passel.store.listening import TOLD_CHANNEL, listen

_MOST_AT_ONCE = 200
_READERS = 3


class Numbered(Protocol):
    """Something of a ledger: an event of a session, or of a batch."""

    @property
    def seq(self) -> int: ...


T = TypeVar("T", bound=Numbered)
A = TypeVar("A")


class Ring:
    """Wakes one follower. It stays rung until it is waited for."""

    __slots__ = ("_rung", "_waiting")

    def __init__(self) -> None:
        self._rung = False
        self._waiting: asyncio.Future[None] | None = None

    def ring(self) -> None:
        self._rung = True
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    async def wait(self, seconds: float) -> bool:
        """Whether it rang within so many seconds."""
        if not self._rung:
            loop = asyncio.get_running_loop()
            waiting = self._waiting = loop.create_future()
            timer = loop.call_later(seconds, lambda: waiting.done() or waiting.set_result(None))
            try:
                await waiting
            finally:
                timer.cancel()
                self._waiting = None
        rung, self._rung = self._rung, False
        return rung


class Bell:
    """Hears of what is told, and rings for those who follow it. Everybody is woken when the connection comes back."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._rings: defaultdict[str, set[Ring]] = defaultdict(set)
        self._stop = asyncio.Event()

    @property
    def closed(self) -> bool:
        return self._stop.is_set()

    @contextlib.contextmanager
    def listening(self, id: str) -> Generator[Ring]:
        """A ring for what concerns a session, a batch or an organisation. What was told before is not heard."""
        ring = Ring()
        self._rings[id].add(ring)
        try:
            yield ring
        finally:
            self._rings[id].discard(ring)
            if not self._rings[id]:
                del self._rings[id]

    def close(self) -> None:
        """The process ends: followers are woken, and find it closed."""
        self._stop.set()
        self._ring_all()

    async def run(self) -> None:
        """Listen until `close`, across outages of the database."""
        await listen(self._db, TOLD_CHANNEL, self._heard, self._ring_all, self._stop)

    def _heard(self, ids: str) -> None:
        if self._rings:
            for id in ids.split(","):
                for ring in self._rings.get(id, ()):
                    ring.ring()

    def _ring_all(self) -> None:
        for rings in self._rings.values():
            for ring in rings:
                ring.ring()


class Tail(Generic[T]):
    """Reads what is new for many followers: one statement for all that ask at the same moment."""

    def __init__(self, db: Database, read: Callable[[Database, Sequence[tuple[str, int]]], Awaitable[list[list[T]]]]) -> None:
        self._db, self._read = db, read
        self._asked: dict[tuple[str, int], asyncio.Future[list[T]]] = {}
        self._readers: set[asyncio.Task[None]] = set()

    async def after(self, id: str, seq: int) -> list[T]:
        """What comes behind number `seq`, a page of it; empty when there is nothing. Waits out outages of the database."""
        asked = self._asked.get((id, seq))
        if asked is None:
            asked = self._asked[id, seq] = asyncio.get_running_loop().create_future()
            # not their number: one that has just ended is among them until the loop comes to its callback
            if sum(not reader.done() for reader in self._readers) < _READERS:
                task = asyncio.create_task(self._answer())
                self._readers.add(task)
                task.add_done_callback(self._readers.discard)
        return await asyncio.shield(asked)

    async def _answer(self) -> None:
        await asyncio.sleep(0)  # whoever else was woken by the same notice asks now
        while self._asked:
            keys = list(self._asked)[:_MOST_AT_ONCE]
            waiting = [self._asked.pop(key) for key in keys]
            try:
                pages = await patiently(lambda keys=keys: self._read(self._db, keys))
            except BaseException as error:
                for one in waiting:
                    one.set_exception(error if isinstance(error, Exception) else asyncio.CancelledError())
                    one.exception()  # seen, also when nobody waits any more
                raise
            for one, page in zip(waiting, pages, strict=True):
                one.set_result(page)


async def read_events(db: Database, followers: Sequence[tuple[str, int]]) -> list[list[Event]]:
    """What `Tail` reads of sessions."""
    async with db.read() as c:
        return await sessions.list_new_events(c, followers)


async def read_entries(db: Database, followers: Sequence[tuple[str, int]]) -> list[list[BatchEntry]]:
    """What `Tail` reads of batches."""
    async with db.read() as c:
        return await batches.list_new_entries(c, followers)


async def follow(bell: Bell, tail: Tail[T], id: str, after: int, heartbeat: float) -> AsyncGenerator[list[T]]:
    """Pages of what stands behind number `after`, then of what is told, as it is committed. An empty page after each
    `heartbeat` seconds without anything. Ends when the process does."""
    with bell.listening(id) as ring:
        while not bell.closed:
            page = await tail.after(id, after)
            if page:
                after = page[-1].seq
                yield page
            elif not await ring.wait(heartbeat):
                yield []


class Following:
    """What a process needs for followers. `heartbeat` are the seconds after which a silent one gives a sign of life."""

    def __init__(self, db: Database, heartbeat: float) -> None:
        self.bell = Bell(db)
        self.heartbeat = heartbeat
        self._events: Tail[Event] = Tail(db, read_events)
        self._batches: Tail[BatchEntry] = Tail(db, read_entries)

    def session(self, session_id: SessionId, after: int) -> AsyncGenerator[list[Event]]:
        return follow(self.bell, self._events, session_id, after, self.heartbeat)

    def batch(self, batch_id: BatchId, after: int) -> AsyncGenerator[list[BatchEntry]]:
        return follow(self.bell, self._batches, batch_id, after, self.heartbeat)

    async def outlast(self, ask: Callable[[], Awaitable[A]]) -> A:
        """Ask again for as long as the database is away."""
        return await patiently(ask)

    async def more_of_batch(self, batch_id: BatchId, after: int) -> bool:
        """Whether anything stands behind that number by now."""
        return bool(await self._batches.after(batch_id, after))
