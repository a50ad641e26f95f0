"""Tool calls that wait for clients, and the answers of these (section 7.2 of the `dari` contract, decisions 40-42).

A call is answered once. The answer is durable before it is acknowledged, and the message goes on with its commit when it
was the last that was missing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from passel.core.agent import events as ev
from passel.core.agent.spec import SessionSpec
from passel.core.agent.tools import EXTERNAL, ToolSpec
from passel.core.errors import Conflict, NotFound, Unprocessable
from passel.core.events import Draft, Event
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
from passel.store.sessions import Message
from passel.store.tool_calls import OpenCall


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


async def submit(deps: Deps, caller: Caller, session_id: str, answer: ToolAnswer, key: str | None) -> Sent:
    """Answer a call. The same answer again gives the first one's event. Raises `NotFound` for a call that this session
    does not have, `Conflict` for one that is settled in another way, `Unprocessable` for a result that breaks the tool's
    schema: then the call still waits."""
    once = sessions.once(deps, session_id, key, answer.message_id, answer.call_id, answer.result, answer.is_error)
    tools = await _tools(deps, caller, session_id)
    sent: Sent | None = None
    while sent is None:
        async with deps.db.write() as c:
            sent = await _submit(deps, caller, c, session_id, answer, tools, once)
    return sent


async def _tools(deps: Deps, caller: Caller, session_id: str) -> Mapping[str, ToolSpec]:
    """Of the session's version, which never changes: it is read before anything is locked."""
    async with deps.db.read() as c:
        session = await sessions.own(deps, caller, c, KIND, session_id)
        version = await agent_store.find_version(c, SessionSpec.from_json(session.spec).version_id)
    assert version is not None, "sessions keep their version"
    return version.spec.tools


async def _submit(
    deps: Deps, caller: Caller, c: WriteConnection, session_id: str, answer: ToolAnswer, tools: Mapping[str, ToolSpec], once: Once | None
) -> Sent | None:
    """None when the message began to wait in between, so that its lock is missing: then all of it is tried again."""
    session = await sessions.own(deps, caller, c, KIND, session_id)
    waiting = await waking.lock_waiting(c, [answer.message_id])
    await store.lock_session(c, session_id)
    if once is not None and (sent := await sessions.replay(deps, c, once)):
        return sent
    told = await store.list_message_events(c, session_id, [answer.message_id])
    message = await store.find_message(c, answer.message_id)
    if message is None or not told:
        raise NotFound(f"this session has no message {answer.message_id}", field="message_id")
    if (known := _answered_before(told, answer)) is not None:
        return Sent(known, message, session, replayed=True)
    name = _open_call(told, message, answer)
    if message.state == WAITING and not waiting:
        return None
    _require_schema(tools[name], answer)
    drafts = [ev.tool_submitted(answer.call_id, answer.result, is_error=answer.is_error), _settled(name, answer)]
    changes = Changes(deps.now())
    appended = await ledgers.append(c, [Telling(message.org_id, message.session_id, message.id, drafts)], deps.now())
    if waiting and not _others_wait(told, answer.call_id):
        await waking.wake(c, waiting, changes)
    await settle(c, changes, deps.capacity)
    event = appended[session.id].events[0]
    if once is not None:
        await store.remember_key(c, caller.org_id, once.scope, once.key, once.digest, event, deps.now())
    now_message, now_session = await store.find_message(c, message.id), await store.find_session(c, session.id)
    assert now_message is not None and now_session is not None
    return Sent(event, now_message, now_session, replayed=False)


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


def _others_wait(told: Sequence[Event], call_id: str) -> bool:
    settled = {e.data["id"] for e in told if e.type in ev.TOOL_SETTLED} | {call_id}
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
