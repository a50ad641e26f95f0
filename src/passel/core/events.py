"""Events: the entries of a session's ledger, and the one place that spells their payloads.

The ledger is append-only, gapless and numbered from 1. Everything else that Passel says of a session (messages,
outputs, the transcript, the bill, what the model is told next) is derived from it by `passel.core.ledger`.
Payloads follow section 4.2 of the wire contract of the `dari` face; `model.*` types are ours.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from passel.core.ids import MessageId, OrgId, SessionId

USER_MESSAGE = "user.message"
SESSION_STATUS = "session.status_changed"
MESSAGE_STATUS = "message.status_changed"
ASSISTANT_MESSAGE = "assistant.message_completed"
CALL_FAILED = "model.call_failed"
CALL_IN_DOUBT = "model.call_in_doubt"

_SOURCES = {USER_MESSAGE: "user", ASSISTANT_MESSAGE: "agent"}


@dataclass(frozen=True, slots=True)
class Draft:
    """An event that has no number yet: the transaction that appends it gives it out."""

    type: str
    message_id: MessageId | None
    data: dict[str, Any]

    @property
    def source(self) -> str:
        return _SOURCES.get(self.type, "system")


@dataclass(frozen=True, slots=True)
class Event:
    org_id: OrgId
    session_id: SessionId
    seq: int
    message_id: MessageId | None
    type: str
    source: str
    data: dict[str, Any]
    created_at: datetime


def user_message(message_id: MessageId, content: list[dict[str, Any]], metadata: dict[str, Any] | None) -> Draft:
    data = {"content": content, "metadata": metadata or {}, "message_id": message_id}
    return Draft(USER_MESSAGE, message_id, data)


def session_status(status: str, previous: str) -> Draft:
    return Draft(SESSION_STATUS, None, {"status": status, "previous_status": previous})


def message_status(message_id: MessageId, status: str, previous: str, attempt: int, error: str | None = None) -> Draft:
    data = {
        "message_id": message_id,
        "status": status,
        "previous_status": previous,
        "attempt": attempt,
        "error": error,
    }
    return Draft(MESSAGE_STATUS, message_id, data)


def assistant_message(message_id: MessageId, text: str, stop_reason: str, call: dict[str, Any]) -> Draft:
    data = {
        "message_id": message_id,
        "content": [{"type": "text", "text": text}] if text else [],
        "stop_reason": stop_reason,
        "call": call,
    }
    return Draft(ASSISTANT_MESSAGE, message_id, data)


def call_failed(message_id: MessageId, call: dict[str, Any], error: str) -> Draft:
    return Draft(CALL_FAILED, message_id, {"message_id": message_id, "call": call, "error": error})


def call_in_doubt(message_id: MessageId, call: dict[str, Any]) -> Draft:
    return Draft(CALL_IN_DOUBT, message_id, {"message_id": message_id, "call": call})
