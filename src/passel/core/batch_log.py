"""The ledger of a batch: how its items went from phase to phase, and the batch's own status with them.

What is stored is a row for each transaction that moved items (`passel.store.batches`); what is told are single entries,
numbered without gaps from 1, each with the counts as they were after it.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import NamedTuple

from passel.core.ids import BatchId, SessionId
from passel.core.states import Counts


class Transition(NamedTuple):
    """An item's try goes from one phase to another; `error` where it failed. `session_id` is None for one that could
    not be made."""

    item_index: int
    session_id: SessionId | None
    number: int
    previous: str
    state: str
    error: str | None


@dataclass(frozen=True, slots=True)
class BatchEntry:
    """Number `seq` of a batch's ledger: a transition of an item, or (`transition` is None) the batch's new `status`."""

    batch_id: BatchId
    seq: int
    transition: Transition | None
    status: str | None
    counts: Counts
    created_at: datetime


def entries(
    batch_id: BatchId, last_seq: int, transitions: Sequence[Transition], after: Counts, status: str | None, created_at: datetime
) -> list[BatchEntry]:
    """The entries of one row: `after` are the counts after all of `transitions`, `last_seq` is the last number."""
    counts: dict[str, int] = asdict(after)
    for transition in transitions:
        counts[transition.previous] += 1
        counts[transition.state] -= 1
    first = last_seq - len(transitions) - (status is not None) + 1
    made: list[BatchEntry] = []
    for seq, transition in enumerate(transitions, first):
        counts[transition.previous] -= 1
        counts[transition.state] += 1
        made.append(BatchEntry(batch_id, seq, transition, None, Counts(**counts), created_at))
    if status is not None:
        made.append(BatchEntry(batch_id, last_seq, None, status, after, created_at))
    return made
