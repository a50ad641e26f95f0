"""What webhooks hear of agents (section 5.5 of the `dari` contract).

tool.call_requested      a call that the client shall answer
session.completed        a message was answered, and none stands in line behind it
session.failed           the same with a message that failed
batch.completed, batch.failed, batch.partial_failed     the last item has ended, each time that this happens
"""

from collections.abc import Sequence

from passel.core.agent import events as ev
from passel.core.agent.tools import EXTERNAL
from passel.core.announcements import News, Vocabulary
from passel.core.events import MESSAGE_STATE, Event
from passel.core.states import COMPLETED, FAILED, Counts, aggregate

TOOL_CALL_REQUESTED = "tool.call_requested"
SESSION_COMPLETED, SESSION_FAILED = "session.completed", "session.failed"

_OF_STATE = {COMPLETED: SESSION_COMPLETED, FAILED: SESSION_FAILED}
_BATCH_TYPES = frozenset(("batch.completed", "batch.failed", "batch.partial_failed"))


def _of_session(told: Sequence[Event], idle: bool, result: object) -> list[News]:
    news: list[News] = []
    for event in told:
        if event.type == ev.TOOL_REQUESTED and event.data["execution"] == EXTERNAL:
            news.append(News(TOOL_CALL_REQUESTED, event.seq))
        elif idle and event.type == MESSAGE_STATE and event.data["state"] in _OF_STATE:
            news.append(News(_OF_STATE[event.data["state"]], event.seq))
    return news


def _of_batch(counts: Counts, cancelled: bool) -> str:
    return f"batch.{aggregate(counts)}"


def _is_over(event: Event, behind: Sequence[Event]) -> bool:
    """A call that was answered, or timed out, wants no answer any more; nor does one whose message has ended."""
    if event.type != ev.TOOL_REQUESTED:
        return False
    return any(
        (later.type in ev.TOOL_SETTLED and later.data["id"] == event.data["id"])
        or (later.type == MESSAGE_STATE and later.message_id == event.message_id and later.data["state"] in _OF_STATE)
        for later in behind
    )


ANNOUNCED = Vocabulary(
    types=frozenset((TOOL_CALL_REQUESTED, *_OF_STATE.values(), *_BATCH_TYPES)),
    batch_types=_BATCH_TYPES,
    of_session=_of_session,
    of_batch=_of_batch,
    is_over=_is_over,
)
