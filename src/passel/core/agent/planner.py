"""The turn planner: what a worker does next about a message, from the ledger alone.

    ask the model -> it answers -> done
                  -> it asks for tools -> run ours, await the client's -> ask the model again
                  -> the call fails -> ask again, later, or give up

A resume after a crash is this same function on the same ledger; there is no other recovery code.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

import orjson

from passel.core.agent import events as ev
from passel.core.agent.events import ToolCall
from passel.core.agent.ledger import Said, conversation
from passel.core.agent.spec import AgentSpec
from passel.core.agent.tools import EXTERNAL
from passel.core.events import EFFECT_IN_DOUBT, Event
from passel.core.ids import MessageId
from passel.core.llm.events import CALL_FAILED, MODEL
from passel.core.llm.options import LlmOption
from passel.core.llm.retry import Again, NoMore, RetryPolicy, after_failures


@dataclass(frozen=True, slots=True)
class Rules:
    """`max_calls` bounds the answers of a model in one turn, `max_tools` the tools that one answer asks for, `max_bad`
    the answers in a row whose arguments break a schema (decision 70 of the `dari` contract)."""

    retries: RetryPolicy = field(default_factory=RetryPolicy)
    max_calls: int = 100
    max_tools: int = 128
    max_bad: int = 3


@dataclass(frozen=True, slots=True)
class CallModel:
    """`number` counts the calls of this message from 1. Not before `not_before`, if set, because of `reason`."""

    conversation: tuple[Said, ...]
    number: int
    not_before: datetime | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class RunTools:
    """Tools that the model's last answer asks for and that have no outcome. `interrupted` are those of them that
    began in an earlier step of the ledger: whether they took effect is unknown."""

    calls: tuple[ToolCall, ...]
    interrupted: tuple[ToolCall, ...] = ()


@dataclass(frozen=True, slots=True)
class AwaitResults:
    """Every call that is left is the client's to answer, each until its deadline."""

    calls: tuple[tuple[ToolCall, datetime], ...]


@dataclass(frozen=True, slots=True)
class Finish:
    """The answer is in the ledger; only the end of the message is missing."""

    text: str


@dataclass(frozen=True, slots=True)
class GiveUp:
    """The message fails; `error` is what the client reads."""

    error: str


Plan = CallModel | RunTools | AwaitResults | Finish | GiveUp


def next_step(ledger: Sequence[Event], message_id: MessageId, rules: Rules) -> Plan:
    """What is to be done next about a message, whoever asks and however often."""
    own = [event for event in ledger if event.message_id == message_id]
    answers = [n for n, event in enumerate(own) if event.type == ev.ASSISTANT_MESSAGE]
    if not answers:
        return _call(ledger, message_id, own, own, 0, rules)
    answer, since = own[answers[-1]], own[answers[-1] + 1 :]
    calls = ev.calls_of(answer)
    if not calls:
        return Finish("\n\n".join(own[n].data["text"] for n in answers if own[n].data["text"]))
    settled = {event.data["id"] for event in since if event.type in ev.TOOL_SETTLED}
    open_calls = tuple(call for call in calls if call.id not in settled)
    if len(calls) > rules.max_tools:
        return GiveUp(f"the model asked for {len(calls)} tools in one answer; {rules.max_tools} are allowed")
    if open_calls:
        return _tools(open_calls, since)
    if (bad := _bad_in_a_row(own)) >= rules.max_bad:
        return GiveUp(f"the model's arguments for a tool broke its schema {bad} times: {_last_bad(own)}")
    return _call(ledger, message_id, own, since, len(answers), rules)


def _tools(open_calls: tuple[ToolCall, ...], since: Sequence[Event]) -> RunTools | AwaitResults:
    requested = {event.data["id"]: event.data for event in since if event.type == ev.TOOL_REQUESTED}
    ours = tuple(call for call in open_calls if call.id not in requested or requested[call.id]["execution"] != EXTERNAL)
    if ours:
        return RunTools(ours, tuple(call for call in ours if call.id in requested))
    return AwaitResults(tuple((call, datetime.fromisoformat(requested[call.id]["deadline"])) for call in open_calls))


def _bad_in_a_row(own: Sequence[Event]) -> int:
    """How many of the last answers, one after the other, asked for a tool with arguments that break its schema."""
    count, bad = 0, False
    for event in reversed(own):
        bad = bad or _is_bad(event)
        if event.type == ev.ASSISTANT_MESSAGE:
            if not bad:
                break
            count, bad = count + 1, False
    return count


def _last_bad(own: Sequence[Event]) -> str:
    return next(event.data["error"] for event in reversed(own) if _is_bad(event))


def _is_bad(event: Event) -> bool:
    return event.type == ev.TOOL_FAILED and event.data["reason"] == ev.BAD_ARGUMENTS


def _call(
    ledger: Sequence[Event], message_id: MessageId, own: Sequence[Event], since: Sequence[Event], answered: int, rules: Rules
) -> CallModel | GiveUp:
    if answered >= rules.max_calls:
        return GiveUp(f"the model answered {answered} times without coming to an end, which is the limit of a turn")
    number = 1 + answered + sum(map(_is_lost_call, own))
    told = tuple(conversation(ledger, message_id))
    match after_failures(since, rules.retries):
        case NoMore(error):
            return GiveUp(error)
        case Again(at, reason):
            return CallModel(told, number, at, reason)
        case None:
            return CallModel(told, number)


def _is_lost_call(event: Event) -> bool:
    return event.type == CALL_FAILED or (event.type == EFFECT_IN_DOUBT and event.data["effect"]["kind"] == MODEL)


def request_hash(spec: AgentSpec, option: LlmOption, told: Sequence[Said]) -> str:
    """SHA-256 of what a call asks, so that a repeated call can be recognised as the same question."""
    digest = hashlib.sha256(f"{option.ref} {option.base_url} {sorted(option.settings.items())}\n{spec.system_prompt}".encode())
    for tool in spec.tools.values():
        digest.update(orjson.dumps([tool.name, tool.description, tool.input_schema], option=orjson.OPT_SORT_KEYS))
    for said in told:
        calls = [[call.call_id, call.name, call.arguments] for call in said.calls]
        digest.update(orjson.dumps([said.role, said.content, calls, said.call_id], option=orjson.OPT_SORT_KEYS))
    return digest.hexdigest()
