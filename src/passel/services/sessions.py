"""Sessions: making them, sending them messages, reading what their ledgers say."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from passel.core import events
from passel.core.content import require_storable
from passel.core.errors import Conflict, NotFound, Unprocessable
from passel.core.events import Event
from passel.core.ids import AgentId, SessionId
from passel.core.ledger import TimelineItem, content_of, output_of, timeline
from passel.core.limits import Limits
from passel.core.llm import lane_name
from passel.core.manifest import SECRET_NAME
from passel.services import files
from passel.services.deps import Caller, Deps, require_own
from passel.store import agents as agent_store
from passel.store import sessions as store
from passel.store.agents import Agent, Version
from passel.store.database import WriteConnection
from passel.store.sessions import Bill, Message, NewSession, Session


@dataclass(frozen=True, slots=True)
class SessionRequest:
    name: str | None = None
    metadata: dict[str, str] = field(default_factory=dict[str, str])
    secrets: dict[str, str] = field(default_factory=dict[str, str], repr=False)
    llm_id: str | None = None
    llm_api_key: str | None = field(default=None, repr=False)
    internet_access: bool = False
    version_id: str | None = None


@dataclass(frozen=True, slots=True)
class MessageRequest:
    content: list[dict[str, Any]]
    metadata: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Sent:
    """`replayed` when the idempotency key was known: then nothing new was made."""

    event: Event
    message: Message
    session: Session
    replayed: bool


@dataclass(frozen=True, slots=True)
class ReadMessage:
    message: Message
    content: list[dict[str, Any]]
    metadata: dict[str, Any]
    parts: tuple[dict[str, Any], ...]
    error: str | None


@dataclass(frozen=True, slots=True)
class Transcript:
    agent: Agent
    session: Session
    items: list[TimelineItem]


def seal_secrets(deps: Deps, session_id: str, secrets: dict[str, str], llm_api_key: str | None) -> bytes | None:
    if not secrets and llm_api_key is None:
        return None
    return deps.vault.seal({"secrets": secrets, "llm_api_key": llm_api_key}, session_id)


def secret_problem(secrets: dict[str, str], limits: Limits) -> str | None:
    """What is wrong with the names or values of session secrets. Values are never repeated."""
    if len(secrets) > limits.secrets:
        return f"at most {limits.secrets} secrets are allowed"
    for name, value in secrets.items():
        if not SECRET_NAME.fullmatch(name):
            return f"the secret name {name[:100]!r} does not match {SECRET_NAME.pattern}"
        if not value or len(value) > limits.secret_chars:
            return f"the secret {name} must have 1 to {limits.secret_chars} characters"
    return None


async def create_session(deps: Deps, caller: Caller, agent_id: str, request: SessionRequest) -> Session:
    async with deps.db.write() as c:
        new = await _new_session(deps, caller, c, agent_id, request)
        await store.insert_session(c, new)
        session = await store.find_session(c, new.id)
    assert session is not None
    return session


async def _new_session(deps: Deps, caller: Caller, c: WriteConnection, agent_id: str, request: SessionRequest) -> NewSession:
    agent = await agent_store.lock_agent(c, agent_id)
    require_own(deps, caller, agent and agent.org_id, "agent")
    if agent is None or agent.deleted_at:
        raise NotFound("this agent is deleted")
    version = await _version(c, agent, request.version_id)
    option_missing = request.llm_id is not None and request.llm_id not in version.spec.llms
    if option_missing:
        raise Unprocessable(unknown_option(version, request.llm_id), field="llm_id")
    if problem := secret_problem(request.secrets, deps.limits):
        raise Unprocessable(problem, field="secrets")
    for value, where in ((request.name, "name"), (request.llm_api_key, "llm_api_key")):
        if value is not None:
            require_storable(value, where)
    option = version.spec.option(request.llm_id)
    lane = lane_name(option, request.llm_api_key, request.secrets)
    lanes = await store.ensure_lanes(c, caller.org_id, [lane])
    session_id = deps.ids.session()
    return NewSession(
        caller.org_id, session_id, agent.id, version.id, request.name, request.metadata, request.llm_id, lanes[lane],
        request.internet_access, seal_secrets(deps, session_id, request.secrets, request.llm_api_key), deps.now(),
    )  # fmt: skip


def unknown_option(version: Version, llm_id: str | None) -> str:
    known = ", ".join(key for key in version.spec.llms if key) or "none: its manifest has no llm.options"
    return f"the agent has no LLM option {llm_id}; it has {known}"


async def _version(c: WriteConnection, agent: Agent, version_id: str | None) -> Version:
    version = await agent_store.find_version(c, version_id or agent.active_version_id)
    if version is None or version.agent_id != agent.id:
        raise NotFound(f"the agent has no version {version_id}")
    return version


async def start_session(
    deps: Deps, caller: Caller, agent_id: str, request: SessionRequest, message: MessageRequest, key: str | None
) -> Sent:
    """A new session with its first message, as one transaction."""
    async with deps.db.write() as c:
        known = await files.look_up(c, caller.org_id, sorted(files.named_files(message.content)))
        known.require(message.content)
        if key is not None:
            # creations with one key are one at a time: there is no session yet whose row could be locked
            await c.raw.execute("select pg_advisory_xact_lock(hashtextextended($1, 0))", f"{agent_id}:{key}")
            agent = await agent_store.find_agent(c, agent_id)
            require_own(deps, caller, agent and agent.org_id, "agent")
            if sent := await _replay(c, agent_id, key):
                return sent
        new = await _new_session(deps, caller, c, agent_id, request)
        await store.insert_session(c, new)
        return await _send(deps, caller, c, new.id, False, message, agent_id, key)


async def send_message(deps: Deps, caller: Caller, session_id: str, message: MessageRequest, key: str | None) -> Sent:
    """Queue a user's message: it runs at once, or behind those before it."""
    async with deps.db.write() as c:
        session = await store.find_session(c, session_id)
        require_own(deps, caller, session and session.org_id, "session")
        assert session is not None
        agent = await agent_store.lock_agent(c, session.agent_id)
        row = await store.lock_session(c, session_id)
        assert row is not None
        if key is not None and (sent := await _replay(c, session_id, key)):
            return sent
        if agent is None or agent.deleted_at:
            raise Conflict("the agent of this session is deleted; the session can only be read")
        if row["status"] not in ("idle", "running"):
            raise Conflict(f"this session is {row['status']} and takes no more messages")
        if await store.count_waiting(c, session_id) >= deps.limits.waiting_messages:
            raise Conflict(f"{deps.limits.waiting_messages} messages wait in this session already: try again when some are done")
        known = await files.look_up(c, caller.org_id, sorted(files.named_files(message.content)))
        known.require(message.content)
        return await _send(deps, caller, c, session.id, row["status"] == "running", message, session_id, key)


