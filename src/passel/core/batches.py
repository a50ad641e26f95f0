"""States of batches, items and messages, and how a batch's state follows from its items.

Stored states say more than the wire does:

    held      a batch item that waits for admission     queued on the wire
    lined     behind another message of its session     queued
    ready     its job is in the queue                   queued
    running   an attempt has begun                      running
    completed, failed                                   the same
"""

from dataclasses import dataclass

HELD, LINED, READY, RUNNING, COMPLETED, FAILED = "held", "lined", "ready", "running", "completed", "failed"

_ON_THE_WIRE = {HELD: "queued", LINED: "queued", READY: "queued"}

CANCELLED_ERROR = "cancelled"


def wire_status(state: str) -> str:
    return _ON_THE_WIRE.get(state, state)


@dataclass(frozen=True, slots=True)
class Counts:
    """Always add up to the batch's size. Cancelled and not-created items count as failed."""

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
    """The batch's status (section 3.4 of the `dari` contract)."""
    if counts.queued == counts.size and counts.size:
        return "queued"
    if counts.unfinished:
        return "running"
    if not counts.failed:
        return "completed"
    return "partial_failed" if counts.completed else "failed"
