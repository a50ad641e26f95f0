"""What webhooks hear of verifications (section 6 and D19 of the `check` contract). Pure.

verification.completed, verification.failed     it has ended
verification.escalated       it has ended, and a person is to decide
escalation.resolved          a person has decided
batch.completed              every item has ended, well or not
batch.failed                 items were wrong, and none was run
batch.cancelled              it was cancelled, and nothing of it runs any more
usage.limit.warning, usage.limit.reached        80 and 100 percent of the month's verifications (`usage`)
"""

from collections.abc import Mapping, Sequence
from typing import Any

from passel.core.announcements import News, Vocabulary
from passel.core.events import MESSAGE_STATE, Event
from passel.core.states import CANCELLED_ERROR, COMPLETED, FAILED, Counts
from passel.core.usage import WARNING_PERCENT
from passel.core.verification.escalations import RESOLVED_EVENT, is_escalated

VERIFICATION_COMPLETED, VERIFICATION_FAILED = "verification.completed", "verification.failed"
VERIFICATION_ESCALATED, ESCALATION_RESOLVED = "verification.escalated", "escalation.resolved"
BATCH_COMPLETED, BATCH_FAILED, BATCH_CANCELLED = "batch.completed", "batch.failed", "batch.cancelled"
USAGE_WARNING, USAGE_REACHED = "usage.limit.warning", "usage.limit.reached"

_ITEM_TYPES = frozenset((VERIFICATION_COMPLETED, VERIFICATION_FAILED, VERIFICATION_ESCALATED))
_BATCH_TYPES = frozenset((BATCH_COMPLETED, BATCH_FAILED, BATCH_CANCELLED))


def _of_session(told: Sequence[Event], idle: bool, result: Mapping[str, Any] | None) -> list[News]:
    found = ((_type(event, result), event.seq) for event in told)
    return [News(type, seq) for type, seq in found if type is not None]


def _type(event: Event, result: Mapping[str, Any] | None) -> str | None:
    if event.type == RESOLVED_EVENT:
        return ESCALATION_RESOLVED
    if event.type != MESSAGE_STATE or event.data.get("error") == CANCELLED_ERROR:
        return None
    if event.data["state"] == COMPLETED:
        return VERIFICATION_ESCALATED if is_escalated(result) else VERIFICATION_COMPLETED
    return VERIFICATION_FAILED if event.data["state"] == FAILED else None


def _of_batch(counts: Counts, cancelled: bool) -> str:
    """A batch that was refused has no items."""
    return BATCH_FAILED if not counts.size else BATCH_CANCELLED if cancelled else BATCH_COMPLETED


def _is_over(event: Event, behind: Sequence[Event]) -> bool:
    return False


ANNOUNCED = Vocabulary(
    types=_ITEM_TYPES | _BATCH_TYPES | {ESCALATION_RESOLVED, USAGE_WARNING, USAGE_REACHED},
    batch_types=_BATCH_TYPES,
    of_session=_of_session,
    of_batch=_of_batch,
    is_over=_is_over,
    item_types=_ITEM_TYPES,
    usage_types={WARNING_PERCENT: USAGE_WARNING, 100: USAGE_REACHED},
)
