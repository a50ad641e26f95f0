"""Events: the entries of a session's ledger, and the vocabulary that all kinds share.

The ledger is append-only, gapless and numbered from 1. Everything else that Passel says of a session (messages,
outputs, transcripts, the bill, what a model is told next) is derived from it. Each kind adds types of its own
(`passel.core.agent.events`). Words here are ours; a face translates them into those of its wire format.

    message.requested   what the client asked for, in the shape of the session's kind; the first event of each message
    message.state       {state, previous, attempt, error?, reason?, until?, fault?}
    session.state       {state, previous}
    effect.in_doubt     {effect: {id, kind, name, number, attempt, request_hash, detail}}
"""

from datetime import datetime
from typing import Any, NamedTuple

from passel.core.endings import Done, Ending, Fail, Retry, Wait
from passel.core.ids import MessageId, OrgId, SessionId
from passel.core.states import COMPLETED, DELAYED, FAILED, READY, RUNNING, WAITING

MESSAGE_REQUESTED = "message.requested"
MESSAGE_STATE = "message.state"
SESSION_STATE = "session.state"
EFFECT_IN_DOUBT = "effect.in_doubt"

IDLE = "idle"


class Draft(NamedTuple):
    """An event of a message that has no number yet: the transaction that appends it gives it out."""

    type: str
    data: dict[str, Any]


class Event(NamedTuple):
    """`seq` counts a session's events from 1, without gaps. `message_id` is None for what is told of the session
    itself."""

    org_id: OrgId
    session_id: SessionId
    seq: int
    message_id: MessageId | None
    type: str
    data: dict[str, Any]
    created_at: datetime


def message_requested(request: dict[str, Any]) -> Draft:
    return Draft(MESSAGE_REQUESTED, request)


def message_began() -> Draft:
    """Without its `attempt`, which the statement adds that begins it."""
    return Draft(MESSAGE_STATE, {"state": RUNNING, "previous": READY})


def message_failed(error: str, previous: str, attempt: int) -> Draft:
    """For what is ended from outside its attempt; `previous` is the state that it was in."""
    return Draft(MESSAGE_STATE, {"state": FAILED, "previous": previous, "attempt": attempt, "error": error})


def message_ended(ending: Ending, attempt: int) -> Draft:
    """How an attempt left its message."""
    data: dict[str, Any] = {"state": state_after(ending), "previous": RUNNING, "attempt": attempt}
    match ending:
        case Done():
            pass
        case Fail(error):
            data["error"] = error
        case Wait(until, reason):
            data |= {"reason": reason, "until": until and until.isoformat()}
        case Retry(at, reason, fault):
            data |= {"reason": reason, "until": at.isoformat(), "fault": fault}
    return Draft(MESSAGE_STATE, data)


def state_after(ending: Ending) -> str:
    """The message's state after an attempt with this ending."""
    match ending:
        case Done():
            return COMPLETED
        case Fail():
            return FAILED
        case Wait():
            return WAITING
        case Retry():
            return DELAYED


def session_state(state: str, previous: str) -> Draft:
    return Draft(SESSION_STATE, {"state": state, "previous": previous})


def effect_in_doubt(effect: dict[str, Any]) -> Draft:
    return Draft(EFFECT_IN_DOUBT, {"effect": effect})
