"""Where the history of a session can be continued in another one: pure folds over its events."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from passel.core.events import IDLE, MESSAGE_REQUESTED, MESSAGE_STATE, SESSION_STATE, Event
from passel.core.ids import MessageId
from passel.core.states import ENDED


def last_rest(events: Iterable[Event]) -> int:
    """The number of the last event after which no message was under way; 0 when there was none but at the very beginning."""
    under_way: set[MessageId | None] = set()
    rest = 0
    for event in events:
        if event.type == MESSAGE_REQUESTED:
            under_way.add(event.message_id)
        elif event.type == MESSAGE_STATE and event.data["state"] in ENDED:
            under_way.discard(event.message_id)
        if not under_way:
            rest = event.seq
    return rest


def is_told_idle(events: Sequence[Event]) -> bool:
    """Whether the history says last that its session became idle. The event that says so follows the last message's end,
    so a history may be cut between the two."""
    told = [event.data["state"] for event in events if event.type == SESSION_STATE]
    return not told or told[-1] == IDLE


def renamed(event: Event, names: Mapping[MessageId, MessageId]) -> dict[str, Any]:
    """The data of an event with other message ids. What the client itself wrote stays as it is."""
    return event.data if event.type == MESSAGE_REQUESTED else _renamed(event.data, names)


def _renamed(value: Any, names: Mapping[MessageId, MessageId]) -> Any:
    if isinstance(value, str):
        return names.get(MessageId(value), value)
    if isinstance(value, dict):
        return {key: _renamed(inner, names) for key, inner in value.items()}
    if isinstance(value, list):
        return [_renamed(inner, names) for inner in value]
    return value
