"""Forking: a session that begins with the history of another one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from passel.core.events import Event
from passel.core.ids import MessageId, OrgId, SessionId
from passel.store import org_ledger
from passel.store.database import ReadConnection, WriteConnection
from passel.store.sessions import NewSession

_EVENT_COLUMNS = ("org_id", "session_id", "seq", "message_id", "type", "data", "created_at")


@dataclass(frozen=True, slots=True)
class Original:
    """What another session can be made from. `secrets` are sealed for this one's id."""

    org_id: OrgId
    id: SessionId
    kind: str
    subject_id: str | None
    spec: dict[str, Any]
    name: str | None
    metadata: dict[str, str]
    lane: str
    secrets: bytes | None = field(repr=False)
    last_seq: int


async def hold_session(c: WriteConnection, session_id: str) -> Original | None:
    """A session that cannot be deleted before this transaction ends; it may go on meanwhile."""
    row = await c.fetchrow("hold_session", session_id)
    return Original(**row) if row else None


async def read_history(c: ReadConnection, session_id: str, upto: int) -> list[Event]:
    """The first `upto` events."""
    return [Event(**row) for row in await c.fetch("read_history", session_id, upto)]


async def insert_fork(
    c: WriteConnection, new: NewSession, original: Original, upto: int, history: Sequence[Event], copies: Mapping[MessageId, MessageId]
) -> None:
    """A session with the first `upto` events of a held one, which `history` has in the fork's own words, and whatever that
    tells behind them. `copies` are the new ids of the messages, in their order; all of them have ended. Effects stay
    with the original: what they cost was paid there."""
    last_message_id = list(copies.values())[-1] if copies else None
    await c.execute(
        "insert_fork",
        new.org_id, new.id, new.kind, new.subject_id, new.spec, new.name, new.metadata, new.lane, new.secrets, new.created_at,
        original.id, upto, len(history), len(copies), last_message_id,
    )  # fmt: skip
    await c.execute("copy_messages", new.id, list(copies), list(copies.values()))
    await c.copy("event", _EVENT_COLUMNS, [(*event[:5], orjson.dumps(event.data), event.created_at) for event in history])
    if history:
        await org_ledger.insert_sessions(c, new.org_id, [new.id], len(history), new.created_at)
