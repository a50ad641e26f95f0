"""Batches and their items. Creation is one transaction of COPYs, whatever the size."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

import orjson

from passel.core import batches as rules
from passel.core import events
from passel.core.batches import Counts
from passel.core.ids import AgentId, BatchId, LaneId, MessageId, OrgId, SessionId, VersionId
from passel.store import turns
from passel.store.database import ReadConnection, Row, WriteConnection
from passel.store.turns import Capacity


@dataclass(frozen=True, slots=True)
class Batch:
    org_id: OrgId
    id: BatchId
    kind: str
    agent_id: AgentId
    idempotency_key: str | None
    request_hash: str
    max_concurrency: int | None
    counts: Counts
    cancelled: int
    calls: int
    in_doubt: int
    unpriced: int
    input_tokens: int
    output_tokens: int
    cost_usd: Decimal
    created_at: datetime
    cancel_requested_at: datetime | None
    finished_at: datetime | None

    @property
    def status(self) -> str:
        return rules.aggregate(self.counts)


@dataclass(frozen=True, slots=True)
class NewItem:
    """An item to create. With `error` it has failed already and gets no session; `request` keeps what was asked."""

    index: int
    session_id: SessionId | None
    message_id: MessageId | None
    lane_id: LaneId | None
    version_id: VersionId | None
    llm_id: str | None
    metadata: dict[str, str]
    content: list[dict[str, Any]]
    message_metadata: dict[str, Any]
    secrets: bytes | None
    error: str | None = None
    request: dict[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True)
class Item:
    index: int
    status: str
    agent_id: AgentId | None
    session_id: SessionId | None
    message_id: MessageId | None
    version_id: VersionId | None
    llm_id: str | None
    metadata: dict[str, str]
    last_message_status: str | None
    error: str | None


_SESSION_COLUMNS = (
    "org_id", "id", "agent_id", "version_id", "metadata", "llm_id", "lane_id", "secrets", "status", "last_seq",
    "message_count", "active_message_id", "last_message_id", "last_message_status", "created_at",
)  # fmt: skip
_MESSAGE_COLUMNS = ("org_id", "id", "session_id", "number", "state", "batch_id", "item_index", "created_at")
_EVENT_COLUMNS = ("org_id", "session_id", "seq", "message_id", "type", "source", "data", "created_at")
_ITEM_COLUMNS = ("org_id", "batch_id", "index", "state", "lane_id", "session_id", "message_id", "request", "error", "finished_at")


class BatchWriter:
    """Writes one batch inside one transaction: `begin`, then `add` any number of times, then `end`."""

    def __init__(self, c: WriteConnection, org_id: OrgId, batch_id: BatchId, agent_id: AgentId, now: datetime) -> None:
        self._c = c
        self._org_id, self._batch_id, self._agent_id, self._now = org_id, batch_id, agent_id, now
        self._held = Counter[LaneId]()
        self._failed = 0
        became_running = events.session_status("running", "idle")
        self._became_running = orjson.dumps(became_running.data)

    async def begin(self, key: str | None, request_hash: str, max_concurrency: int | None) -> bool:
        """False when a batch of that key exists; it is committed and can be read."""
        made = await self._c.fetchval(
            "begin_batch", self._org_id, self._batch_id, "agent", self._agent_id, key, request_hash, max_concurrency, self._now
        )
        return made is not None

    async def add(self, items: Sequence[NewItem]) -> None:
        created = [item for item in items if item.error is None]
        await self._c.copy("session", _SESSION_COLUMNS, [self._session(item) for item in created])
        await self._c.copy("message", _MESSAGE_COLUMNS, [self._message(item) for item in created])
        await self._c.copy("event", _EVENT_COLUMNS, [row for item in created for row in self._events(item)])
        await self._c.copy("item", _ITEM_COLUMNS, [self._item(item) for item in items])
        self._held.update(item.lane_id for item in created if item.lane_id is not None)
        self._failed += len(items) - len(created)

    async def end(self, capacity: Capacity) -> None:
        """Make the batch visible with its counts, and admit what has room."""
        lanes = list(self._held)
        await self._c.execute("open_batch_lanes", self._org_id, self._batch_id, lanes, list(self._held.values()))
        await self._c.execute("size_batch", self._batch_id, self._held.total(), self._failed)
        if lanes:
            await turns.admit(self._c, lanes, capacity)

    def _session(self, item: NewItem) -> tuple[Any, ...]:
        return (
            self._org_id, item.session_id, self._agent_id, item.version_id, item.metadata, item.llm_id, item.lane_id,
            item.secrets, "running", 2, 1, item.message_id, item.message_id, "queued", self._now,
        )  # fmt: skip

    def _message(self, item: NewItem) -> tuple[Any, ...]:
        return (self._org_id, item.message_id, item.session_id, 1, "held", self._batch_id, item.index, self._now)

    def _events(self, item: NewItem) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
        assert item.message_id
        said = events.user_message(item.message_id, item.content, item.message_metadata)
        return (
            (self._org_id, item.session_id, 1, item.message_id, said.type, said.source, orjson.dumps(said.data), self._now),
            (self._org_id, item.session_id, 2, None, events.SESSION_STATUS, "system", self._became_running, self._now),
        )

    def _item(self, item: NewItem) -> tuple[Any, ...]:
        if item.error is not None:
            return (self._org_id, self._batch_id, item.index, "failed", None, None, None, item.request, item.error, self._now)
        return (self._org_id, self._batch_id, item.index, "held", item.lane_id, item.session_id, item.message_id, None, None, None)


async def find_batch(c: ReadConnection, batch_id: str) -> Batch | None:
    return _batch(await c.fetchrow("find_batch", batch_id))


async def find_batch_by_key(c: ReadConnection, org_id: OrgId, key: str) -> Batch | None:
    return _batch(await c.fetchrow("find_batch_by_key", org_id, key))


async def list_batches(c: ReadConnection, org_id: OrgId, before: str | None, limit: int) -> list[Batch]:
    rows = await c.fetch("list_batches", org_id, before, limit)
    return [batch for row in rows if (batch := _batch(row))]


async def list_items(c: ReadConnection, batch_id: str, after: int, limit: int) -> list[Item]:
    return [_item(row) for row in await c.fetch("list_items", batch_id, after, limit)]


async def list_results(c: ReadConnection, batch_id: str, after: int, limit: int) -> list[tuple[Item, Row]]:
    """Items with a row of `text`, `calls`, `in_doubt`, tokens, `cost_usd`, `model`, `attempt` and times beside each."""
    rows = await c.fetch("list_results", batch_id, after, limit)
    return [(_item({**row, "last_message_status": None}), row) for row in rows]


async def request_cancel(c: WriteConnection, batch_id: str, now: datetime) -> None:
    await c.fetchval("request_cancel", batch_id, now)


async def cancelling_batches(c: ReadConnection) -> list[BatchId]:
    return [row["id"] for row in await c.fetch("cancelling_batches")]


async def cancel_some(c: WriteConnection, batch_id: str, limit: int, now: datetime, capacity: Capacity) -> int:
    """Cancel up to `limit` unfinished items; 0 when none are left."""
    items = await c.fetch("open_items", batch_id, limit)
    return await turns.cancel_items(c, items, now, capacity) if items else 0


def _batch(row: Row | None) -> Batch | None:
    if row is None:
        return None
    counts = Counts(row["queued"], row["running"], row["completed"], row["failed"])
    same = {k: row[k] for k in Batch.__slots__ if k != "counts"}
    return Batch(counts=counts, **same)


def _item(row: Row) -> Item:
    asked = row["request"] or {}
    return Item(
        row["index"],
        rules.wire_status(row["state"]),
        row["agent_id"],
        row["session_id"],
        row["message_id"],
        row["version_id"] or asked.get("version_id"),
        row["llm_id"] or asked.get("llm_id"),
        row["metadata"] if row["metadata"] is not None else asked.get("metadata", {}),
        row["last_message_status"],
        row["error"],
    )
