"""Talking with agents: making sessions, sending them messages, reading what their ledgers say."""

from dataclasses import asdict, dataclass, field, replace
from typing import Any

from passel.core.agent import events as agent_events
from passel.core.agent.ledger import Call, Output, TimelineItem, output_of, request_of, timeline
from passel.core.agent.spec import SessionSpec
from passel.core.errors import Conflict, NotFound
from passel.core.llm.options import lane_name
from passel.services import files, sessions
from passel.services.agents import checks
from passel.services.deps import Caller, Deps, require_own
from passel.services.files import KnownFiles
from passel.services.sessions import Once, Sent
from passel.store import agents as agent_store
from passel.store import sessions as store
from passel.store.agents import Agent, Version
from passel.store.database import ReadConnection, WriteConnection
from passel.store.sessions import Message, NewSession, Session

KIND = "agent"

_MESSAGES_AT_ONCE = 200


@dataclass(frozen=True, slots=True)
class SessionRequest:
    """`place` is what errors put before the names of these fields: where they stand in the body."""

    name: str | None = None
    metadata: dict[str, str] = field(default_factory=dict[str, str])
    secrets: dict[str, str] = field(default_factory=dict[str, str], repr=False)
    llm_id: str | None = None
    llm_api_key: str | None = field(default=None, repr=False)
    internet_access: bool = False
    version_id: str | None = None
    place: str = ""


@dataclass(frozen=True, slots=True)
class MessageRequest:
    """`place` is where the content stands in the body."""

    content: list[dict[str, Any]]
    metadata: dict[str, Any]
    place: str = "content"


@dataclass(frozen=True, slots=True)
class ReadMessage:
    """`content` and `metadata` are the user's, `texts` and `error` what the agent did about them
    (`passel.core.agent.ledger.Output`)."""

    message: Message
    content: list[dict[str, Any]]
    metadata: dict[str, Any]
    output: Output


@dataclass(frozen=True, slots=True)
class Transcript:
    agent: Agent
    session: Session
    items: list[TimelineItem | Call]


async def create_session(deps: Deps, caller: Caller, agent_id: str, request: SessionRequest) -> Session:
    """A session without a message yet. Raises `NotFound` when the agent is not there or deleted or has no such version,
    `Forbidden`, and `Unprocessable` with every broken field."""
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
    version = await _version(c, agent, request)
    _check(deps, request, version)
    lane = lane_name(version.spec.option(request.llm_id), request.llm_api_key, request.secrets)
    session_id = deps.ids.session()
    sealed = checks.session_secrets(request.secrets, request.llm_api_key)
    spec = SessionSpec(version.id, request.llm_id, request.internet_access)
    return NewSession(
        caller.org_id, session_id, KIND, agent.id, spec.to_json(), request.name, request.metadata, lane,
        None if sealed is None else deps.vault.seal(sealed, session_id), deps.now(),
    )  # fmt: skip


def _check(deps: Deps, request: SessionRequest, version: Version) -> None:
    problems = [
        *checks.option_problems(version, request.llm_id),
        *checks.secret_problems(request.secrets, deps.limits),
        *checks.metadata_problems(request.metadata, deps.limits),
    ]
    checks.require([replace(problem, loc=request.place + problem.loc) for problem in problems])


async def _version(c: WriteConnection, agent: Agent, request: SessionRequest) -> Version:
    version = await agent_store.find_version(c, request.version_id or agent.active_version_id)
    if version is None or version.agent_id != agent.id:
        raise NotFound(f"the agent has no version {request.version_id}", field=f"{request.place}version_id")
    return version


async def start_session(
    deps: Deps, caller: Caller, agent_id: str, request: SessionRequest, message: MessageRequest, key: str | None
) -> Sent:
    """A new session with its first message, as one transaction. `key` counts within the agent; a known one gives the
    first answer (decision 22 of the `dari` contract). Raises what `create_session` raises, `NotFound` or
    `Unprocessable` for files of the content, and `Unprocessable` for a known key with another body where the server is
    strict."""
    once = sessions.once(deps, agent_id, key, message.content, message.metadata, asdict(request))
    async with deps.db.write() as c:
        (await _hold_files(c, caller, message)).require(message.content, message.place)
        if once is not None:
            # creations with one key are one at a time: there is no session yet whose row could be locked
            await store.lock_idempotency_key(c, once.scope, once.key)
            agent = await agent_store.find_agent(c, agent_id)
            require_own(deps, caller, agent and agent.org_id, "agent")
            if sent := await sessions.replay(deps, c, once):
                return sent
        new = await _new_session(deps, caller, c, agent_id, request)
        await store.insert_session(c, new)
        return await _send(deps, caller, c, new.id, message, once)


