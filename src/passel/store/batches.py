"""Batches and their items, as they are read. How they are made is `passel.store.creation`."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from passel.core import states
from passel.core.batch_log import BatchEntry, Transition, entries
from passel.core.ids import BatchId, MessageId, OrgId, SessionId
from passel.core.states import Counts
from passel.store.database import ReadConnection, Row


@dataclass(frozen=True, slots=True)
class Batch:
    """`spec` is what the kind keeps of it. `state` is `open`, `cancelling` or `done`. `active` counts its messages that hold a place where `max_concurrency`
    caps them; else it is 0. `finishes` counts how often its last item has ended,
    `last_event` is the last number of its ledger."""

    org_id: OrgId
    id: BatchId
    kind: str
    subject_id: str | None
    idempotency_key: str | None
    request_hash: str
    max_concurrency: int | None
    spec: dict[str, Any]
    expires_at: datetime | None
    state: str
    counts: Counts
    cancelled: int
    active: int
    calls: int
    in_doubt: int
    unpriced: int
    input_tokens: int
    output_tokens: int
    cost_usd: Decimal
    charged: int
    created_at: datetime
    cancel_requested_at: datetime | None
    finished_at: datetime | None
    finishes: int
    last_event: int

    @property
    def status(self) -> str:
        return states.aggregate(self.counts)

    def has_expired(self, now: datetime) -> bool:
        return self.expires_at is not None and self.expires_at <= now


@dataclass(frozen=True, slots=True)
class Item:
    """`state` is that of the item's message, unless it was settled earlier; `last_message_state` that of its session's
    last message, in a `Result` of its own. `reason` and `wake_at` say why and until when it waits. One that could not
    be made has no session; `request` says what was asked."""

    index: int
    try_number: int
    state: str
    subject_id: str | None
    session_id: SessionId | None
    message_id: MessageId | None
    spec: dict[str, Any]
    metadata: dict[str, str]
    last_message_state: str | None
    error: str | None
    reason: str | None
    wake_at: datetime | None
    request: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class FollowUp:
    """The session that an item's has begun with its end. `state`, `result` and `error` are those of its message."""

    session_id: SessionId
    state: str
    result: dict[str, Any] | None
    error: str | None


@dataclass(frozen=True, slots=True)
class Result:
    """An item with what came of it. `effect` is the name of what it called, the last in alphabetical order where there
    are several; calls count once they have ended. Money is None while no price is known."""

    item: Item
    result: dict[str, Any] | None
    attempt: int | None
    calls: int
    in_doubt: int
    unpriced: int
    input_tokens: int
    output_tokens: int
    cost_usd: Decimal | None
    effect: str | None
    created_at: datetime | None
    started_at: datetime | None
    ended_at: datetime | None
    follow_up: FollowUp | None = None


async def find_batch(c: ReadConnection, batch_id: str) -> Batch | None:
    return _batch(await c.fetchrow("find_batch", batch_id))


async def find_batch_by_key(c: ReadConnection, org_id: OrgId, kind: str, key: str) -> Batch | None:
    return _batch(await c.fetchrow("find_batch_by_key", org_id, kind, key))


async def list_batches(c: ReadConnection, org_id: OrgId, kind: str, before: str | None, limit: int) -> list[Batch]:
    """Newest first; `before` is the last id of the page before."""
    rows = await c.fetch("list_batches", org_id, kind, before, limit)
    return [batch for row in rows if (batch := _batch(row))]


async def list_items(c: ReadConnection, batch_id: str, after: int, limit: int) -> list[Item]:
    """In input order, from the one behind the index `after`."""
    return [_item(row) for row in await c.fetch("list_items", batch_id, after, limit)]


async def list_results(c: ReadConnection, batch_id: str, after: int, limit: int) -> list[Result]:
    """In input order, from the one behind the index `after`; finished or not."""
    return [_result(row) for row in await c.fetch("list_results", batch_id, after, limit)]


async def count_begun(c: ReadConnection, batch_id: str) -> Counter[str]:
    """Messages of a batch that are nobody's item, by the phase that they are in."""
    counts = Counter[str]()
    for row in await c.fetch("count_begun", batch_id):
        counts[states.phase(row["state"])] += row["n"]
    return counts


async def list_tries(c: ReadConnection, batch_id: str, index: int) -> list[Result]:
    """Every try of one item, the oldest first."""
    return [_result(row) for row in await c.fetch("list_tries", batch_id, index)]


def _batch(row: Row | None) -> Batch | None:
    return None if row is None else batch_of_row(row)


def batch_of_row(row: Row) -> Batch:
    """From a row of the table, which may have further columns."""
    counts = Counts(row["queued"], row["running"], row["completed"], row["failed"])
    same = {name: row[name] for name in Batch.__slots__ if name != "counts"}
    return Batch(counts=counts, **same)


def _item(row: Row) -> Item:
    request = row["request"]
    return Item(
        index=row["index"],
        try_number=row["try"],
        state=row["state"],
        subject_id=row["subject_id"],
        session_id=row["session_id"],
        message_id=row["message_id"],
        spec=row["spec"] or {},
        metadata=row["metadata"] if row["metadata"] is not None else (request or {}).get("metadata", {}),
        last_message_state=row["last_message_state"],
        error=row["error"],
        reason=row["reason"],
        wake_at=row["wake_at"],
        request=request,
    )


_FOLLOW_UP = ("follow_up", "follow_state", "follow_result", "follow_error")
_BILL = ("calls", "in_doubt", "unpriced", "input_tokens", "output_tokens", "cost_usd")


def _result(row: Row) -> Result:
    return Result(
        item=_item(row),
        result=row["result"],
        attempt=row["attempt"],
        effect=row["name"],
        created_at=row["created_at"],
        started_at=row["started_at"],
        ended_at=row["ended_at"],
        follow_up=None if row["follow_up"] is None else FollowUp(*(row[name] for name in _FOLLOW_UP)),
        **{name: row[name] for name in _BILL},
    )


async def list_new_entries(c: ReadConnection, followers: Sequence[tuple[str, int]]) -> list[list[BatchEntry]]:
    """For each follower, given as batch and the last number that it has seen, what comes next: a bounded page."""
    pages: list[list[BatchEntry]] = [[] for _ in followers]
    for row in await c.fetch("list_new_batch_events", [id for id, _ in followers], [after for _, after in followers]):
        follower = row["follower"] - 1
        pages[follower] += [entry for entry in entries_of_row(row) if entry.seq > followers[follower][1]]
    return pages


def entries_of_row(row: Row) -> list[BatchEntry]:
    """What one row of a batch's ledger tells."""
    told = [Transition(*change) for change in row["changes"]]
    counts = Counts(row["queued"], row["running"], row["completed"], row["failed"])
    return entries(row["batch_id"], row["last_seq"], told, counts, row["status"], row["created_at"])
