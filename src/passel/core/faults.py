"""Faults of the infrastructure (a blob store that is away, a model file that is missing): tried again, with a patience
that the ledger keeps, so that it survives the worker."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from passel.core.endings import Fail, Retry
from passel.core.events import EFFECT_IN_DOUBT, MESSAGE_STATE, Event
from passel.core.ids import MessageId
from passel.core.states import DELAYED, RUNNING


@dataclass(frozen=True, slots=True)
class FaultPolicy:
    """Seconds: faults in a row are borne for `patience`, with pauses from `base` doubling up to `ceiling`."""

    patience: float = 600.0
    base: float = 1.0
    ceiling: float = 60.0


def after_fault(ledger: Sequence[Event], message_id: MessageId, reason: str, now: datetime, policy: FaultPolicy) -> Retry | Fail:
    """What becomes of a message that met a fault: another try, or its failure when patience is used up.

    Any event of the message is progress and starts the count anew, but those of beginning, of being put off, and of
    what the fault left in doubt.
    """
    since: list[datetime] = []
    for event in ledger:
        if event.message_id != message_id:
            continue
        if event.type == MESSAGE_STATE and event.data["state"] == DELAYED and event.data.get("fault"):
            since.append(event.created_at)
        elif event.type != EFFECT_IN_DOUBT and (event.type != MESSAGE_STATE or event.data["state"] != RUNNING):
            since.clear()
    if since and (now - since[0]).total_seconds() >= policy.patience:
        return Fail(f"{reason} (given up after {len(since) + 1} tries in {(now - since[0]).total_seconds():.0f} s)")
    pause = min(policy.base * 2 ** min(len(since), 16), policy.ceiling)
    return Retry(now + timedelta(seconds=pause), reason, fault=True)
