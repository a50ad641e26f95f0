"""Items that have failed, with what their next try needs."""

from dataclasses import dataclass, field
from typing import Any

from passel.core.ids import SessionId
from passel.store.database import ReadConnection, Row


@dataclass(frozen=True, slots=True)
class OldSession:
    """The session of a try: what another one like it is made from. `secrets` are sealed for this one's id, `file_ids` are
    the files that its messages name."""

    id: SessionId
    lane: str
    request: dict[str, Any]
    secrets: bytes | None = field(repr=False)
    file_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FailedTry:
    """`session` is None for an item that could not be made; then `asked` is what was asked. `state` is what its batch counts it as."""

    index: int
    try_number: int
    state: str
    error: str
    spec: dict[str, Any]
    metadata: dict[str, str]
    session: OldSession | None
    asked: dict[str, Any]


async def list_failed(c: ReadConnection, batch_id: str, after: int, limit: int, *, broken: bool = False) -> list[FailedTry]:
    """In input order, from the one behind the index `after`; cancelled ones too. Where `broken` also those that had completed while
    their message went on, and which failed then."""
    return [_failed(row) for row in await c.fetch("list_failed", batch_id, after, limit, broken)]


def _failed(row: Row) -> FailedTry:
    asked: dict[str, Any] = row["request"] or {}
    session = None
    if row["session_id"] is not None:
        session = OldSession(row["session_id"], row["lane"], row["requested"], row["secrets"], tuple(row["file_ids"]))
    spec, metadata = (row["spec"], row["metadata"]) if session else (asked, asked.get("metadata", {}))
    return FailedTry(row["index"], row["try"], row["state"], row["error"] or "", spec, metadata, session, asked)
