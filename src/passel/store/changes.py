"""What a transaction changes beside the rows it names: counters of batches and lanes, who is next in line, who is
woken, and what webhooks are told.

Every transition of a message goes through `Changes.move`, and every transaction that made one ends with `settle`: one
place that counts, admits, promotes the next message in line, and tells workers, readers and webhooks.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

import orjson

from passel.core.batch_log import Transition
from passel.core.costs import Usage
from passel.core.effects import DONE, IN_DOUBT, UNSENT
from passel.core.ids import BatchId, LaneId, OrgId, SessionId
from passel.core.states import HELD, OCCUPYING, PARKED, READY, phase
from passel.store import admission, announcing, usage
from passel.store.admission import Capacity
from passel.store.announcing import Announcing, Delivery
from passel.store.database import Row, WriteConnection
from passel.store.leases import Place
from passel.store.ledgers import Told


@dataclass(slots=True)
class BatchDelta:
    """What one transaction changes in a batch's row, whose columns the fields are but for the last: what is told of it."""

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
    charged: int = 0
    transitions: list[Transition] = field(default_factory=list[Transition])

    def count(self, name: str, n: int) -> None:
        """`name` is a phase (`passel.core.states.phase`)."""
        setattr(self, name, getattr(self, name) + n)

    def bill(self, state: str, usage: Usage) -> None:
        """An effect that has ended. What never left is in no bill."""
        self.calls += state != UNSENT
        self.in_doubt += state == IN_DOUBT
        self.unpriced += state == DONE and usage.cost_usd is None
        self.input_tokens += usage.input_tokens
        self.output_tokens += usage.output_tokens
        self.cost_usd += usage.cost_usd or Decimal(0)


_COLUMNS = tuple(name for name in BatchDelta.__slots__ if name != "transitions")


@dataclass(slots=True)
class LaneDelta:
    """What one transaction changes in a lane's row. The fields are its columns."""

    active: int = 0
    parked: int = 0


@dataclass(slots=True)
class Changes:
    """Collected while a transaction goes on, written by `settle` at its end."""

    now: datetime
    announcing: Announcing | None = None
    batches: dict[BatchId, BatchDelta] = field(default_factory=lambda: defaultdict[BatchId, BatchDelta](BatchDelta))
    lanes: dict[LaneId, LaneDelta] = field(default_factory=lambda: defaultdict[LaneId, LaneDelta](LaneDelta))
    held: dict[tuple[BatchId, LaneId], int] = field(default_factory=lambda: defaultdict[tuple[BatchId, LaneId], int](int))
    held_anew: Counter[tuple[OrgId, BatchId, LaneId]] = field(default_factory=Counter[tuple[OrgId, BatchId, LaneId]])
    next_in_line: list[SessionId] = field(default_factory=list[SessionId])
    ready_kinds: set[str] = field(default_factory=set[str])
    evicted_from: set[int] = field(default_factory=set[int])
    used: dict[tuple[OrgId, str], int] = field(default_factory=lambda: defaultdict[tuple[OrgId, str], int](int))
    deliveries: list[Delivery] = field(default_factory=list[Delivery])

    def move(self, place: Place, previous: str, state: str, error: str | None = None) -> None:
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
            self.count(place, phase(previous), phase(state), error)

    def count(self, place: Place, previous: str, state: str, error: str | None = None) -> None:
        """The item of a place, if it is one's, goes from one phase to another."""
        if place.batch_id is None or place.item is None or previous == state:
            return
        batch = self.batches[place.batch_id]
        batch.count(previous, -1)
        batch.count(state, 1)
        batch.transitions.append(Transition(place.item.item_index, place.item.session_id, place.item.number, previous, state, error))

    def begin(self, org_id: OrgId, batch_id: BatchId | None, lane_id: LaneId, kind: str) -> None:
        """A new message that is nobody's item: of a batch it is held, else it is ready."""
        if batch_id is None:
            self.lanes[lane_id].active += 1
            self.ready(kind, READY)
        else:
            _ = self.batches[batch_id]  # locked with the others: admission may count it
            self.held_anew[org_id, batch_id, lane_id] += 1

    def ready(self, kind: str, state: str) -> None:
        """A message of this kind went to `state`: workers are woken if they may take it."""
        if state != HELD:
            self.ready_kinds.add(kind)

    def announce(self, told: Iterable[Told]) -> None:
        """Ledgers were told this: what of it is news goes to webhooks. The lane of one that wants to hear of batches is
        locked with the others, since a batch may turn out to have ended with it."""
        if self.announcing is None:
            return
        for one in told:
            for watch in one.watches:
                self.deliveries += (news := self.announcing.of_session(watch, one.events, one.idle, one.result, one.of_batch))
                if news or (self.batches and self.announcing.wants_batches(watch)):
                    _ = self.lanes[watch.lane_id]  # an entry that changes nothing is locked and admitted into all the same


async def settle(c: WriteConnection, changes: Changes, capacity: Capacity) -> None:
    """The statements that every changing transaction ends with, in the lock order."""
    if changes.next_in_line:
        await _promote(c, changes)
    if changes.announcing is not None and changes.deliveries:
        await announcing.insert_deliveries(c, changes.deliveries, changes.announcing.ids, changes.now)
    lanes = sorted({*changes.lanes, *(lane for _, lane in changes.held), *(lane for *_, lane in changes.held_anew)})
    if lanes:
        await _count_lanes(c, changes, lanes)
    if lanes or changes.batches:
        await _count_batches(c, changes, lanes)
    if changes.held_anew:
        await admission.hold_back(c, changes.held_anew)
    if lanes:
        await admission.admit(c, lanes, capacity, changes.now, locked=True)
    if changes.used:
        await usage.count(c, changes.used, changes.announcing, changes.now)
    if changes.ready_kinds:
        await c.fetch("notify", admission.READY_CHANNEL, sorted(changes.ready_kinds))
    if changes.evicted_from:
        await c.fetch("notify", admission.EVICT_CHANNEL, [str(worker) for worker in changes.evicted_from])


async def _promote(c: WriteConnection, changes: Changes) -> None:
    for row in await c.fetch("promote_messages", changes.next_in_line, changes.now):
        changes.lanes[row["lane_id"]].active += 1
        changes.ready(row["kind"], READY)


async def _count_lanes(c: WriteConnection, changes: Changes, lanes: Sequence[LaneId]) -> None:
    deltas = [changes.lanes[lane] for lane in lanes]
    await c.execute("count_lanes", lanes, [d.active for d in deltas], [d.parked for d in deltas], changes.now)


async def _count_batches(c: WriteConnection, changes: Changes, lanes: Sequence[LaneId]) -> None:
    deltas, held = list(changes.batches.values()), list(changes.held)
    rows: list[Row] = await c.fetch(
        "count_batches",
        list(changes.batches),
        *([getattr(delta, name) for delta in deltas] for name in _COLUMNS),
        [len(delta.transitions) for delta in deltas],
        [orjson.dumps([tuple(told) for told in delta.transitions]) for delta in deltas],
        [batch_id for batch_id, _ in held],
        [lane_id for _, lane_id in held],
        list(changes.held.values()),
        lanes,
        changes.now,
    )
    if rows and changes.announcing is not None:
        await announcing.announce_batches(c, [row["id"] for row in rows], changes.announcing, changes.now)
