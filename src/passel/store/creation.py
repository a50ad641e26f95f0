"""Making and growing batches: one transaction of COPYs, whatever the size."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

import orjson

from passel.core import events
from passel.core.batch_log import Transition
from passel.core.ids import BatchId, LaneId, MessageId, OrgId, SessionId
from passel.core.states import FAILED, HELD, QUEUED, RUNNING, Counts, aggregate
from passel.store import admission, announcing, files, org_ledger
from passel.store.admission import Capacity
from passel.store.announcing import Announcing
from passel.store.database import WriteConnection


@dataclass(frozen=True, slots=True)
class NewItem:
    """An item to create, with its session and its first message. `request` is what the message asks, in the shape of
    the kind. `replaces` is the number of the try that this one follows, which `was` failed or completed; 0 for a new item. `file_ids`
    are held."""

    index: int
    session_id: SessionId
    message_id: MessageId
    lane_id: LaneId
    lane: str
    subject_id: str | None
    spec: dict[str, Any]
    metadata: dict[str, str]
    request: dict[str, Any]
    secrets: bytes | None = field(repr=False)
    replaces: int = 0
    file_ids: tuple[str, ...] = ()
    was: str = FAILED


@dataclass(frozen=True, slots=True)
class FailedItem:
    """An item that cannot be made: it has failed already and gets no session. `asked` keeps what was asked; the files that
    it names are kept with the batch."""

    index: int
    error: str
    asked: dict[str, Any]
    replaces: int = 0
    file_ids: tuple[str, ...] = ()
    was: str = FAILED


_SESSION_COLUMNS = (
    "org_id", "id", "kind", "subject_id", "spec", "metadata", "lane", "secrets", "batch_id", "last_seq", "message_count",
    "active_message_id", "last_message_id", "created_at",
)  # fmt: skip
_MESSAGE_COLUMNS = (
    "org_id",
    "id",
    "session_id",
    "kind",
    "number",
    "state",
    "lane_id",
    "batch_id",
    "item_index",
    "item_try",
    "priority",
    "created_at",
)
_EVENT_COLUMNS = ("org_id", "session_id", "seq", "message_id", "type", "data", "created_at")
_ITEM_COLUMNS = ("org_id", "batch_id", "index", "session_id", "message_id", "request", "error")

_USE_COLUMNS = ("org_id", "file_id", "holder_id")

_BATCH_PRIORITY = 1
_TOLD_AT_ONCE = 1000


class BatchWriter:
    """Writes one batch inside one transaction: `begin` or `reopen`, then `add` any number of times, then `end`."""

    def __init__(self, c: WriteConnection, org_id: OrgId, batch_id: BatchId, kind: str, now: datetime) -> None:
        self._c = c
        self._org_id, self._batch_id, self._kind, self._now = org_id, batch_id, kind, now
        self._held = Counter[LaneId]()
        self._failed = self._added = self._replaced = self._uncancelled = self._uncompleted = 0
        self._transitions: list[Transition] = []
        self._created: list[str] = []  # ids of sessions with commas between them, for there may be a million
        self._grows = False
        self._became_running = orjson.dumps(events.session_state(RUNNING, events.IDLE).data)

    async def begin(
        self,
        subject_id: str | None,
        key: str | None,
        request_hash: str,
        max_concurrency: int | None,
        spec: dict[str, Any] | None = None,
        expires_at: datetime | None = None,
    ) -> bool:
        """False when a batch of that key exists; it is committed and can be read. `spec` is what the kind keeps of it."""
        made = await self._c.fetchval(
            "begin_batch", self._org_id, self._batch_id, self._kind, subject_id, key, request_hash, max_concurrency, self._now,
            orjson.dumps(spec or {}), expires_at,
        )  # fmt: skip
        return made is not None

    async def reopen(self) -> bool:
        """Go on with a batch that exists; nobody else does until the transaction ends. False while another transaction
        does."""
        self._grows = True
        return await self._c.fetchval("lock_growth", self._batch_id)

    async def add(self, items: Sequence[NewItem | FailedItem]) -> None:
        """Nothing of it is admitted before `end`, nor seen before the commit. What an item `replaces` must be the
        item's current try."""
        created = [item for item in items if isinstance(item, NewItem)]
        await self._c.copy("session", _SESSION_COLUMNS, [self._session(item) for item in created])
        await self._c.copy("message", _MESSAGE_COLUMNS, [self._message(item) for item in created])
        await self._c.copy("event", _EVENT_COLUMNS, [row for item in created for row in self._events(item)])
        await self._use_files(items)
        fresh = [item for item in items if not item.replaces]
        await self._c.copy("item", _ITEM_COLUMNS, [self._item(item) for item in fresh])
        if len(fresh) < len(items):
            await self._replace([item for item in items if item.replaces])
        for item in items:
            self._transitions += _transitions(item)
        self._held.update(item.lane_id for item in created)
        self._created += (
            ",".join(item.session_id for item in created[n : n + _TOLD_AT_ONCE]) for n in range(0, len(created), _TOLD_AT_ONCE)
        )
        self._failed += len(items) - len(created)
        self._added += len(fresh)

    async def end(self, capacity: Capacity, announced: Announcing) -> bool:
        """Make all of it visible with counts that add up, and admit what has room. False when the batch is being
        cancelled: then nothing of this may stay. A batch of which nothing is left to be done has ended with it."""
        lanes = sorted(self._held)
        await self._c.fetch("lock_lanes", lanes)
        await self._c.fetch("lock_batches", lanes, [self._batch_id])
        first, last = self._added > 0, self._grows or self._failed > 0
        sized = await self._c.fetchrow(
            "size_batch", self._batch_id, self._held.total(), self._failed, self._added, self._replaced, self._uncancelled, self._now,
            len(self._transitions) + first + last, self._uncompleted,
        )  # fmt: skip
        if sized is None:
            return False
        after = Counts(*list(sized.values())[1:])
        if self._created:
            await org_ledger.insert_sessions(self._c, self._org_id, self._created, 2, self._now)
        await self._tell(after, sized["last_event"], first=first, last=last)
        if not after.unfinished:
            await announcing.announce_batches(self._c, [self._batch_id], announced, self._now)
        if lanes:
            await admission.hold_back(self._c, {(self._org_id, self._batch_id, lane): self._held[lane] for lane in lanes})
            await admission.admit(self._c, lanes, capacity, self._now, locked=True)
        return True

    async def _tell(self, after: Counts, last_seq: int, *, first: bool, last: bool) -> None:
        """The batch's ledger: `first` its counts with what was added all queued, then how each item went on that is not,
        and `last` its status after all of it."""
        counts = Counter(asdict(after))
        for told in self._transitions:
            counts[told.previous] += 1
            counts[told.state] -= 1
        seq = last_seq - len(self._transitions) - last
        rows: list[tuple[Any, ...]] = [(seq, b"[]", *_in_order(counts), aggregate(Counts(**counts)))] if first else []
        for start in range(0, len(self._transitions), _TOLD_AT_ONCE):
            part = self._transitions[start : start + _TOLD_AT_ONCE]
            for told in part:
                counts[told.previous] -= 1
                counts[told.state] += 1
            seq += len(part)
            rows.append((seq, orjson.dumps([tuple(told) for told in part]), *_in_order(counts), None))
        if last:
            rows.append((last_seq, b"[]", *_in_order(counts), aggregate(after)))
        if rows:
            columns = map(list, zip(*rows, strict=True))
            begins = last_seq - len(self._transitions) - last - first + 1
            await self._c.fetch("insert_batch_events", self._org_id, self._batch_id, *columns, self._now, begins)

    async def _use_files(self, items: Sequence[NewItem | FailedItem]) -> None:
        used = [(self._org_id, file_id, item.session_id) for item in items if isinstance(item, NewItem) for file_id in item.file_ids]
        if used:
            await self._c.copy("file_use", _USE_COLUMNS, used)
        if kept := {file_id for item in items if isinstance(item, FailedItem) for file_id in item.file_ids}:
            await files.use_files(self._c, self._org_id, sorted(kept), self._batch_id)

    async def _replace(self, items: Sequence[NewItem | FailedItem]) -> None:
        """The next try of items that have ended; what they were before is kept."""
        rows = await self._c.fetch(
            "replace_items",
            self._batch_id,
            [item.index for item in items],
            [item.replaces for item in items],
            [item.session_id if isinstance(item, NewItem) else None for item in items],
            [item.message_id if isinstance(item, NewItem) else None for item in items],
            [orjson.dumps(item.asked) if isinstance(item, FailedItem) else None for item in items],
            [item.error if isinstance(item, FailedItem) else None for item in items],
        )
        assert len(rows) == len(items), "tries change under the batch's growth lock only"
        self._replaced += len(rows)
        self._uncancelled += sum(row["was_cancelled"] for row in rows)
        self._uncompleted += sum(row["was_completed"] for row in rows)

    def _session(self, item: NewItem) -> tuple[Any, ...]:
        return (
            self._org_id, item.session_id, self._kind, item.subject_id, orjson.dumps(item.spec), item.metadata, item.lane,
            item.secrets, self._batch_id, 2, 1, item.message_id, item.message_id, self._now,
        )  # fmt: skip

    def _message(self, item: NewItem) -> tuple[Any, ...]:
        return (
            self._org_id, item.message_id, item.session_id, self._kind, 1, HELD, item.lane_id, self._batch_id, item.index,
            item.replaces + 1, _BATCH_PRIORITY, self._now,
        )  # fmt: skip

    def _events(self, item: NewItem) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
        requested = orjson.dumps(item.request)
        return (
            (self._org_id, item.session_id, 1, item.message_id, events.MESSAGE_REQUESTED, requested, self._now),
            (self._org_id, item.session_id, 2, None, events.SESSION_STATE, self._became_running, self._now),
        )

    def _item(self, item: NewItem | FailedItem) -> tuple[Any, ...]:
        if isinstance(item, FailedItem):
            return (self._org_id, self._batch_id, item.index, None, None, item.asked, item.error)
        return (self._org_id, self._batch_id, item.index, item.session_id, item.message_id, None, None)


def _transitions(item: NewItem | FailedItem) -> list[Transition]:
    """From what an item was, or is said to have been: what could not be made was queued, and failed."""
    number = item.replaces + 1
    session_id = item.session_id if isinstance(item, NewItem) else None
    told = [Transition(item.index, session_id, number, item.was, QUEUED, None)] if item.replaces else []
    if isinstance(item, FailedItem):
        told.append(Transition(item.index, None, number, QUEUED, FAILED, item.error))
    return told


def _in_order(counts: Counter[str]) -> tuple[int, int, int, int]:
    return counts["queued"], counts["running"], counts["completed"], counts["failed"]
