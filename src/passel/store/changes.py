"""What a transaction changes beside the rows it names: events, counters of batches and lanes, who is woken.

Every transition of a message goes through `Changes.move`, and every transaction that made one ends with `settle`:
one place that counts, admits, promotes the next message in line, and tells workers and readers.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

import orjson

from passel.core.costs import Usage
from passel.core.effects import DONE, IN_DOUBT, UNSENT
from passel.core.events import Draft, Event
from passel.core.ids import BatchId, LaneId, MessageId, OrgId, SessionId
from passel.core.states import HELD, OCCUPYING, PARKED, READY, phase
from passel.store import admission
from passel.store.admission import Capacity
from passel.store.database import Row, WriteConnection
from passel.store.leases import Place


@dataclass(slots=True)
class BatchDelta:
    """What one transaction changes in a batch's row. The fields are its columns."""

    queued: int = 0
    running: int = 0
    completed: int = 0
    failed: int = 0
    cancelled: int = 0
    active: int = 0
    calls: int = 0
    in_doubt: int = 0
    unpriced: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: Decimal = Decimal(0)

    def count(self, name: str, n: int) -> None:
        setattr(self, name, getattr(self, name) + n)

    def bill(self, state: str, usage: Usage) -> None:
        """An effect that has ended. What never left is in no bill."""
        self.calls += state != UNSENT
        self.in_doubt += state == IN_DOUBT
        self.unpriced += state == DONE and usage.cost_usd is None
        self.input_tokens += usage.input_tokens
        self.output_tokens += usage.output_tokens
        self.cost_usd += usage.cost_usd or Decimal(0)


_COLUMNS = tuple(BatchDelta.__slots__)


@dataclass(slots=True)
class LaneDelta:
    active: int = 0
    parked: int = 0


@dataclass(slots=True)
class Changes:
    """Collected while a transaction goes on, written by `settle` at its end."""

    now: datetime
    events: list[Event] = field(default_factory=list[Event])
    batches: dict[BatchId, BatchDelta] = field(default_factory=lambda: defaultdict[BatchId, BatchDelta](BatchDelta))
    lanes: dict[LaneId, LaneDelta] = field(default_factory=lambda: defaultdict[LaneId, LaneDelta](LaneDelta))
    held: dict[tuple[BatchId, LaneId], int] = field(default_factory=lambda: defaultdict[tuple[BatchId, LaneId], int](int))
    next_in_line: list[SessionId] = field(default_factory=list[SessionId])
    ready_kinds: set[str] = field(default_factory=set[str])
    evicted_from: set[int] = field(default_factory=set[int])

    def append(
        self, org_id: OrgId, session_id: SessionId, message_id: MessageId | None, last_seq: int, drafts: Sequence[Draft]
    ) -> list[Event]:
        """Number `drafts` so that the last one gets `last_seq`; returns them as events."""
        first = last_seq - len(drafts) + 1
        made = [Event(org_id, session_id, first + n, message_id, draft.type, draft.data, self.now) for n, draft in enumerate(drafts)]
        self.events += made
        return made

    def move(self, place: Place, previous: str, state: str) -> None:
        """A message of this place goes from one state to another."""
        occupies = (state in OCCUPYING) - (previous in OCCUPYING)
        parks = (state in PARKED) - (previous in PARKED)
        if occupies or parks:
            lane = self.lanes[place.lane_id]
            lane.active += occupies
            lane.parked += parks
        if place.batch_id is None:
            return
        batch = self.batches[place.batch_id]
        batch.active += occupies
        if holds := (state == HELD) - (previous == HELD):
            self.held[place.batch_id, place.lane_id] += holds
        if not place.settled:
            self.count(place.batch_id, phase(previous), phase(state))

    def count(self, batch_id: BatchId, previous: str, state: str) -> None:
        """An item goes from one phase to another."""
        if previous != state:
            self.batches[batch_id].count(previous, -1)
            self.batches[batch_id].count(state, 1)

    def ready(self, kind: str, state: str) -> None:
        """A message of this kind went to `state`: workers are woken if they may take it."""
        if state != HELD:
            self.ready_kinds.add(kind)


async def settle(c: WriteConnection, changes: Changes, capacity: Capacity) -> list[BatchId]:
    """The statements that every changing transaction ends with, in the lock order. Returns the batches whose last item
    has ended with it."""
    if changes.events:
        await insert_events(c, changes.events, changes.now)
    if changes.next_in_line:
        await _promote(c, changes)
    lanes = sorted({*changes.lanes, *(lane for _, lane in changes.held)})
    if lanes:
        await _count_lanes(c, changes, lanes)
    finished = await _count_batches(c, changes, lanes) if changes.batches else []
    if changes.held:
        keys = list(changes.held)
        await c.execute("count_held", [b for b, _ in keys], [lane for _, lane in keys], list(changes.held.values()))
    if lanes:
        await admission.admit(c, lanes, capacity, changes.now, locked=bool(changes.batches))
    if changes.ready_kinds:
        await c.fetch("notify", admission.READY_CHANNEL, sorted(changes.ready_kinds))
    if changes.evicted_from:
        await c.fetch("notify", admission.EVICT_CHANNEL, [str(worker) for worker in changes.evicted_from])
    return finished


async def insert_events(c: WriteConnection, events: Sequence[Event], now: datetime) -> None:
    await c.execute(
        "insert_events",
        [e.org_id for e in events],
        [e.session_id for e in events],
        [e.seq for e in events],
        [e.message_id for e in events],
        [e.type for e in events],
        [orjson.dumps(e.data) for e in events],
        now,
    )


async def _promote(c: WriteConnection, changes: Changes) -> None:
    for row in await c.fetch("promote_messages", changes.next_in_line, changes.now):
        changes.lanes[row["lane_id"]].active += 1
        changes.ready(row["kind"], READY)


async def _count_lanes(c: WriteConnection, changes: Changes, lanes: Sequence[LaneId]) -> None:
    deltas = [changes.lanes[lane] for lane in lanes]
    await c.execute("count_lanes", lanes, [d.active for d in deltas], [d.parked for d in deltas], changes.now)


async def _count_batches(c: WriteConnection, changes: Changes, lanes: Sequence[LaneId]) -> list[BatchId]:
    deltas = list(changes.batches.values())
    columns: list[list[Any]] = [[getattr(delta, name) for delta in deltas] for name in _COLUMNS]
    rows: list[Row] = await c.fetch("count_batches", list(changes.batches), *columns, changes.now, lanes)
    return [row["id"] for row in rows if row["finished"]]
