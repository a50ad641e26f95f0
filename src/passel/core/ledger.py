"""What a ledger says: pure folds over a session's events, in order of their numbers."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from passel.core import events as ev
from passel.core.events import Event
from passel.core.ids import MessageId


@dataclass(frozen=True, slots=True)
class Output:
    """What the agent did about one message. `parts` in the order in which it happened."""

    parts: tuple[dict[str, Any], ...]
    error: str | None


@dataclass(frozen=True, slots=True)
class Said:
    """One entry of a conversation, as a model is told it."""

    role: str
    content: tuple[dict[str, Any], ...]


@dataclass(frozen=True, slots=True)
class TimelineItem:
    """`seq` is the event that the item stands for; None while there is none but the user's own."""

    type: str
    seq: int | None
    message_id: MessageId
    content: tuple[dict[str, Any], ...]
    created_at: datetime
    status: str | None = None
    error: str | None = None


def content_of(events: Iterable[Event], message_id: MessageId) -> list[dict[str, Any]]:
    """The user's own blocks of one message."""
    return next(e.data["content"] for e in events if e.type == ev.USER_MESSAGE and e.message_id == message_id)


def output_of(events: Iterable[Event], message_id: MessageId) -> Output:
    parts: list[dict[str, Any]] = []
    error: str | None = None
    for event in events:
        if event.message_id != message_id:
            continue
        if event.type == ev.ASSISTANT_MESSAGE:
            parts.extend(event.data["content"])
        elif event.type == ev.MESSAGE_STATUS:
            error = event.data["error"]
    return Output(tuple(parts), error)


def conversation(events: Sequence[Event], upto: MessageId) -> list[Said]:
    """The turns that a model sees: earlier messages with their answers, then `upto`, in the order they were run.

    A message that failed is left out with all its parts, so that a broken turn does not poison those after it.
    """
    failed = {e.message_id for e in events if e.type == ev.MESSAGE_STATUS and e.data["status"] == "failed"}
    order: list[MessageId] = []
    turns: dict[MessageId, list[Said]] = {}
    for event in events:
        if event.message_id is None or event.message_id in failed:
            continue
        if event.type == ev.USER_MESSAGE:
            order.append(event.message_id)
            turns[event.message_id] = [Said("user", tuple(event.data["content"]))]
        elif event.type == ev.ASSISTANT_MESSAGE:
            turns[event.message_id].append(Said("assistant", tuple(event.data["content"])))
    wanted = order[: order.index(upto) + 1]
    return [said for message in wanted for said in turns[message]]


def timeline(events: Sequence[Event]) -> list[TimelineItem]:
    """The transcript: message by message, the user's, then one item for each assistant text, and exactly one item
    for a message that has no text yet or that failed (section 4.4 of the `dari` contract, decision 38)."""
    own: dict[MessageId, list[Event]] = {}
    for event in events:
        if event.message_id is not None:
            own.setdefault(event.message_id, []).append(event)
    return [item for message_id, told in own.items() for item in _turn(message_id, told)]


def _turn(message_id: MessageId, told: Sequence[Event]) -> Iterator[TimelineItem]:
    said = next(e for e in told if e.type == ev.USER_MESSAGE)
    answers = [e for e in told if e.type == ev.ASSISTANT_MESSAGE]
    changes = [e for e in told if e.type == ev.MESSAGE_STATUS]
    status = changes[-1].data["status"] if changes else "queued"
    yield TimelineItem("user_message", said.seq, message_id, tuple(said.data["content"]), said.created_at)
    for answer in answers:
        content = tuple(answer.data["content"])
        yield TimelineItem("assistant_message", answer.seq, message_id, content, answer.created_at, status)
    if status == "failed" or not answers:
        at = changes[-1] if changes else said
        error = changes[-1].data["error"] if changes else None
        yield TimelineItem("assistant_message", changes[-1].seq if changes else None, message_id, (), at.created_at, status, error)
