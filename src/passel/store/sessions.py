"""Sessions, their messages and their ledgers: rows in, dataclasses out."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from passel.core.events import Draft, Event
from passel.core.ids import AgentId, LaneId, MessageId, OrgId, SessionId, VersionId
from passel.store import jobs, turns
from passel.store.database import ReadConnection, Row, WriteConnection
from passel.store.jobs import Job


@dataclass(frozen=True, slots=True)
class Session:
    org_id: OrgId
    id: SessionId
    agent_id: AgentId
    version_id: VersionId
    name: str | None
    metadata: dict[str, str]
    llm_id: str | None
    internet_access: bool
    status: str
    last_seq: int
    last_message_id: MessageId | None
    last_message_status: str | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class NewSession:
    org_id: OrgId
    id: SessionId
    agent_id: AgentId
    version_id: VersionId
    name: str | None
    metadata: dict[str, str]
    llm_id: str | None
    lane_id: LaneId
    internet_access: bool
    secrets: bytes | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Message:
    org_id: OrgId
    id: MessageId
    session_id: SessionId
    number: int
    state: str
    attempt: int
    error: str | None
    created_at: datetime
    completed_at: datetime | None


@dataclass(frozen=True, slots=True)
class Bill:
    """What the calls of a session used. `unpriced` are answered calls of models without a known price."""

    calls: int
    in_doubt: int
    unpriced: int
    input_tokens: int
    output_tokens: int
    cost_usd: Decimal


async def find_session(c: ReadConnection, session_id: str) -> Session | None:
    row = await c.fetchrow("find_session", session_id)
    return Session(**row) if row else None


async def list_sessions(
    c: ReadConnection, org_id: OrgId, *, agent_id: str | None, status: str | None, metadata: dict[str, str], before: str | None, limit: int
) -> list[Session]:
    """Newest first; `before` is the last id of the page before."""
    if metadata:
        rows = await c.fetch("list_sessions_with_metadata", org_id, agent_id, status, before, metadata, limit)
    else:
        rows = await c.fetch("list_sessions", org_id, agent_id, status, before, limit)
    return [Session(**row) for row in rows]


async def list_agent_sessions(c: ReadConnection, agent_id: str, before: str | None, limit: int) -> list[Session]:
    return [Session(**row) for row in await c.fetch("list_agent_sessions", agent_id, before, limit)]


async def insert_session(c: WriteConnection, new: NewSession) -> None:
    await c.execute(
        "insert_session",
        new.org_id, new.id, new.agent_id, new.version_id, new.name, new.metadata, new.llm_id, new.lane_id,
        new.internet_access, new.secrets, new.created_at,
    )  # fmt: skip


async def lock_session(c: WriteConnection, session_id: str) -> Row | None:
    return await c.fetchrow("lock_session", session_id)


async def count_waiting(c: ReadConnection, session_id: str) -> int:
    return await c.fetchval("count_lined", session_id)


async def add_message(
    c: WriteConnection,
    session_id: SessionId,
    message_id: MessageId,
    user_message: Draft,
    became_running: Draft,
    was_running: bool,
    now: datetime,
) -> tuple[Event, Message]:
    """Append a user's message under the session's lock, and put its job into the queue if nothing is before it."""
    row = await c.fetchrow("add_message", session_id, message_id)
    assert row is not None, "the caller holds the lock and has checked the status"
    org_id: OrgId = row["org_id"]
    drafts = [user_message] if was_running else [user_message, became_running]
    changes = turns.Changes(now)
    changes.append(org_id, session_id, row["last_seq"], drafts)
    await turns.insert_events(c, changes)
    state = "ready" if row["is_active"] else "lined"
    await c.execute("insert_message", org_id, message_id, session_id, row["message_count"], state, now)
    if row["is_active"]:
        await jobs.enqueue(c, [Job(session_id, message_id)], [row["fence"]], priority=jobs.DIRECT_PRIORITY)
        await c.fetch("lock_lanes", [row["lane_id"]])
        await c.execute("count_lanes", [row["lane_id"]], [1])
    seq = row["last_seq"] - len(drafts) + 1
    event = Event(org_id, session_id, seq, message_id, user_message.type, user_message.source, user_message.data, now)
    return event, Message(org_id, message_id, session_id, row["message_count"], state, 0, None, now, None)


async def find_message(c: ReadConnection, message_id: str) -> Message | None:
    row = await c.fetchrow("find_message", message_id)
    return Message(**row) if row else None


async def list_messages(c: ReadConnection, session_id: str) -> list[Message]:
    return [Message(**row) for row in await c.fetch("list_messages", session_id)]


async def list_events(c: ReadConnection, session_id: str, after: int, limit: int) -> list[Event]:
    return [Event(**row) for row in await c.fetch("list_events", session_id, after, limit)]


async def list_events_back(c: ReadConnection, session_id: str, before: int, limit: int) -> list[Event]:
    return [Event(**row) for row in await c.fetch("list_events_back", session_id, before, limit)]


async def read_ledgers(c: ReadConnection, session_ids: Sequence[str]) -> dict[SessionId, list[Event]]:
    ledgers: dict[SessionId, list[Event]] = {SessionId(s): [] for s in session_ids}
    for row in await c.fetch("read_ledgers", session_ids):
        ledgers[row["session_id"]].append(Event(**row))
    return ledgers


async def read_ledger(c: ReadConnection, session_id: str) -> list[Event]:
    return (await read_ledgers(c, [session_id]))[SessionId(session_id)]


async def find_event(c: ReadConnection, session_id: str, seq: int) -> Event | None:
    row = await c.fetchrow("find_event", session_id, seq)
    return Event(**row) if row else None


async def session_bill(c: ReadConnection, session_id: str) -> Bill:
    row = await c.fetchrow("session_cost", session_id)
    assert row is not None
    return Bill(**row)


async def remember_key(c: WriteConnection, org_id: OrgId, scope: str, key: str, request_hash: str, event: Event, now: datetime) -> bool:
    """Whether the key was free. The caller holds a lock that makes it the only one to ask for this scope."""
    return await c.fetchval("insert_idempotency_key", org_id, scope, key, request_hash, event.session_id, event.seq, now) is not None


async def recall_key(c: ReadConnection, scope: str, key: str) -> Row | None:
    return await c.fetchrow("find_idempotency_key", scope, key)


async def ensure_lanes(c: WriteConnection, org_id: OrgId, names: Sequence[str]) -> dict[str, LaneId]:
    """The ids of lanes, which are made when they are new."""
    wanted = sorted(set(names))
    found: dict[str, Any] = {row["name"]: row["id"] for row in await c.fetch("find_lanes", org_id, wanted)}
    if len(found) < len(wanted):
        await c.execute("create_lanes", org_id, wanted)
        found = {row["name"]: row["id"] for row in await c.fetch("find_lanes", org_id, wanted)}
    return found
