"""Tool calls that wait for clients, and the answers of these (section 7.2 of the `dari` contract, decisions 40-42).

A call is answered once. The answer is durable before it is acknowledged, and the message goes on with its commit when it
was the last that was missing. Answers that come at the same time share a transaction (`passel.services.agents.answering`).
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from passel.core.agent import events as ev
from passel.core.agent.spec import SessionSpec
from passel.core.agent.tools import EXTERNAL, ToolSpec
from passel.core.errors import Conflict, NotFound, PasselError, Unprocessable
from passel.core.events import Draft, Event
from passel.core.ids import MessageId
from passel.core.states import ENDED, WAITING
from passel.services import sessions
from passel.services.agents.sessions import KIND
from passel.services.deps import Caller, Deps
from passel.services.sessions import Once, Sent
from passel.store import agents as agent_store
from passel.store import ledgers, tool_calls, waking
from passel.store import sessions as store
from passel.store.changes import Changes, settle
from passel.store.database import WriteConnection
from passel.store.ledgers import Telling
from passel.store.sessions import Message, Session
from passel.store.tool_calls import OpenCall

_TOLD = (ev.TOOL_REQUESTED, ev.TOOL_SUBMITTED, *ev.TOOL_SETTLED)
_LARGE = ("arguments", "result")
"""Fields that are read of the calls that are answered only: a turn may have had a hundred others, each of megabytes."""


@dataclass(frozen=True, slots=True)
class ToolAnswer:
    """`result` is any JSON; with `is_error` it tells the model what went wrong, and no schema is asked."""

    message_id: str
    call_id: str
    result: Any
    is_error: bool


async def list_open(
    deps: Deps, caller: Caller, *, agent_id: str | None, names: Sequence[str] | None, after: tuple[str, int], limit: int
) -> list[OpenCall]:
    """Calls that wait for an answer, those of the oldest messages first. `after` is the last one of the page before, as its
    message and its number."""
    async with deps.db.read() as c:
        return await tool_calls.list_open(c, caller.org_id, KIND, subject_id=agent_id, names=names, after=after, limit=limit)


@dataclass(frozen=True, slots=True)
class Submission:
    """An answer that somebody sends to a session."""

    caller: Caller
    session_id: str
    answer: ToolAnswer
    once: Once | None


Outcome = Sent | PasselError | None
"""What becomes of an answer: it is acknowledged, or refused; None when its message began to wait in between, so that its lock
is missing: then all of it is tried again."""


async def submit(deps: Deps, group: Sequence[Submission]) -> list[Outcome]:
    """Answer calls in one transaction; no two of the answers are of one call, or have one key. The same answer as before
    gives the first one's event. `NotFound` is a call that the session does not have, `Conflict` one that is settled in
    another way, `Unprocessable` a result that breaks the tool's schema: then the call still waits."""
    known = await _read(deps, group)
    async with deps.db.write() as c:
        standing = await _lock(c, group, known)
        judged = [await _judge(deps, c, one, standing) for one in group]
        accepted = [one for one in judged if isinstance(one, _Accepted)]
        sent = await _keep(deps, c, accepted, standing) if accepted else {}
    return [sent[one] if isinstance(one, _Accepted) else one for one in judged]


@dataclass(frozen=True, slots=True)
class _Known:
    """Sessions by id, and the tools of their versions, which never change."""

    sessions: Mapping[str, Session]
    tools: Mapping[str, Mapping[str, ToolSpec]]

    def tool(self, session: Session, name: str) -> ToolSpec:
        return self.tools[SessionSpec.from_json(session.spec).version_id][name]


@dataclass(frozen=True, slots=True)
class _Standing:
    """How messages stand, under their locks and those of their sessions: `waiting` with their states, and what is told of
    the calls of each."""

    known: _Known
    waiting: Mapping[str, tuple[MessageId, str]]
    messages: Mapping[str, Message]
    told: Mapping[str, Sequence[Event]]


@dataclass(frozen=True, eq=False, slots=True)
class _Accepted:
    """An answer that is going to be kept, and what the ledger is told of it: first that it was submitted."""

    submission: Submission
    message: Message
    drafts: Sequence[Draft]


async def _read(deps: Deps, group: Sequence[Submission]) -> _Known:
    """What is read before anything is locked."""
    async with deps.db.read() as c:
        found = {s.id: s for s in await store.find_sessions(c, [one.session_id for one in group]) if s.kind == KIND}
        tools: dict[str, Mapping[str, ToolSpec]] = {}
        for version_id in {SessionSpec.from_json(session.spec).version_id for session in found.values()}:
            version = await agent_store.find_version(c, version_id)
            assert version is not None, "sessions keep their version"
            tools[version_id] = version.spec.tools
    return _Known({**found}, tools)


async def _lock(c: WriteConnection, group: Sequence[Submission], known: _Known) -> _Standing:
    message_ids = sorted({one.answer.message_id for one in group})
    waiting = {id: (id, state) for id, state in await waking.lock_waiting(c, message_ids)}
    await store.lock_sessions(c, sorted({one.session_id for one in group}))
    messages = {message.id: message for message in await store.find_messages(c, message_ids)}
    told: defaultdict[str, list[Event]] = defaultdict(list)
    of_messages = [(m.session_id, m.id) for m in messages.values()]
    answered = [one.answer.call_id for one in group]
    for event in await store.list_told_of_messages(c, of_messages, _TOLD, without=_LARGE, whole=answered):
        told[event.message_id or ""].append(event)
    return _Standing(known, {**waiting}, {**messages}, told)