async def send_message(deps: Deps, caller: Caller, session_id: str, message: MessageRequest, key: str | None) -> Sent:
    """Queue a user's message: it runs at once, or behind those before it. `key` counts within the session; a known one
    gives the first answer, also when the agent is deleted by now (decision 22 of the `dari` contract).

    Raises `NotFound` or `Forbidden` for the session, `NotFound` or `Unprocessable` for files of the content,
    `Unprocessable` for a known key with another body where the server is strict, and `Conflict` when the agent is
    deleted, the session closed, or too many messages wait (decisions 20 and 62).
    """
    once = sessions.once(deps, session_id, key, message.content, message.metadata)
    async with deps.db.write() as c:
        session = await sessions.own(deps, caller, c, KIND, session_id)
        known = await _hold_files(c, caller, message)
        agent = await agent_store.lock_agent(c, session.subject_id or "")
        if await store.lock_session(c, session_id) is None:
            raise NotFound("no such session")  # it was deleted meanwhile
        if once is not None and (sent := await sessions.replay(deps, c, once)):
            return sent
        if agent is None or agent.deleted_at:
            raise Conflict("the agent of this session is deleted; the session can only be read")
        known.require(message.content, message.place)
        return await _send(deps, caller, c, session_id, message, once)


async def _hold_files(c: WriteConnection, caller: Caller, message: MessageRequest) -> KnownFiles:
    """The files of a message. They are locked before anything else is."""
    return await files.hold(c, caller.org_id, files.named_files(message.content))


async def _send(deps: Deps, caller: Caller, c: WriteConnection, session_id: str, message: MessageRequest, once: Once | None) -> Sent:
    locked = await store.lock_session(c, session_id)
    assert locked is not None
    await files.use(c, caller.org_id, files.named_files(message.content), session_id)
    request = agent_events.request(message.content, message.metadata)
    return await sessions.add_request(deps, caller, c, locked, request, once)


async def list_agent_sessions(deps: Deps, caller: Caller, agent_id: str, before: str | None, limit: int | None) -> list[Session]:
    """Newest first; `before` is the last id of the page before, `limit` None means all. Raises `NotFound` or
    `Forbidden`."""
    async with deps.db.read() as c:
        agent = await agent_store.find_agent(c, agent_id)
        require_own(deps, caller, agent and agent.org_id, "agent")
        return await store.list_subject_sessions(c, KIND, agent_id, before, limit)


async def get_message(deps: Deps, caller: Caller, message_id: str) -> ReadMessage:
    """A message with what the agent did about it. Raises `NotFound` or `Forbidden`."""
    async with deps.db.snapshot() as c:
        message = await sessions.own_message(deps, caller, c, KIND, message_id)
        return (await _read(c, [message]))[0]


async def cancel_message(deps: Deps, caller: Caller, message_id: str) -> ReadMessage:
    """End a message that has not ended; one that has is left as it is."""
    await sessions.cancel_message(deps, caller, KIND, message_id)
    return await get_message(deps, caller, message_id)


async def list_messages(deps: Deps, caller: Caller, session_id: str) -> list[ReadMessage]:
    """All messages of a session in the order of their numbers, read some at a time. Raises `NotFound` or
    `Forbidden`."""
    found: list[ReadMessage] = []
    async with deps.db.snapshot() as c:
        await sessions.own(deps, caller, c, KIND, session_id)
        after = 0
        while page := await store.list_messages(c, session_id, after, _MESSAGES_AT_ONCE):
            found += await _read(c, page)
            after = page[-1].number
    return found


async def _read(c: ReadConnection, messages: list[Message]) -> list[ReadMessage]:
    """Messages of one session, each with its own events only."""
    told = await store.list_message_events(c, messages[0].session_id, [message.id for message in messages])
    read: list[ReadMessage] = []
    for message in messages:
        own = [event for event in told if event.message_id == message.id]
        asked = request_of(own, message.id)
        read.append(ReadMessage(message, asked["content"], asked["metadata"], output_of(own, message.id)))
    return read


async def get_transcript(deps: Deps, caller: Caller, session_id: str) -> Transcript:
    """The conversation as people read it. Raises `NotFound` or `Forbidden`."""
    async with deps.db.snapshot() as c:
        session = await sessions.own(deps, caller, c, KIND, session_id)
        agent = await agent_store.find_agent(c, session.subject_id or "")
        assert agent is not None
        return Transcript(agent, session, timeline(await store.read_ledger(c, session_id)))
