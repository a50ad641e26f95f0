"""States of messages, and how items and batches follow from them.

    held       of a batch, waits for admission
    lined      behind another message of its session
    ready      may be taken by any worker
    suspect    was in the hands of a worker that died; taken again apart from others
    running    an attempt has begun
    waiting    for something from outside (a tool's result); holds no worker and no place
    delayed    until a moment at which it is tried again; holds no worker and no place
    completed, failed

                  admitted          taken             ends
    held ----------> ready ----------> running ------------------> completed | failed
      ^               ^  ^               | |  '- worker died: suspect (or ready)
      |  woken (batch)|  '- handed back -' |
      '---- waiting, delayed <-------------'
              woken (direct): ready

An item's state is that of its message, unless the attempt settled the item earlier (`message.outcome`): a browser
that is ready completes its item and goes on. Counters of a batch are by items, places of lanes and batches by messages.
"""

from dataclasses import dataclass

HELD, LINED, READY, SUSPECT, RUNNING = "held", "lined", "ready", "suspect", "running"
WAITING, DELAYED, COMPLETED, FAILED = "waiting", "delayed", "completed", "failed"

OCCUPYING = frozenset((READY, SUSPECT, RUNNING))  # these hold a place in their lane and in their batch
PARKED = frozenset((WAITING, DELAYED))
ENDED = frozenset((COMPLETED, FAILED))

QUEUED = "queued"
_PHASES = {WAITING: RUNNING, RUNNING: RUNNING, COMPLETED: COMPLETED, FAILED: FAILED}

CANCELLED_ERROR = "cancelled"
NO_CAPACITY_ERROR = "no capacity"


def phase(state: str) -> str:
    """What a batch counts the state as: `queued`, `running`, `completed` or `failed`."""
    return _PHASES.get(state, QUEUED)


@dataclass(frozen=True, slots=True)
class Counts:
    """Of a batch's items; always add up to its size. Cancelled and not-created items count as failed."""

    queued: int
    running: int
    completed: int
    failed: int

    @property
    def size(self) -> int:
        return self.queued + self.running + self.completed + self.failed

    @property
    def unfinished(self) -> int:
        return self.queued + self.running


def aggregate(counts: Counts) -> str:
    """The batch's status: `queued`, `running`, `completed`, `failed` or `partial_failed` (section 3.4 of the `dari`
    contract)."""
    if counts.queued == counts.size and counts.size:
        return QUEUED
    if counts.unfinished:
        return RUNNING
    if not counts.failed:
        return COMPLETED
    return "partial_failed" if counts.completed else FAILED