async def _send(
    deps: Deps,
    caller: Caller,
    c: WriteConnection,
    session_id: SessionId,
    was_running: bool,
    message: MessageRequest,
    scope: str,
    key: str | None,
) -> Sent:
    message_id = deps.ids.message()
    said = events.user_message(message_id, message.content, message.metadata)
    running = events.session_status("running", "idle")
    event, made = await store.add_message(c, session_id, message_id, said, running, was_running, deps.now())
    if key is not None:
        await store.remember_key(c, caller.org_id, scope, key, _digest(message), event, deps.now())
    session = await store.find_session(c, session_id)
    assert session is not None
    return Sent(event, made, session, replayed=False)


def _digest(message: MessageRequest) -> str:
    return hashlib.sha256(json.dumps([message.content, message.metadata], sort_keys=True).encode()).hexdigest()


async def _replay(c: WriteConnection, scope: str, key: str) -> Sent | None:
    row = await store.recall_key(c, scope, key)
    if row is None:
        return None
    event = await store.find_event(c, row["session_id"], row["seq"])
    session = await store.find_session(c, row["session_id"])
    assert event is not None and session is not None and event.message_id is not None
    message = await store.find_message(c, event.message_id)
    assert message is not None
    return Sent(event, message, session, replayed=True)


async def get_session(deps: Deps, caller: Caller, session_id: str) -> Session:
    async with deps.db.read() as c:
        session = await store.find_session(c, session_id)
    require_own(deps, caller, session and session.org_id, "session")
    assert session is not None
    return session


async def list_sessions(
    deps: Deps, caller: Caller, *, agent_id: str | None, status: str | None, metadata: dict[str, str], before: str | None, limit: int
) -> list[Session]:
    async with deps.db.read() as c:
        return await store.list_sessions(c, caller.org_id, agent_id=agent_id, status=status, metadata=metadata, before=before, limit=limit)


async def list_agent_sessions(deps: Deps, caller: Caller, agent_id: str, before: str | None, limit: int) -> list[Session]:
    async with deps.db.read() as c:
        agent = await agent_store.find_agent(c, agent_id)
        require_own(deps, caller, agent and agent.org_id, "agent")
        return await store.list_agent_sessions(c, agent_id, before, limit)


async def list_events(
    deps: Deps, caller: Caller, session_id: str, *, after: int, limit: int, newest_first: bool
) -> tuple[Session, list[Event]]:
    """In the order of their numbers from the one behind `after`; newest first from the one before `after`, if given."""
    session = await get_session(deps, caller, session_id)
    async with deps.db.read() as c:
        if newest_first:
            return session, await store.list_events_back(c, session_id, after, limit)
        return session, await store.list_events(c, session_id, after, limit)


async def get_message(deps: Deps, caller: Caller, message_id: str) -> ReadMessage:
    async with deps.db.snapshot() as c:
        message = await store.find_message(c, message_id)
        require_own(deps, caller, message and message.org_id, "message")
        assert message is not None
        return _read(message, await store.read_ledger(c, message.session_id))


async def list_messages(deps: Deps, caller: Caller, session_id: str) -> list[ReadMessage]:
    await get_session(deps, caller, session_id)
    async with deps.db.snapshot() as c:
        messages = await store.list_messages(c, session_id)
        ledger = await store.read_ledger(c, session_id)
    return [_read(message, ledger) for message in messages]


def _read(message: Message, ledger: Sequence[Event]) -> ReadMessage:
    own = [event for event in ledger if event.message_id == message.id]
    output = output_of(own, message.id)
    said = next(event for event in own if event.type == events.USER_MESSAGE)
    return ReadMessage(message, content_of(own, message.id), said.data["metadata"], output.parts, output.error)


async def get_transcript(deps: Deps, caller: Caller, session_id: str) -> Transcript:
    async with deps.db.snapshot() as c:
        session = await store.find_session(c, session_id)
        require_own(deps, caller, session and session.org_id, "session")
        assert session is not None
        agent = await agent_store.find_agent(c, AgentId(session.agent_id))
        assert agent is not None
        return Transcript(agent, session, timeline(await store.read_ledger(c, session_id)))


async def get_bill(deps: Deps, caller: Caller, session_id: str) -> Bill:
    await get_session(deps, caller, session_id)
    async with deps.db.read() as c:
        return await store.session_bill(c, session_id)
