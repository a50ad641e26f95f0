"""What the ledger of an agent session says: pure folds over its events, in order of their numbers."""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from passel.core.agent import events as ev
from passel.core.agent.events import ToolCall
from passel.core.events import MESSAGE_REQUESTED, MESSAGE_STATE, Event
from passel.core.ids import MessageId
from passel.core.states import FAILED, HELD


class Text(NamedTuple):
    """What the agent said. `event` is the answer that it was said in."""

    text: str
    event: Event


class Call(NamedTuple):
    """A tool call: as it was requested, and as it ended (`tool.completed` or `tool.failed`), if it has."""

    requested: Event
    ended: Event | None


@dataclass(frozen=True, slots=True)
class Output:
    """What the agent did about one message, in the order in which it happened, and why it failed, if it did."""

    parts: tuple[Text | Call, ...]
    error: str | None


class Said(NamedTuple):
    """One entry of a conversation, as a model is told it: `user` with blocks, `assistant` with a text and the tools it
    asked for, `tool` with the result of the call `call_id`."""

    role: str
    content: tuple[dict[str, Any], ...]
    calls: tuple[ToolCall, ...] = ()
    call_id: str | None = None


@dataclass(frozen=True, slots=True)
class TimelineItem:
    """Something that was said. `seq` is the event that the item stands for; None while there is none but the user's
    own. `state` as in `passel.core.states`."""

    type: str
    seq: int | None
    message_id: MessageId
    content: tuple[dict[str, Any], ...]
    created_at: datetime
    state: str | None = None
    error: str | None = None


def text_blocks(text: str) -> tuple[dict[str, Any], ...]:
    """One block, or an empty tuple for an empty text."""
    return ({"type": "text", "text": text},) if text else ()


def request_of(events: Iterable[Event], message_id: MessageId) -> dict[str, Any]:
    """The user's own blocks and metadata of one message: `{content, metadata}`. The events must hold its request."""
    return next(e.data for e in events if e.type == MESSAGE_REQUESTED and e.message_id == message_id)


def output_of(events: Iterable[Event], message_id: MessageId) -> Output:
    """Of one message; other messages' events are passed over. `error` is that of its last state."""
    own = [event for event in events if event.message_id == message_id]
    changes = [event for event in own if event.type == MESSAGE_STATE]
    return Output(tuple(_parts(own)), changes[-1].data.get("error") if changes else None)


def _parts(own: Sequence[Event]) -> Iterator[Text | Call]:
    """Texts and calls of one message."""
    ended = {event.data["id"]: event for event in own if event.type in ev.TOOL_SETTLED}
    for event in own:
        if event.type == ev.ASSISTANT_MESSAGE and event.data["text"]:
            yield Text(event.data["text"], event)
        elif event.type == ev.TOOL_REQUESTED:
            yield Call(event, ended.get(event.data["id"]))


def conversation(events: Sequence[Event], upto: MessageId) -> list[Said]:
    """The turns that a model sees: earlier messages with their answers, then `upto`, in the order they were run.

    A message that failed is left out with all its parts, so that a broken turn does not poison those after it.
    `ValueError` when `upto` itself failed or is not there.
    """
    failed = {e.message_id for e in events if e.type == MESSAGE_STATE and e.data["state"] == FAILED}
    order: list[MessageId] = []
    own: dict[MessageId, list[Event]] = {}
    for event in events:
        if event.message_id is None or event.message_id in failed:
            continue
        if event.type == MESSAGE_REQUESTED:
            order.append(event.message_id)
        own.setdefault(event.message_id, []).append(event)
    wanted = order[: order.index(upto) + 1]
    return [said for message in wanted for said in _turn_as_told(own[message])]


def _turn_as_told(own: Sequence[Event]) -> Iterator[Said]:
    """One message. Results stand behind the answer that asked for them, in the order of its calls."""
    results = {e.data["id"]: e for e in own if e.type in ev.TOOL_SETTLED}
    for event in own:
        if event.type == MESSAGE_REQUESTED:
            yield Said("user", tuple(event.data["content"]))
        elif event.type == ev.ASSISTANT_MESSAGE:
            calls = ev.calls_of(event)
            yield Said("assistant", text_blocks(event.data["text"]), calls)
            for call in calls:
                if call.id in results:
                    yield Said("tool", text_blocks(result_text(results[call.id])), call_id=call.call_id)


def result_text(event: Event) -> str:
    """What a model is told of a call that has ended."""
    if event.type == ev.TOOL_FAILED:
        told = event.data["error"] if event.data["result"] is None else json.dumps(event.data["result"], ensure_ascii=False)
        return f"Error: {told}"
    result = event.data["result"]
    return result if isinstance(result, str) else json.dumps(result, ensure_ascii=False)


def timeline(events: Sequence[Event]) -> list[TimelineItem | Call]:
    """The transcript: message by message, the user's, then assistant texts and tool calls as they came, and exactly one
    assistant item for a message that has no text yet or that failed (section 4.4 of the `dari` contract, decision 38)."""
    own: dict[MessageId, list[Event]] = {}
    for event in events:
        if event.message_id is not None:
            own.setdefault(event.message_id, []).append(event)
    return [item for message_id, told in own.items() for item in _turn(message_id, told)]


def _turn(message_id: MessageId, told: Sequence[Event]) -> Iterator[TimelineItem | Call]:
    asked = next(e for e in told if e.type == MESSAGE_REQUESTED)
    changes = [e for e in told if e.type == MESSAGE_STATE]
    state = changes[-1].data["state"] if changes else HELD
    yield TimelineItem("user_message", asked.seq, message_id, tuple(asked.data["content"]), asked.created_at)
    said = False
    for part in _parts(told):
        if isinstance(part, Call):
            yield part
        else:
            said = True
            yield TimelineItem("assistant_message", part.event.seq, message_id, text_blocks(part.text), part.event.created_at, state)
    if state == FAILED or not said:
        at = changes[-1] if changes else asked
        error = changes[-1].data.get("error") if changes else None
        yield TimelineItem("assistant_message", changes[-1].seq if changes else None, message_id, (), at.created_at, state, error)
