"""Making and growing batches: one transaction of COPYs, whatever the size."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import orjson

from passel.core import events
from passel.core.ids import BatchId, LaneId, MessageId, OrgId, SessionId
from passel.core.states import HELD, RUNNING
from passel.store import admission, announcing
from passel.store.admission import Capacity
from passel.store.announcing import Announcing
from passel.store.database import WriteConnection


@dataclass(frozen=True, slots=True)
class NewItem:
    """An item to create, with its session and its first message. `request` is what the message asks, in the shape of
    the kind. `replaces` is the number of the try that this one follows; 0 for a new item."""

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


@dataclass(frozen=True, slots=True)
class FailedItem:
    """An item that cannot be made: it has failed already and gets no session. `asked` keeps what was asked."""

    index: int
    error: str
    asked: dict[str, Any]
    replaces: int = 0


_SESSION_COLUMNS = (
    "org_id", "id", "kind", "subject_id", "spec", "metadata", "lane", "secrets", "last_seq", "message_count",
    "active_message_id", "last_message_id", "created_at",
)  # fmt: skip
_MESSAGE_COLUMNS = ("org_id", "id", "session_id", "kind", "number", "state", "lane_id", "batch_id", "item_index", "priority", "created_at")
_EVENT_COLUMNS = ("org_id", "session_id", "seq", "message_id", "type", "data", "created_at")
_ITEM_COLUMNS = ("org_id", "batch_id", "index", "session_id", "message_id", "request", "error")

_BATCH_PRIORITY = 1


class BatchWriter:
    """Writes one batch inside one transaction: `begin` or `reopen`, then `add` any number of times, then `end`."""

    def __init__(self, c: WriteConnection, org_id: OrgId, batch_id: BatchId, kind: str, now: datetime) -> None:
        self._c = c
        self._org_id, self._batch_id, self._kind, self._now = org_id, batch_id, kind, now
        self._held = Counter[LaneId]()
        self._failed = self._added = self._replaced = self._uncancelled = 0
        self._became_running = orjson.dumps(events.session_state(RUNNING, events.IDLE).data)

    async def begin(self, subject_id: str | None, key: str | None, request_hash: str, max_concurrency: int | None) -> bool:
        """False when a batch of that key exists; it is committed and can be read."""
        made = await self._c.fetchval(
            "begin_batch", self._org_id, self._batch_id, self._kind, subject_id, key, request_hash, max_concurrency, self._now
        )
        return made is not None

    async def reopen(self) -> bool:
        """Go on with a batch that exists. False while another transaction does."""
        return await self._c.fetchval("lock_growth", self._batch_id)

    async def add(self, items: Sequence[NewItem | FailedItem]) -> None:
        created = [item for item in items if isinstance(item, NewItem)]
        await self._c.copy("session", _SESSION_COLUMNS, [self._session(item) for item in created])
        await self._c.copy("message", _MESSAGE_COLUMNS, [self._message(item) for item in created])
        await self._c.copy("event", _EVENT_COLUMNS, [row for item in created for row in self._events(item)])
        fresh = [item for item in items if not item.replaces]
        await self._c.copy("item", _ITEM_COLUMNS, [self._item(item) for item in fresh])
        if len(fresh) < len(items):
            await self._replace([item for item in items if item.replaces])
        self._held.update(item.lane_id for item in created)
        self._failed += len(items) - len(created)
        self._added += len(fresh)

    async def end(self, capacity: Capacity, announced: Announcing) -> bool:
        """Make all of it visible with counts that add up, and admit what has room. False when the batch is being
        cancelled: then nothing of this may stay. A batch of which nothing is left to be done has ended with it."""
        lanes = sorted(self._held)
        await self._c.fetch("lock_lanes", lanes)
        await self._c.fetch("lock_batches", lanes, [self._batch_id])
        finished = await self._c.fetchval(
            "size_batch", self._batch_id, self._held.total(), self._failed, self._added, self._replaced, self._uncancelled, self._now
        )
        if finished is None:
            return False
        if finished:
            await announcing.announce_batches(self._c, [self._batch_id], announced, self._now)
        if lanes:
            held = [self._held[lane] for lane in lanes]
            await self._c.execute("open_batch_lanes", self._org_id, self._batch_id, lanes, held)
            await admission.admit(self._c, lanes, capacity, self._now, locked=True)
        return True

    async def _replace(self, items: Sequence[NewItem | FailedItem]) -> None:
        """The next try of items that have failed; what they were before is kept."""
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

    def _session(self, item: NewItem) -> tuple[Any, ...]:
        return (
            self._org_id, item.session_id, self._kind, item.subject_id, orjson.dumps(item.spec), item.metadata, item.lane,
            item.secrets, 2, 1, item.message_id, item.message_id, self._now,
        )  # fmt: skip

    def _message(self, item: NewItem) -> tuple[Any, ...]:
        return (
            self._org_id, item.message_id, item.session_id, self._kind, 1, HELD, item.lane_id, self._batch_id, item.index,
            _BATCH_PRIORITY, self._now,
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
