"""Tool calls that wait for clients."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from passel.core.ids import BatchId, MessageId, OrgId, SessionId
from passel.store.database import ReadConnection


@dataclass(frozen=True, slots=True)
class OpenCall:
    """A call that a client shall answer: event `seq` of its session, and what that says (`tool.requested`)."""

    session_id: SessionId
    seq: int
    message_id: MessageId
    data: dict[str, Any]
    created_at: datetime
    subject_id: str | None
    batch_id: BatchId | None
    metadata: dict[str, str]


async def list_open(
    c: ReadConnection,
    org_id: OrgId,
    kind: str,
    *,
    subject_id: str | None,
    names: Sequence[str] | None,
    after: tuple[str, int],
    limit: int,
) -> list[OpenCall]:
    """By their messages, the oldest first; `after` is the last one of the page before, as its message and its number."""
    rows = await c.fetch("list_open_calls", org_id, kind, subject_id, *after, names, limit)
    return [OpenCall(**row) for row in rows]
