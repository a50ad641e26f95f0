"""Verifications that a person is to decide, in SQL."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from passel.core.events import Draft
from passel.core.ids import BatchId, MessageId, OrgId, SessionId
from passel.store import ledgers
from passel.store.changes import Changes
from passel.store.database import ReadConnection, WriteConnection
from passel.store.ledgers import Telling


@dataclass(frozen=True, slots=True)
class Escalation:
    """`result` is what the verification concluded, and what was decided since."""

    session_id: SessionId
    message_id: MessageId
    batch_id: BatchId | None
    item_index: int | None
    result: dict[str, Any]
    escalated_at: datetime
    content: str


async def list_escalations(
    c: ReadConnection,
    org_id: OrgId,
    *,
    statuses: Sequence[str] | None,
    reasons: Sequence[str] | None,
    priorities: Sequence[str] | None,
    expired_before: datetime,
    limit: int,
    offset: int,
) -> tuple[list[Escalation], int]:
    """Newest first, and how many there are with these filters."""
    rows = await c.fetch("list_escalations", org_id, statuses, reasons, priorities, expired_before, limit, offset)
    found = [Escalation(**{name: row[name] for name in Escalation.__slots__}) for row in rows if row["session_id"] is not None]
    return found, rows[0]["total"]


async def find_escalation(c: ReadConnection, org_id: OrgId, session_id: str) -> Escalation | None:
    row = await c.fetchrow("find_escalation", org_id, session_id)
    return Escalation(**row) if row else None


async def resolve(
    c: WriteConnection, found: Escalation, decided: dict[str, Any], told: Draft, expired_before: datetime, changes: Changes
) -> bool:
    """Whether the decision holds: nobody decided before, and it came in time. Then the ledger tells of it; the caller settles
    `changes`."""
    row = await c.fetchrow("resolve_escalation", found.session_id, found.message_id, expired_before, decided)
    if row is None:
        return False
    telling = Telling(row["org_id"], row["session_id"], row["id"], (told,))
    changes.announce((await ledgers.append(c, [telling], changes.now)).values())
    return True
