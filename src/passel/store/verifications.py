"""Reading verifications and batches of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from passel.core.ids import MessageId, OrgId, SessionId
from passel.store.batches import Batch, batch_of_row
from passel.store.database import ReadConnection, WriteConnection


@dataclass(frozen=True, slots=True)
class VerificationItem:
    """An item with what was asked; `spec` has its own context and key, `result` is what its verification concluded."""

    index: int
    session_id: SessionId
    spec: dict[str, Any]
    message_id: MessageId
    state: str
    outcome: str | None
    cancelled: bool
    tries: int
    result: dict[str, Any] | None
    error: str | None
    created_at: datetime
    ended_at: datetime | None
    content: str


async def page_items(c: ReadConnection, batch_id: str, limit: int, offset: int) -> list[VerificationItem]:
    """In input order; the indexes of a batch have no gaps."""
    return [VerificationItem(**row) for row in await c.fetch("page_verification_items", batch_id, offset, limit)]


async def list_items(
    c: ReadConnection,
    batch_id: str,
    *,
    statuses: Sequence[str] | None,
    verdicts: Sequence[str] | None,
    decisions: Sequence[str] | None,
    limit: int,
    offset: int,
) -> tuple[list[VerificationItem], int]:
    """In input order, and how many there are with these filters. Statuses are those of the `check` contract."""
    rows = await c.fetch("list_verification_items", batch_id, statuses, verdicts, decisions, limit, offset)
    items = [VerificationItem(**{name: row[name] for name in VerificationItem.__slots__}) for row in rows if row["session_id"] is not None]
    return items, rows[0]["total"]


async def list_batches(
    c: ReadConnection, org_id: OrgId, statuses: Sequence[str] | None, limit: int, offset: int, now: datetime
) -> tuple[list[Batch], int]:
    """Newest first, and how many there are with these statuses; those that expired by `now` have gone."""
    rows = await c.fetch("list_verification_batches", org_id, statuses, limit, offset, now)
    return [batch_of_row(row) for row in rows if row["id"] is not None], rows[0]["total"]


async def backlog(c: ReadConnection) -> int:
    """How many verifications wait for a worker, as far as 10,000."""
    return await c.fetchval("verification_backlog", 10_000)


@dataclass(frozen=True, slots=True)
class KeyHolder:
    """The verification that an idempotency key stands for; `state` and `result` are its message's, None for whoever has just
    taken it."""

    session_id: SessionId
    content_hash: str
    request_hash: str
    state: str | None
    result: dict[str, Any] | None


async def claim_key(c: WriteConnection, org_id: OrgId, key: str, content: str, request: str, session_id: SessionId) -> KeyHolder | None:
    """Take the key, unless another verification holds it by right. None when somebody took it at the same time."""
    row = await c.fetchrow("claim_verification_key", org_id, key, content, request, session_id)
    return None if row is None else KeyHolder(**row)
