"""Sessions, their messages and their ledgers: rows in, dataclasses out."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

import orjson

from passel.core import events
from passel.core.events import Draft, Event
from passel.core.ids import BatchId, LaneId, MessageId, OrgId, SessionId
from passel.core.states import LINED, READY, RUNNING
from passel.store.admission import Capacity
from passel.store.changes import Changes, settle
from passel.store.database import ReadConnection, Row, WriteConnection


@dataclass(frozen=True, slots=True)
class Session:
    """`subject_id` is what the session is held with, `spec` what its kind keeps of it. `batch_id` is the batch that an
    item of made it. `status` is `idle`, `running`, or how it was closed: `failed`, `expired`; `last_message_state` is None
    before the first message. The first `forked_seq` events of a fork are those of `forked_from`, which may be deleted by
    now."""

    org_id: OrgId
    id: SessionId
    kind: str
    subject_id: str | None
    spec: dict[str, Any]
    name: str | None
    metadata: dict[str, str]
    lane: str
    last_seq: int
    last_message_id: MessageId | None
    created_at: datetime
    batch_id: BatchId | None
    forked_from: SessionId | None
    forked_seq: int | None
    status: str
    last_message_state: str | None


@dataclass(frozen=True, slots=True)
class NewSession:
    """`secrets` are sealed for this session's id; `lane` is the name of the lane that its messages wait in."""

    org_id: OrgId
    id: SessionId
    kind: str
    subject_id: str | None
    spec: dict[str, Any]
    name: str | None
    metadata: dict[str, str]
    lane: str
    secrets: bytes | None = field(repr=False)
    created_at: datetime


@dataclass(frozen=True, slots=True)
class LockedSession:
    """A session under its lock, as far as its messages are concerned: `lined` of them stand behind the active one."""

    org_id: OrgId
    id: SessionId
    kind: str
    subject_id: str | None
    lane: str
    closed: str | None
    lined: int
    active_message_id: MessageId | None


@dataclass(frozen=True, slots=True)
class Message:
    """`number` counts the session's messages from 1, `attempt` is 0 before the first one. `result` is what its kind
    made of it; `reason` and `wake_at` say why and until when it waits or is delayed."""

    org_id: OrgId
    id: MessageId
    session_id: SessionId
    kind: str
    number: int
    state: str
    attempt: int
    result: dict[str, Any] | None
    error: str | None
    reason: str | None
    wake_at: datetime | None
    created_at: datetime
    ended_at: datetime | None


@dataclass(frozen=True, slots=True)
class Bill:
    """What the effects of a session used. `calls` were sent; `unpriced` ended well and have no known price."""

    calls: int
    in_doubt: int
    unpriced: int
    priced: int
    input_tokens: int
    output_tokens: int
    cost_usd: Decimal


@dataclass(frozen=True, slots=True)
class Remembered:
    """What a request with an idempotency key was answered with."""

    session_id: SessionId
    seq: int
    request_hash: str


async def find_session(c: ReadConnection, session_id: str) -> Session | None:
    found = await find_sessions(c, [session_id])
    return found[0] if found else None


async def find_sessions(c: ReadConnection, session_ids: Sequence[str]) -> list[Session]:
    """Those of them that are there, in any order."""
    return [Session(**row) for row in await c.fetch("find_sessions", session_ids)]


async def list_sessions(
    c: ReadConnection,
    org_id: OrgId,
    kind: str,
    *,
    subject_id: str | None,
    status: str | None,
    metadata: dict[str, str],
    before: str | None,
    limit: int | None,
) -> list[Session]:
    """Newest first; all of `metadata` must match. `before` is the last id of the page before, `limit` None means
    all."""
    if metadata:
        rows = await c.fetch("list_sessions_with_metadata", org_id, kind, subject_id, status, before, metadata, limit)
    else:
        rows = await c.fetch("list_sessions", org_id, kind, subject_id, status, before, limit)
    return [Session(**row) for row in rows]


async def list_subject_sessions(c: ReadConnection, kind: str, subject_id: str, before: str | None, limit: int | None) -> list[Session]:
    """Newest first; `before` is the last id of the page before, `limit` None means all."""
    return [Session(**row) for row in await c.fetch("list_subject_sessions", subject_id, before, limit, kind)]


async def insert_session(c: WriteConnection, new: NewSession) -> None:
    await c.execute(
        "insert_session",
        new.org_id, new.id, new.kind, new.subject_id, new.spec, new.name, new.metadata, new.lane, new.secrets, new.created_at,
    )  # fmt: skip


async def lock_session(c: WriteConnection, session_id: str) -> LockedSession | None:
    """Until the transaction ends nobody else adds to the session's ledger or to its line."""
    locked = await lock_sessions(c, [session_id])
    return locked[0] if locked else None


async def lock_sessions(c: WriteConnection, session_ids: Sequence[str]) -> list[LockedSession]:
    """Those of them that are there, in the order of their ids."""
    return [LockedSession(**row) for row in await c.fetch("lock_sessions", session_ids)]


