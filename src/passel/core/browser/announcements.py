"""What webhooks hear of browser sessions (2.9 and D12 of the `anchor` contract). Pure.

session.completed, session.failed     it has ended
session.recording.ready               its recording may be fetched
task.completed, task.failed           a web task of it has ended
batch.completed     every item has ended, and one browser at least was ready
batch.failed        none was
batch.cancelled     it was cancelled, and nothing of it is begun any more
"""

from collections.abc import Mapping, Sequence
from typing import Any

from passel.core.announcements import News, Vocabulary
from passel.core.browser import tasks
from passel.core.browser.events import ENDED, FAILURES, RECORDED
from passel.core.events import MESSAGE_STATE, Event
from passel.core.states import CANCELLED_ERROR, COMPLETED, FAILED, Counts

SESSION_COMPLETED, SESSION_FAILED, RECORDING_READY = "session.completed", "session.failed", "session.recording.ready"
TASK_COMPLETED, TASK_FAILED = "task.completed", "task.failed"
BATCH_COMPLETED, BATCH_FAILED, BATCH_CANCELLED = "batch.completed", "batch.failed", "batch.cancelled"

_BATCH_TYPES = frozenset((BATCH_COMPLETED, BATCH_FAILED, BATCH_CANCELLED))


def _of_session(told: Sequence[Event], idle: bool, result: Mapping[str, Any] | None) -> list[News]:
    reason = next((event.data["end_reason"] for event in reversed(told) if event.type == ENDED), None)
    found = ((_type(event, reason), event.seq) for event in told)
    return [News(type, seq) for type, seq in found if type is not None]


def _type(event: Event, reason: str | None) -> str | None:
    if event.type == RECORDED:
        return RECORDING_READY
    if event.type == tasks.ENDED:
        return TASK_COMPLETED if event.data["status"] == tasks.COMPLETED else TASK_FAILED
    if event.type != MESSAGE_STATE or event.data["state"] not in (COMPLETED, FAILED):
        return None
    if reason is None:  # it had no browser when it ended
        return SESSION_COMPLETED if event.data.get("error") == CANCELLED_ERROR else SESSION_FAILED
    return SESSION_FAILED if reason in FAILURES else SESSION_COMPLETED


def _of_batch(counts: Counts, cancelled: bool) -> str:
    return BATCH_CANCELLED if cancelled else BATCH_COMPLETED if counts.completed else BATCH_FAILED


def _is_over(event: Event, behind: Sequence[Event]) -> bool:
    return False


ANNOUNCED = Vocabulary(
    types=_BATCH_TYPES | {SESSION_COMPLETED, SESSION_FAILED, RECORDING_READY, TASK_COMPLETED, TASK_FAILED},
    batch_types=_BATCH_TYPES,
    of_session=_of_session,
    of_batch=_of_batch,
    is_over=_is_over,
)
