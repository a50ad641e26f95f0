"""The turn planner: what a worker does next about a message, from the ledger alone.

A resume after a crash is this same function on the same ledger; there is no other recovery code. Until tools
exist a turn has two steps: ask the model, and finish when it has answered.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from passel.core import events as ev
from passel.core.events import Event
from passel.core.ids import MessageId
from passel.core.ledger import Said, conversation


@dataclass(frozen=True, slots=True)
class CallModel:
    conversation: tuple[Said, ...]


@dataclass(frozen=True, slots=True)
class Finish:
    """The answer is in the ledger; only the end of the message is missing."""


Step = CallModel | Finish


def next_step(events: Sequence[Event], message_id: MessageId) -> Step:
    answered = any(e.type == ev.ASSISTANT_MESSAGE and e.message_id == message_id for e in events)
    if answered:
        return Finish()
    return CallModel(tuple(conversation(events, message_id)))