async def add_message(
    c: WriteConnection, session: LockedSession, message_id: MessageId, requested: Draft, lane_id: LaneId, now: datetime, capacity: Capacity
) -> tuple[Event, Message]:
    """Append a request under the session's lock: it is ready at once, or stands in line behind those before it."""
    drafts = [requested] if session.active_message_id else [requested, events.session_state(RUNNING, events.IDLE)]
    row = await c.fetchrow("extend_session", session.id, message_id, len(drafts))
    assert row is not None, "the caller holds the session's lock"
    first = row["last_seq"] - len(drafts) + 1
    about = (message_id, None)
    told = [Event(session.org_id, session.id, first + n, about[n], draft.type, draft.data, now) for n, draft in enumerate(drafts)]
    await c.fetch(
        "insert_events",
        session.org_id,
        session.id,
        [event.seq for event in told],
        [event.message_id for event in told],
        [event.type for event in told],
        [orjson.dumps(event.data) for event in told],
        now,
    )
    changes = Changes(now)
    state = READY if row["is_active"] else LINED
    await c.execute("insert_message", session.org_id, message_id, session.id, session.kind, row["message_count"], state, lane_id, now)
    if row["is_active"]:
        changes.lanes[lane_id].active += 1
        changes.ready(session.kind, state)
    await settle(c, changes, capacity)
    message = Message(
        session.org_id, message_id, session.id, session.kind, row["message_count"], state, 0, None, None, None, None, now, None
    )
    return told[0], message


async def find_message(c: ReadConnection, message_id: str) -> Message | None:
    found = await find_messages(c, [message_id])
    return found[0] if found else None


async def find_messages(c: ReadConnection, message_ids: Sequence[str]) -> list[Message]:
    """Those of them that are there, in any order."""
    return [Message(**row) for row in await c.fetch("find_messages", message_ids)]


async def list_messages(c: ReadConnection, session_id: str, after: int, limit: int) -> list[Message]:
    """In the order of their numbers, from the one behind `after`."""
    return [Message(**row) for row in await c.fetch("list_messages", session_id, after, limit)]


async def list_message_events(c: ReadConnection, session_id: str, message_ids: Sequence[str]) -> list[Event]:
    """The events of these messages, in the order of the ledger."""
    return _events(await c.fetch("list_message_events", session_id, message_ids))


async def list_told_of_messages(
    c: ReadConnection, messages: Sequence[tuple[str, str]], types: Sequence[str], *, without: Sequence[str], whole: Sequence[str]
) -> list[Event]:
    """The events of these types of messages, given as session and message, in the order of each ledger: `without` fields of
    their data that may be large, but where its `id` is among `whole`."""
    sessions, ids = [s for s, _ in messages], [m for _, m in messages]
    return _events(await c.fetch("list_told_of_messages", sessions, ids, types, without, whole))


async def list_events(c: ReadConnection, session_id: str, after: int, limit: int) -> list[Event]:
    """In the order of their numbers, from the one behind `after`."""
    return _events(await c.fetch("list_events", session_id, after, limit))


async def list_new_events(c: ReadConnection, followers: Sequence[tuple[str, int]]) -> list[list[Event]]:
    """For each follower, given as session and the last number that it has seen, what comes next: a bounded page."""
    pages: list[list[Event]] = [[] for _ in followers]
    for row in await c.fetch("list_new_events", [id for id, _ in followers], [after for _, after in followers]):
        follower, *event = row.values()
        pages[follower - 1].append(Event._make(event))
    return pages


async def list_events_back(c: ReadConnection, session_id: str, before: int, limit: int) -> list[Event]:
    """Newest first, from the one before `before`, or from the last where that is 0."""
    return _events(await c.fetch("list_events_back", session_id, before, limit))


async def read_ledger(c: ReadConnection, session_id: str) -> list[Event]:
    """All of it, in the order of its numbers."""
    return _events(await c.fetch("read_ledgers", [session_id]))


async def find_event(c: ReadConnection, session_id: str, seq: int) -> Event | None:
    row = await c.fetchrow("find_event", session_id, seq)
    return Event(**row) if row else None


async def session_bill(c: ReadConnection, session_id: str) -> Bill:
    """Of the effects that have ended; all zero where there are none."""
    row = await c.fetchrow("session_bill", session_id)
    assert row is not None
    return Bill(**row)


async def lock_idempotency_key(c: WriteConnection, scope: str, key: str) -> None:
    """Requests with one key are one at a time; the lock ends with the transaction."""
    await c.fetchval("lock_idempotency_key", f"{scope}:{key}")


async def remember_key(c: WriteConnection, org_id: OrgId, scope: str, key: str, request_hash: str, event: Event, now: datetime) -> bool:
    """Whether the key was free. The caller holds a lock that makes it the only one to ask for this scope."""
    return await c.fetchval("insert_idempotency_key", org_id, scope, key, request_hash, event.session_id, event.seq, now) is not None


async def recall_key(c: ReadConnection, scope: str, key: str) -> Remembered | None:
    row = await c.fetchrow("find_idempotency_key", scope, key)
    return Remembered(**row) if row else None


def _events(rows: Sequence[Row]) -> list[Event]:
    return [Event(**row) for row in rows]
