"""Sessions of any kind: reading them, adding a message to one, ending what has not ended, deleting."""

import json
from dataclasses import dataclass
from typing import Any

from passel.core.errors import Conflict, NotFound, Unprocessable
from passel.core.events import Event, message_requested
from passel.services.deps import Caller, Deps, require_own
from passel.store import admission, cancelling, deleting
from passel.store import sessions as store
from passel.store.database import ReadConnection, WriteConnection
from passel.store.sessions import Bill, LockedSession, Message, Session


@dataclass(frozen=True, slots=True)
class Sent:
    """`replayed` when the idempotency key was known: then nothing new was made."""

    event: Event
    message: Message
    session: Session
    replayed: bool


@dataclass(frozen=True, slots=True)
class Once:
    """A request that is made once: its idempotency key, within what the key counts, and a digest of what is asked."""

    scope: str
    key: str
    digest: str


def once(deps: Deps, scope: str, key: str | None, *asked: Any) -> Once | None:
    """None without a key. The digest is signed, since there may be secrets in what is asked."""
    return None if key is None else Once(scope, key, deps.vault.sign(json.dumps(asked, sort_keys=True)))


async def add_request(
    deps: Deps, caller: Caller, c: WriteConnection, session: LockedSession, request: dict[str, Any], once: Once | None
) -> Sent:
    """Append a request to a session whose lock is held: it runs at once, or behind those before it. It is remembered as
    `once`, which `replay` has found to be new. Raises `Conflict` when the session is closed or too many messages wait
    (decision 20 of the `dari` contract)."""
    if session.closed:
        raise Conflict(f"this session is {session.closed} and takes no more messages")
    if session.lined >= deps.limits.waiting_messages:
        raise Conflict(f"{deps.limits.waiting_messages} messages wait in this session already: try again when some are done")
    lanes = await admission.ensure_lanes(c, caller.org_id, [session.lane], deps.now())
    message_id = deps.ids.message()
    event, message = await store.add_message(
        c, session, message_id, message_requested(request), lanes[session.lane], deps.now(), deps.capacity
    )
    if once is not None:
        await store.remember_key(c, caller.org_id, once.scope, once.key, once.digest, event, deps.now())
    found = await store.find_session(c, session.id)
    if found is None:
        raise NotFound("no such session")  # its batch was deleted meanwhile
    return Sent(event, message, found, replayed=False)


async def replay(deps: Deps, c: WriteConnection, once: Once) -> Sent | None:
    """What a request with this key was answered with; None when the key is new. Raises `Unprocessable` when the server
    is strict and something else is asked now."""
    known = await store.recall_key(c, once.scope, once.key)
    if known is None:
        return None
    if deps.strict_idempotency and known.request_hash != once.digest:
        raise Unprocessable("this Idempotency-Key came with another body before: use a new key", field="Idempotency-Key")
    event = await store.find_event(c, known.session_id, known.seq)
    session = await store.find_session(c, known.session_id)
    message = await store.find_message(c, event.message_id) if event and event.message_id else None
    if event is None or session is None or message is None:
        return None  # deleted since the key was looked up
    return Sent(event, message, session, replayed=True)


async def own(deps: Deps, caller: Caller, c: ReadConnection, kind: str, session_id: str) -> Session:
    """The caller's session of that kind, on a connection. Raises `NotFound` or `Forbidden`."""
    return require_session(deps, caller, kind, await store.find_session(c, session_id))


def require_session(deps: Deps, caller: Caller, kind: str, session: Session | None) -> Session:
    """The session that was found, if it is the caller's and of that kind. Raises `NotFound` or `Forbidden`."""
    of_kind = session if session and session.kind == kind else None
    require_own(deps, caller, of_kind and of_kind.org_id, "session")
    assert session is not None
    return session


async def get_session(deps: Deps, caller: Caller, kind: str, session_id: str) -> Session:
    """Raises `NotFound` or `Forbidden`."""
    async with deps.db.read() as c:
        return await own(deps, caller, c, kind, session_id)


async def own_message(deps: Deps, caller: Caller, c: ReadConnection, kind: str, message_id: str) -> Message:
    """The caller's message of that kind, on a connection. Raises `NotFound` or `Forbidden`."""
    message = await store.find_message(c, message_id)
    of_kind = message if message and message.kind == kind else None
    require_own(deps, caller, of_kind and of_kind.org_id, "message")
    assert message is not None
    return message


async def cancel_message(deps: Deps, caller: Caller, kind: str, message_id: str) -> None:
    """End a message that has not ended, wherever it stands. What its attempt had begun is in doubt from then on."""
    done = False
    while not done:
        async with deps.db.write() as c:
            message = await own_message(deps, caller, c, kind, message_id)
            done = await cancelling.cancel_message(c, message, deps.now(), deps.capacity, deps.announcing)


async def cancel(deps: Deps, caller: Caller, kind: str, session_id: str) -> Session:
    """End what has not ended of a session: its active message, and all that stand behind it. It takes further ones."""
    done = False
    while not done:
        async with deps.db.write() as c:
            await own(deps, caller, c, kind, session_id)
            done = await cancelling.cancel_session(c, session_id, deps.now(), deps.capacity, deps.announcing)
    return await get_session(deps, caller, kind, session_id)


async def delete(deps: Deps, caller: Caller, kind: str, session_id: str) -> None:
    """Delete a session with its messages, its ledger and its bill. Raises `Conflict` while something of it is under way,
    and for sessions of a batch, which go with it."""
    async with deps.db.write() as c:
        session = await own(deps, caller, c, kind, session_id)
        if session.batch_id is not None:
            raise Conflict(f"this session is an item's of the batch {session.batch_id}: it can only be deleted with that batch")
        if await deleting.delete_if_idle(c, [session.id], deps.now()):
            return
        await own(deps, caller, c, kind, session_id)  # gone is what somebody else has deleted meanwhile
        raise Conflict("a message of this session has not ended: cancel the session first, or wait")


async def list_sessions(
    deps: Deps,
    caller: Caller,
    kind: str,
    *,
    subject_id: str | None,
    status: str | None,
    metadata: dict[str, str],
    before: str | None,
    limit: int | None,
) -> list[Session]:
    """Newest first; all of `metadata` must match. `status` is that of `Session`, `before` the last id of the page
    before, `limit` None means all."""
    async with deps.db.read() as c:
        return await store.list_sessions(
            c, caller.org_id, kind, subject_id=subject_id, status=status, metadata=metadata, before=before, limit=limit
        )


async def list_events(
    deps: Deps, caller: Caller, kind: str, session_id: str, *, after: int, limit: int, newest_first: bool
) -> tuple[Session, list[Event]]:
    """In the order of their numbers from the one behind `after`. Newest first it is from the one before `after`, or
    from the last where that is 0. Raises `NotFound` or `Forbidden`."""
    async with deps.db.read() as c:
        session = await own(deps, caller, c, kind, session_id)
        if newest_first:
            return session, await store.list_events_back(c, session_id, after, limit)
        return session, await store.list_events(c, session_id, after, limit)


async def get_bill(deps: Deps, caller: Caller, kind: str, session_id: str) -> Bill:
    """What the session's effects used so far. Raises `NotFound` or `Forbidden`."""
    async with deps.db.read() as c:
        await own(deps, caller, c, kind, session_id)
        return await store.session_bill(c, session_id)