async def _judge(deps: Deps, c: WriteConnection, one: Submission, standing: _Standing) -> _Accepted | Outcome:
    try:
        return await _require_open(deps, c, one, standing)
    except PasselError as error:
        return error


async def _require_open(deps: Deps, c: WriteConnection, one: Submission, standing: _Standing) -> _Accepted | Sent | None:
    answer = one.answer
    session = sessions.require_session(deps, one.caller, KIND, standing.known.sessions.get(one.session_id))
    if one.once is not None and (sent := await sessions.replay(deps, c, one.once)):
        return sent
    message = standing.messages.get(answer.message_id)
    if message is None or message.session_id != session.id:
        raise NotFound(f"this session has no message {answer.message_id}", field="message_id")
    told = standing.told.get(answer.message_id, ())
    if (known := _answered_before(told, answer)) is not None:
        return Sent(known, message, session, replayed=True)
    name = _open_call(told, message, answer)
    if message.state == WAITING and message.id not in standing.waiting:
        return None
    _require_schema(standing.known.tool(session, name), answer)
    submitted = ev.tool_submitted(answer.call_id, answer.result, is_error=answer.is_error)
    return _Accepted(one, message, (submitted, _settled(name, answer)))


async def _keep(deps: Deps, c: WriteConnection, accepted: Sequence[_Accepted], standing: _Standing) -> dict[_Accepted, Sent]:
    """Tell ledgers, wake the messages that miss no answer any more, remember keys."""
    changes = Changes(deps.now())
    of_message: defaultdict[str, list[_Accepted]] = defaultdict(list)
    for one in accepted:
        of_message[one.message.id].append(one)
    # of a session only the active message has open calls
    tellings = [
        Telling(ones[0].message.org_id, ones[0].message.session_id, ones[0].message.id, [draft for one in ones for draft in one.drafts])
        for ones in of_message.values()
    ]
    appended = await ledgers.append(c, tellings, changes.now)
    complete = [
        standing.waiting[id] for id, ones in of_message.items() if id in standing.waiting and not _others_wait(standing.told[id], ones)
    ]
    if complete:
        await waking.wake(c, complete, changes)
    await settle(c, changes, deps.capacity)
    events: dict[_Accepted, Event] = {}
    for ones in of_message.values():
        events |= zip(ones, appended[ones[0].message.session_id].events[:: len(ones[0].drafts)], strict=True)
    for one, event in events.items():
        if (once := one.submission.once) is not None:
            await store.remember_key(c, one.submission.caller.org_id, once.scope, once.key, once.digest, event, changes.now)
    return await _acknowledge(c, events)


async def _acknowledge(c: WriteConnection, events: Mapping[_Accepted, Event]) -> dict[_Accepted, Sent]:
    """With messages and sessions as they are now."""
    messages = {m.id: m for m in await store.find_messages(c, [one.message.id for one in events])}
    found = {s.id: s for s in await store.find_sessions(c, [one.message.session_id for one in events])}
    return {one: Sent(event, messages[one.message.id], found[one.message.session_id], replayed=False) for one, event in events.items()}


def _answered_before(told: Sequence[Event], answer: ToolAnswer) -> Event | None:
    """The event of the same answer, if it came before. Raises `Conflict` for another."""
    before = next((e for e in told if e.type == ev.TOOL_SUBMITTED and e.data["id"] == answer.call_id), None)
    if before is None:
        return None
    told = (before.data["result"], before.data["is_error"])
    if _written(*told) != _written(answer.result, answer.is_error):
        raise Conflict(f"{answer.call_id} was answered before, with another result")
    return before


def _open_call(told: Sequence[Event], message: Message, answer: ToolAnswer) -> str:
    """The name of the tool whose call is to be answered."""
    asked = next((e.data for e in told if e.type == ev.TOOL_REQUESTED and e.data["id"] == answer.call_id), None)
    if asked is None or asked["execution"] != EXTERNAL:
        raise NotFound(f"{answer.message_id} has no call {answer.call_id} that a client answers", field="tool_call_id")
    if any(e.type in ev.TOOL_SETTLED and e.data["id"] == answer.call_id for e in told):
        raise Conflict(f"{answer.call_id} timed out at {asked['deadline']}: the model was told so, and has gone on")
    if message.state in ENDED:
        raise Conflict(f"the message of {answer.call_id} has ended: {message.error or message.state}")
    return asked["name"]


def _others_wait(told: Sequence[Event], accepted: Sequence[_Accepted]) -> bool:
    settled = {e.data["id"] for e in told if e.type in ev.TOOL_SETTLED} | {one.submission.answer.call_id for one in accepted}
    return any(e.data["id"] not in settled for e in told if e.type == ev.TOOL_REQUESTED)


def _written(result: Any, is_error: bool) -> bytes:
    """To compare as JSON: in Python 1 is True."""
    return orjson.dumps([result, is_error], option=orjson.OPT_SORT_KEYS)


def _require_schema(tool: ToolSpec, answer: ToolAnswer) -> None:
    problem = None if answer.is_error else tool.output_problem(answer.result)
    if problem is not None:
        raise Unprocessable(f"result breaks the output schema of {tool.name}: {problem}. The call still waits", field="result")


def _settled(name: str, answer: ToolAnswer) -> Draft:
    if answer.is_error:
        return ev.tool_failed(answer.call_id, name, "the client answered with an error", ev.ANSWERED, answer.result)
    return ev.tool_completed(answer.call_id, name, answer.result)
