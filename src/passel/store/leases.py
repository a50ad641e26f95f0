"""Leases: the right of one attempt to write about one message, and what a worker is told when it gets one."""

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from passel.core.ids import BatchId, LaneId, MessageId, OrgId, SessionId


class Place(NamedTuple):
    """Where a message is counted: its lane, and its batch if it is an item's. `settled` when its item has an outcome
    already, so that the item's count moves no more."""

    lane_id: LaneId
    batch_id: BatchId | None
    settled: bool = False


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
