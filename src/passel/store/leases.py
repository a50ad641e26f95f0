"""Leases: the right of one attempt to write about one message, and what a worker is told when it gets one."""

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from passel.core.ids import BatchId, LaneId, MessageId, OrgId, SessionId
from passel.store.database import Row


class ItemTry(NamedTuple):
    """One try of a batch's item, and its session."""

    item_index: int
    number: int
    session_id: SessionId


class Place(NamedTuple):
    """Where a message is counted: its lane, and its batch if it is of one; `item` is None for what an item's session has begun.
    `settled` when its item has an outcome already, so that the item's count moves no more."""

    lane_id: LaneId
    batch_id: BatchId | None
    item: ItemTry | None
    settled: bool = False


def place_of(row: Row) -> Place:
    """Of a message's row, with its `lane_id`, `batch_id`, `item_index`, `item_try`, `session_id` and `outcome`."""
    item = None if row["item_index"] is None else ItemTry(row["item_index"], row["item_try"], row["session_id"])
    return Place(row["lane_id"], row["batch_id"], item, row["outcome"] is not None)


class Lease(NamedTuple):
    """Holds as long as the message is `running` and its attempt is this one. `number` counts its tries as people do:
    an attempt that goes on after a wait is no new one."""

    org_id: OrgId
    session_id: SessionId
    message_id: MessageId
    attempt: int
    number: int
    place: Place


@dataclass(frozen=True, slots=True)
class Claim:
    """`lost` counts the workers that this message took down with nothing else in their hands."""

    lease: Lease
    lost: int
    kind: str
    subject_id: str | None
    spec: dict[str, Any]
    secrets: bytes | None = field(repr=False)
