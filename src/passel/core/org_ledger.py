"""The ledger of an organisation: in what order the ledgers of its sessions and batches grew.

What is stored is a row for each statement that told some of them something, as stretches of their numbers; what is told
are the events of these stretches, one after the other. A place in it is a row and how many of its events were told, so
that it stays the same whatever is deleted.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from passel.core.batch_log import BatchEntry
from passel.core.events import Event
from passel.core.ids import BatchId


class Place(NamedTuple):
    """Behind all events of the rows before `n`, and the first `k` of row `n`."""

    n: int
    k: int = 0


class Row(NamedTuple):
    """Ledgers of sessions, or else of batches, that grew by the numbers from `firsts` to `lasts`."""

    n: int
    of_batches: bool
    ids: Sequence[str]
    firsts: Sequence[int]
    lasts: Sequence[int]


class Stretch(NamedTuple):
    """A part of a row: what one ledger was told. `k` events of the row come before number `first`."""

    n: int
    k: int
    of_batches: bool
    id: str
    first: int
    last: int

    def behind(self, seq: int) -> Place:
        return Place(self.n, self.k + seq - self.first + 1)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a follower wants to hear of; None is everything. `types` are those of events, of a batch `ITEM` and `BATCH`.
    Batches have no metadata, and are left out where any is asked for."""

    kinds: Sequence[str] | None = None
    batch_id: BatchId | None = None
    subject_id: str | None = None
    metadata: dict[str, str] | None = None
    types: Sequence[str] | None = None

    def of_batch(self, entry: BatchEntry) -> bool:
        return self.types is None or (BATCH if entry.transition is None else ITEM) in self.types


ITEM, BATCH = "item.state", "batch.state"
"""How entries of a batch's ledger are called among types of events."""


class OrgEntry(NamedTuple):
    """An event with what its session or batch is. `metadata` is None for those of a batch."""

    place: Place
    told: Event | BatchEntry
    kind: str
    subject_id: str | None
    batch_id: BatchId | None
    metadata: dict[str, Any] | None


def stretches(rows: Iterable[Row], start: Place, most: int) -> tuple[list[Stretch], Place]:
    """What comes behind a place, at most so many events of it, and the place behind that. The rows are in their order, from
    that of the place on."""
    found: list[Stretch] = []
    left = most
    for row in rows:
        k, skip = 0, start.k if row.n == start.n else 0
        for id, first, last in zip(row.ids, row.firsts, row.lasts, strict=True):
            begin = first + max(0, skip - k)
            if left == 0 and begin <= last:
                return found, Place(row.n, max(k, skip))
            end = min(last, begin + left - 1)
            if begin <= end:
                found.append(Stretch(row.n, k + begin - first, row.of_batches, id, begin, end))
                left -= end - begin + 1
            if end < last and begin <= last:
                return found, Place(row.n, k + end - first + 1)
            k += last - first + 1
        start = Place(row.n + 1)
    return found, start
