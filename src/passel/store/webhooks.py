"""Webhooks and their deliveries in SQL. How deliveries are written is `passel.store.announcing`."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from passel.core import events
from passel.core.events import Draft
from passel.core.ids import LaneId, MessageId, OrgId
from passel.core.states import RUNNING
from passel.core.webhook.events import DELIVERY_TRIED
from passel.store import waking
from passel.store.changes import Changes
from passel.store.database import ReadConnection, Row, WriteConnection


@dataclass(frozen=True, slots=True)
class Webhook:
    """`sealed` is its secret; `previous` signs beside it until `previous_until`. It `watches` the sessions of a subject, which
    then is `subject_id` too, or an organisation's sessions that have none. Without `batch_items` it does not hear of these
    singly."""

    org_id: OrgId
    subject_id: str
    id: str
    kind: str
    watches: str
    batch_items: bool
    description: str | None
    disabled_at: datetime | None
    lane_id: LaneId
    url: str
    event_types: Sequence[str]
    sealed: bytes = field(repr=False)
    previous: bytes | None = field(repr=False)
    previous_until: datetime | None
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class Delivery:
    """`status` is `pending`, `failed`, or what its message ended with (`delivered`, `superseded`); `error` is the last one."""

    org_id: OrgId
    id: str
    scope_id: str
    sequence: int
    type: str
    event_seq: int | None
    created_at: datetime
    status: str
    wake_at: datetime | None
    error: str | None


@dataclass(frozen=True, slots=True)
class LoggedDelivery:
    """`status` is `pending`, `in_flight`, `succeeded`, `superseded`, `failed` where its receiver refused it, or `dead`. `tries` were made so
    far, `response_status` is the last one's answer."""

    id: str
    type: str
    status: str
    tries: int
    response_status: int | None
    error: str | None
    wake_at: datetime | None
    created_at: datetime
    ended_at: datetime | None


@dataclass(frozen=True, slots=True)
class DeliveryTry:
    """`message_number` is 1 for the delivery itself and higher for what delivers it again."""

    delivery_id: str
    message_number: int
    data: dict[str, Any]
    created_at: datetime


async def find_webhook(c: ReadConnection, subject_id: str) -> Webhook | None:
    row = await c.fetchrow("find_webhook", subject_id)
    return Webhook(**row) if row else None


async def list_webhooks(c: ReadConnection, watches: str, kind: str) -> list[Webhook]:
    """The oldest first."""
    return [Webhook(**row) for row in await c.fetch("list_webhooks", watches, kind)]


async def disable_webhook(c: WriteConnection, subject_id: str, now: datetime) -> None:
    await c.execute("disable_webhook", subject_id, now)


async def put_webhook(c: WriteConnection, new: Webhook) -> bool:
    """Whether it is new: one that is there keeps its secret."""
    return await c.fetchval(
        "put_webhook",
        new.org_id,
        new.subject_id,
        new.id,
        new.kind,
        new.watches,
        new.batch_items,
        new.description,
        new.lane_id,
        new.url,
        new.event_types,
        new.sealed,
        new.updated_at,
    )


async def rotate_webhook(c: WriteConnection, subject_id: str, sealed: bytes, previous_until: datetime | None, now: datetime) -> bool:
    """False when there is none."""
    return await c.fetchval("rotate_webhook", subject_id, sealed, previous_until, now) is not None


async def delete_webhook(c: WriteConnection, subject_id: str, now: datetime) -> None:
    """What waits for another try is taken up at once, to end."""
    lane_id = await c.fetchval("delete_webhook", subject_id)
    if lane_id is not None:
        await c.execute("hasten_deliveries", lane_id, now)


async def find_deliveries(c: ReadConnection, delivery_ids: Sequence[str]) -> dict[str, Row]:
    """What sending them needs, as it is now."""
    return {row["id"]: row for row in await c.fetch("find_deliveries", delivery_ids)}


async def list_deliveries(
    c: ReadConnection, subject_id: str, *, after: str | None, type: str | None, status: str | None, limit: int
) -> list[Delivery]:
    """Newest first, from the one behind `after`."""
    return [Delivery(**row) for row in await c.fetch("list_deliveries", subject_id, after, type, status, limit)]


async def list_log(
    c: ReadConnection,
    org_id: OrgId,
    subject_id: str,
    status: str | None,
    type: str | None,
    since: datetime | None,
    until: datetime | None,
    limit: int,
    offset: int,
) -> tuple[list[LoggedDelivery], int]:
    """Newest first, and how many match."""
    rows = await c.fetch("list_delivery_log", org_id, subject_id, status, type, since, until, limit, offset)
    found = [LoggedDelivery(**{name: row[name] for name in LoggedDelivery.__slots__}) for row in rows if row["id"] is not None]
    return found, rows[0]["total"]


async def lock_webhook(c: WriteConnection, subject_id: str) -> None:
    """So that what tells of no session or batch is numbered without gaps."""
    await c.fetch("lock_webhook", subject_id)


async def find_delivery(c: ReadConnection, subject_id: str, delivery_id: str) -> Delivery | None:
    row = await c.fetchrow("find_delivery", subject_id, delivery_id)
    return Delivery(**row) if row else None


async def list_tries(c: ReadConnection, delivery_ids: Sequence[str]) -> list[DeliveryTry]:
    """In their order, delivery by delivery."""
    rows = await c.fetch("list_delivery_tries", delivery_ids, DELIVERY_TRIED)
    return [DeliveryTry(row["session_id"], row["number"], row["data"], row["created_at"]) for row in rows]


async def span_deliveries(c: ReadConnection, subject_id: str, since: datetime, until: datetime, after: str | None, limit: int) -> list[str]:
    """The ids of those written in the span, the oldest first."""
    return [row["id"] for row in await c.fetch("span_deliveries", subject_id, since, until, after, limit)]


async def redeliver(c: WriteConnection, again: Sequence[tuple[str, MessageId]], lane_id: LaneId, changes: Changes) -> int:
    """Deliver again, with these new messages: what waits for its next try has it now, and what is being delivered just now
    is not taken up. Returns how many were; the caller settles `changes`."""
    delayed = await c.fetch("lock_delayed", [delivery_id for delivery_id, _ in again])
    if delayed:
        await waking.wake(c, [(row["id"], row["state"]) for row in delayed], changes)
    running = events.session_state(RUNNING, events.IDLE).data
    rows = await c.fetch(
        "redeliver", [delivery_id for delivery_id, _ in again], [message for _, message in again], lane_id, running, changes.now
    )
    _ = changes.lanes[lane_id]
    return len(delayed) + len(rows)


async def tell_of_failure(c: WriteConnection, delivery_id: str, draft: Draft, now: datetime) -> None:
    """The ledger of the session that the delivery is about is told, once. Of a batch there is no ledger to tell."""
    await c.fetchval("tell_of_failure", delivery_id, draft.type, draft.data, now)
