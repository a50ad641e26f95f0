"""What of a kind's work is announced to webhooks: each kind registers a `Vocabulary`, and the store asks it in the
transaction in which something happens. Pure."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from passel.core.events import Event
from passel.core.states import Counts


class News(NamedTuple):
    """Something to announce: its type, and the number of the event that says it."""

    type: str
    seq: int


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """`of_session` is given what one write told a session's ledger, whether the session turned idle with it, and what its
    message came to if it ended well; `of_batch` the counts of a batch whose last item has ended, and whether it was cancelled. Of
    `item_types` webhooks hear singly also from within batches only if they want to. `usage_types` has the type for each percentage of a
    month's limit. `is_over` says, of an event that is news and of the events
    behind it, whether nobody needs to hear of it any more. `types` are all types that there are."""

    types: frozenset[str]
    batch_types: frozenset[str]
    of_session: Callable[[Sequence[Event], bool, Mapping[str, Any] | None], list[News]]
    of_batch: Callable[[Counts, bool], str]
    is_over: Callable[[Event, Sequence[Event]], bool]
    item_types: frozenset[str] = frozenset()
    usage_types: Mapping[int, str] = field(default_factory=dict[int, str])
