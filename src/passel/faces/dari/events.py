"""Ledger events in the words of this wire format (section 4.2 of the contract): pure functions.

message.requested -> user.message                    message.state -> message.status_changed
assistant.message -> assistant.message_completed     session.state -> session.status_changed
effect.in_doubt   -> model.call_in_doubt (ours)      model.call_failed is ours, and stays
webhook.delivery_failed stays
"""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from passel.core.agent import events as agent
from passel.core.agent.ledger import text_blocks
from passel.core.events import EFFECT_IN_DOUBT, MESSAGE_REQUESTED, MESSAGE_STATE, SESSION_STATE, Event
from passel.core.llm.events import CALL_FAILED
from passel.core.org_ledger import BATCH, ITEM
from passel.core.states import COMPLETED, FAILED, RUNNING, WAITING
from passel.core.webhook.events import DELIVERY_FAILED
from passel.faces.kit.json import timestamp

Body = dict[str, Any]

_STATUSES = {RUNNING: "running", WAITING: "waiting_for_tool", COMPLETED: "completed", FAILED: "failed"}


def message_status(state: str) -> str:
    """A message's state as the wire says it: all that has not begun, or was put off, is queued."""
    return _STATUSES.get(state, "queued")


def item_status(state: str) -> str:
    """An item knows no `waiting_for_tool`: it runs."""
    return "running" if state == WAITING else message_status(state)


def event_id(session_id: str, seq: int) -> str:
    return f"{session_id}:evt_{seq}"


def event(event: Event, agent_id: str) -> Body:
    return _event(event, agent_id, *_TRANSLATIONS.get(event.type, (event.type, "system", _as_it_is)))


def event_of_kind(event: Event) -> Body:
    """Of a kind of work that this wire format does not know: what is every kind's is said in its words, the rest as it is."""
    known = event.type in _OF_EVERY_KIND
    return _event(event, "", *_TRANSLATIONS[event.type] if known else (event.type, "system", _as_it_is))


def _event(event: Event, agent_id: str, kind: str, source: str, translate: Callable[[Event], Body]) -> Body:
    return {
        "id": event_id(event.session_id, event.seq),
        "session_id": event.session_id,
        "sequence_number": event.seq,
        "message_id": event.message_id,
        "type": kind,
        "source": source,
        "actor": _actor(source, event, agent_id),
        "data": translate(event),
        "created_at": timestamp(event.created_at),
    }


def _actor(source: str, event: Event, agent_id: str) -> Body:
    if source == "user":
        return {"type": "user", "id": event.org_id}
    if source == "agent":
        return {"type": "agent", "id": agent_id}
    if source == "tool":
        return {"type": "tool", "id": event.data["name"]}
    return {"type": "system", "id": "dari"}


def _user_message(event: Event) -> Body:
    return {"content": event.data["content"], "metadata": event.data["metadata"], "message_id": event.message_id}


def _assistant_message(event: Event) -> Body:
    return {
        "message_id": event.message_id,
        "content": list(text_blocks(event.data["text"])),
        "stop_reason": event.data["stop_reason"],
        "call": event.data["call"],
    }


def _message_state(event: Event) -> Body:
    told = event.data
    data: Body = {
        "message_id": event.message_id,
        "status": message_status(told["state"]),
        "previous_status": message_status(told["previous"]),
        "attempt": told["attempt"],
        "error": told.get("error"),
    }
    if "reason" in told:
        data["waiting"] = {"reason": told["reason"], "until": told["until"]}
    return data


def _session_state(event: Event) -> Body:
    return {"status": event.data["state"], "previous_status": event.data["previous"]}


def _call_failed(event: Event) -> Body:
    call = event.data["call"] | {"fault": event.data["fault"]}
    return {"message_id": event.message_id, "call": call, "error": event.data["error"]}


def _in_doubt(event: Event) -> Body:
    effect = event.data["effect"]
    provider, _, model = effect["name"].partition(":")
    call = {"id": effect["id"], "attempt": effect["attempt"], "number": effect["number"], "provider": provider, "model": model}
    return {"message_id": event.message_id, "call": call | {"request_hash": effect["request_hash"]}}


def _tool_requested(event: Event) -> Body:
    asked = event.data
    data = _tool(event) | {"arguments": asked["arguments"], "execution": asked["execution"], "model_call_id": asked["call_id"]}
    if asked["deadline"] is not None:
        data["deadline"] = timestamp(datetime.fromisoformat(asked["deadline"]))
    return data


def _tool_submitted(event: Event) -> Body:
    data = {"message_id": event.message_id, "tool_call_id": event.data["id"]}
    return data | {"result": event.data["result"], "is_error": event.data["is_error"]}


def _tool_completed(event: Event) -> Body:
    return _tool(event) | {"result": event.data["result"], "is_error": False}


def _tool_failed(event: Event) -> Body:
    return _tool(event) | {
        "result": event.data["result"],
        "is_error": True,
        "error": event.data["error"],
        "reason": event.data["reason"],
    }


def _tool(event: Event) -> Body:
    return {"message_id": event.message_id, "tool_call_id": event.data["id"], "tool_name": event.data["name"]}


def _as_it_is(event: Event) -> Body:
    return event.data


_TRANSLATIONS: dict[str, tuple[str, str, Callable[[Event], Body]]] = {
    MESSAGE_REQUESTED: ("user.message", "user", _user_message),
    MESSAGE_STATE: ("message.status_changed", "system", _message_state),
    SESSION_STATE: ("session.status_changed", "system", _session_state),
    EFFECT_IN_DOUBT: ("model.call_in_doubt", "system", _in_doubt),
    CALL_FAILED: (CALL_FAILED, "system", _call_failed),
    DELIVERY_FAILED: (DELIVERY_FAILED, "system", _as_it_is),
    agent.ASSISTANT_MESSAGE: ("assistant.message_completed", "agent", _assistant_message),
    agent.TOOL_REQUESTED: ("tool.call_requested", "agent", _tool_requested),
    agent.TOOL_SUBMITTED: ("tool.result_submitted", "user", _tool_submitted),
    agent.TOOL_COMPLETED: ("tool.call_completed", "tool", _tool_completed),
    agent.TOOL_FAILED: ("tool.call_failed", "tool", _tool_failed),
}
_OF_EVERY_KIND = (MESSAGE_STATE, SESSION_STATE, EFFECT_IN_DOUBT)
BATCH_CHANGED, ITEM_CHANGED = "batch.status_changed", "item.status_changed"
LEDGER_TYPES = {wire: type for type, (wire, *_) in _TRANSLATIONS.items()} | {BATCH_CHANGED: BATCH, ITEM_CHANGED: ITEM}
"""How the ledger calls the events of each type of this wire format."""
