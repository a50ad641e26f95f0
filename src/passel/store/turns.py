"""The life of messages in SQL: attempts begin, write, end, are handed back or cancelled.

`apply` takes the writes of many sessions of one worker and commits them as one transaction. What holds for each:

- A write names its session's fence and its own step. No row back means that another attempt owns the session
  (the write is dropped), or that this very write was committed before and the answer got lost (it holds).
- Event numbers are given out under the session's row lock, so a ledger has no gaps and no reordering.
- Counters of lanes and batches change in the same transaction as the states that they count, and whoever ends an
  item admits the next.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import orjson

from passel.core import batches, events
from passel.core.batches import CANCELLED_ERROR, COMPLETED, FAILED, HELD, READY, RUNNING
from passel.core.context import CallIntent, CallOutcome, Ending, Fail
from passel.core.events import Draft, Event
from passel.core.ids import BatchId, LaneId, MessageId, OrgId, SessionId, VersionId
from passel.core.llm import LlmOption
from passel.store import jobs
from passel.store.database import ReadConnection, Row, WriteConnection
from passel.store.jobs import Job


@dataclass(frozen=True, slots=True)
class Capacity:
    """How many sessions of a lane may be active at once, where the lane itself does not say."""

    default: int
    local: int


@dataclass(frozen=True, slots=True)
class Lease:
    """The right of one attempt to write to one session, as long as the fence stands."""

    org_id: OrgId
    session_id: SessionId
    message_id: MessageId
    fence: int
    attempt: int
    batch_id: BatchId | None
    item_index: int | None


@dataclass(frozen=True, slots=True)
class Claim:
    """`lost` counts the attempts before this one that ended with their worker, without being handed back."""

    lease: Lease
    lost: int
    version_id: VersionId
    llm_id: str | None
    secrets: bytes | None
    ledger: tuple[Event, ...] = ()


@dataclass(frozen=True, slots=True)
class StepWrite:
    """One write of an attempt: events, the end of a model call, the intent of the next, the message's ending."""

    lease: Lease
    step: int
    option: LlmOption | None
    drafts: tuple[Draft, ...] = ()
    ended: CallOutcome | None = None
    intent: CallIntent | None = None
    ending: Ending | None = None

    @property
    def ended_as(self) -> str | None:
        if self.ending is None:
            return None
        return FAILED if isinstance(self.ending, Fail) else COMPLETED

    @property
    def error(self) -> str | None:
        return self.ending.error if isinstance(self.ending, Fail) else None

    @property
    def all_drafts(self) -> list[Draft]:
        drafts = list(self.drafts)
        if self.ended_as:
            lease = self.lease
            drafts.append(events.message_status(lease.message_id, self.ended_as, RUNNING, lease.attempt, self.error))
        return drafts


@dataclass(slots=True)
class Delta:
    """What one transaction changes in a batch's row."""

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

    def move(self, previous: str, state: str) -> None:
        self._add(previous, -1)
        self._add(state, 1)
        if previous in (READY, RUNNING) and state in (COMPLETED, FAILED):
            self.active -= 1

    def _add(self, state: str, n: int) -> None:
        name = batches.wire_status(state)
        setattr(self, name, getattr(self, name) + n)

    def spend(self, outcome: CallOutcome) -> None:
        self.calls += 1
        self.in_doubt += outcome.state == "in_doubt"
        self.unpriced += outcome.state == "answered" and outcome.usage.cost_usd is None
        self.input_tokens += outcome.usage.input_tokens
        self.output_tokens += outcome.usage.output_tokens
        self.cost_usd += outcome.usage.cost_usd or Decimal(0)


@dataclass(slots=True)
class Changes:
    """What a transaction has collected for its last statements."""

    now: datetime
    events: list[tuple[OrgId, SessionId, int, Draft]] = field(default_factory=list[tuple[OrgId, SessionId, int, Draft]])
    batches: dict[BatchId, Delta] = field(default_factory=lambda: defaultdict[BatchId, Delta](Delta))
    lanes: dict[LaneId, int] = field(default_factory=lambda: defaultdict[LaneId, int](int))
    released: dict[tuple[BatchId, LaneId], int] = field(default_factory=lambda: defaultdict[tuple[BatchId, LaneId], int](int))
    next_in_line: list[SessionId] = field(default_factory=list[SessionId])

    def append(self, org_id: OrgId, session_id: SessionId, last_seq: int, drafts: Sequence[Draft]) -> None:
        """Number `drafts` so that the last one gets `last_seq`."""
        first = last_seq - len(drafts) + 1
        self.events.extend((org_id, session_id, first + i, draft) for i, draft in enumerate(drafts))


async def apply(
    c: WriteConnection, begins: Sequence[Job], writes: Sequence[StepWrite], now: datetime, capacity: Capacity
) -> tuple[list[Claim], set[SessionId]]:
    """Begin attempts and make writes. Returns the claims that were granted and the sessions whose writes hold.

    At most one begin or write a session in one call.
    """
    await c.fetch("lock_sessions", [*(j.session_id for j in begins), *(w.lease.session_id for w in writes)])
    changes = Changes(now)
    claims = await _claim(c, begins, changes) if begins else []
    held = await _write(c, writes, changes) if writes else set[SessionId]()
    await _settle(c, changes, capacity)
    return await _with_ledgers(c, claims), held


async def _with_ledgers(c: WriteConnection, claims: Sequence[Claim]) -> list[Claim]:
    if not claims:
        return []
    ledgers: dict[SessionId, list[Event]] = defaultdict(list)
    for row in await c.fetch("read_ledgers", [claim.lease.session_id for claim in claims]):
        ledgers[row["session_id"]].append(Event(*row.values()))
    return [replace(claim, ledger=tuple(ledgers[claim.lease.session_id])) for claim in claims]


async def _claim(c: WriteConnection, begins: Sequence[Job], changes: Changes) -> list[Claim]:
    rows = await c.fetch("claim_sessions", [j.session_id for j in begins], [j.message_id for j in begins])
    if not rows:
        return []
    messages = {m["id"]: m for m in await c.fetch("claim_messages", [r["message_id"] for r in rows])}
    doubts = await _doubt_calls(c, [m["id"] for m in messages.values() if m["attempt"] > 1], changes)
    claims: list[Claim] = []
    for row in rows:
        message = messages[row["message_id"]]
        lease = Lease(row["org_id"], row["id"], message["id"], row["fence"], message["attempt"], message["batch_id"], message["item_index"])
        previous = batches.wire_status(message["previous"])
        started = events.message_status(lease.message_id, RUNNING, previous, lease.attempt)
        changes.append(lease.org_id, lease.session_id, row["last_seq"], [started])
        lost = lease.attempt - 1 - message["handed_back"]
        claims.append(Claim(lease, lost, row["version_id"], row["llm_id"], row["secrets"]))
    started_items = [claim.lease for claim in claims if claim.lease.batch_id is not None]
    if started_items:
        items = await c.fetch("claim_items", [one.batch_id for one in started_items], [one.item_index for one in started_items])
        for item in items:
            changes.batches[item["batch_id"]].move(READY, RUNNING)
        for lease in started_items:
            changes.batches[BatchId(lease.batch_id or "")].in_doubt += doubts[lease.message_id]
            changes.batches[BatchId(lease.batch_id or "")].calls += doubts[lease.message_id]
    if doubts:
        orgs = {claim.lease.session_id: claim.lease.org_id for claim in claims}
        await _append_doubts(c, orgs, doubts, changes)
    return claims


class _Doubts(dict[MessageId, int]):
    """How many calls of each message are in doubt, with their events."""

    drafts: dict[SessionId, list[Draft]]

    def __missing__(self, key: MessageId) -> int:
        return 0


async def _doubt_calls(c: WriteConnection, message_ids: Sequence[str], changes: Changes) -> _Doubts:
    doubts = _Doubts()
    doubts.drafts = defaultdict(list)
    if not message_ids:
        return doubts
    for call in await c.fetch("doubt_calls", message_ids, changes.now):
        message_id = MessageId(call["message_id"])
        doubts[message_id] += 1
        said = {
            "id": call["id"],
            "attempt": call["attempt"],
            "number": call["number"],
            "provider": call["provider"],
            "model": call["model"],
            "request_hash": call["request_hash"],
        }
        doubts.drafts[call["session_id"]].append(events.call_in_doubt(message_id, said))
    return doubts


async def _append_doubts(c: WriteConnection, orgs: dict[SessionId, OrgId], doubts: _Doubts, changes: Changes) -> None:
    sessions = list(doubts.drafts)
    for row in await c.fetch("extend_sessions", sessions, [len(doubts.drafts[s]) for s in sessions]):
        changes.append(orgs[row["id"]], row["id"], row["last_seq"], doubts.drafts[row["id"]])


async def _write(c: WriteConnection, writes: Sequence[StepWrite], changes: Changes) -> set[SessionId]:
    drafts = {w.lease.session_id: w.all_drafts for w in writes}
    rows = await c.fetch(
        "advance_sessions",
        [w.lease.session_id for w in writes],
        [w.lease.fence for w in writes],
        [w.step for w in writes],
        [len(drafts[w.lease.session_id]) for w in writes],
        [w.lease.message_id for w in writes],
        [w.ended_as for w in writes],
    )
    advanced = {row["id"]: row for row in rows}
    held = set(advanced)
    if len(held) < len(writes):
        held |= await _written_before(c, [w for w in writes if w.lease.session_id not in advanced])
    fresh = [w for w in writes if w.lease.session_id in advanced]
    for write in fresh:
        row = advanced[write.lease.session_id]
        appended = drafts[write.lease.session_id]
        if write.ending is not None:
            changes.lanes[row["lane_id"]] -= 1
            if row["was_last"]:
                appended = [*appended, events.session_status("idle", "running")]
            else:
                changes.next_in_line.append(write.lease.session_id)
        changes.append(write.lease.org_id, write.lease.session_id, row["last_seq"], appended)
    await _record_calls(c, fresh, changes)
    await _doubt_left_open(c, [w for w in fresh if isinstance(w.ending, Fail) and w.ended is None], changes)
    await _finish(c, [(w.lease.message_id, w.ended_as, w.error) for w in fresh if w.ended_as], changes)
    return held


async def _written_before(c: WriteConnection, missing: Sequence[StepWrite]) -> set[SessionId]:
    rows = await c.fetch(
        "written_steps",
        [w.lease.session_id for w in missing],
        [w.lease.fence for w in missing],
        [w.step for w in missing],
    )
    return {row["id"] for row in rows}


async def _doubt_left_open(c: WriteConnection, failed: Sequence[StepWrite], changes: Changes) -> None:
    """A message that fails without the outcome of its last call leaves that call in doubt."""
    doubts = await _doubt_calls(c, [w.lease.message_id for w in failed], changes)
    if not doubts:
        return
    for write in failed:
        if write.lease.batch_id:
            changes.batches[write.lease.batch_id].in_doubt += doubts[write.lease.message_id]
            changes.batches[write.lease.batch_id].calls += doubts[write.lease.message_id]
    await _append_doubts(c, {w.lease.session_id: w.lease.org_id for w in failed}, doubts, changes)


async def _record_calls(c: WriteConnection, writes: Sequence[StepWrite], changes: Changes) -> None:
    ended = [(w, w.ended) for w in writes if w.ended]
    if ended:
        for write, outcome in ended:
            if write.lease.batch_id:
                changes.batches[write.lease.batch_id].spend(outcome)
        await c.execute(
            "end_calls",
            [o.id for _, o in ended],
            [w.lease.fence for w, _ in ended],
            [o.state for _, o in ended],
            [o.usage.input_tokens for _, o in ended],
            [o.usage.output_tokens for _, o in ended],
            [o.usage.cache_read_tokens for _, o in ended],
            [o.usage.cost_usd for _, o in ended],
            [o.error for _, o in ended],
            [o.ended_at for _, o in ended],
        )
    begun = [(w, w.intent) for w in writes if w.intent]
    if begun:
        await c.execute(
            "start_calls",
            [w.lease.org_id for w, _ in begun],
            [i.id for _, i in begun],
            [w.lease.session_id for w, _ in begun],
            [w.lease.message_id for w, _ in begun],
            [w.lease.fence for w, _ in begun],
            [w.lease.attempt for w, _ in begun],
            [i.number for _, i in begun],
            [w.option.provider if w.option else "" for w, _ in begun],
            [w.option.model if w.option else "" for w, _ in begun],
            [i.request_hash for _, i in begun],
            [i.started_at for _, i in begun],
        )


async def _finish(c: WriteConnection, endings: Sequence[tuple[MessageId, str, str | None]], changes: Changes) -> None:
    """End messages and, with them, the batch items whose first message they are."""
    if not endings:
        return
    by_message = {message_id: (state, error) for message_id, state, error in endings}
    states, errors = [e[1] for e in endings], [e[2] for e in endings]
    rows = await c.fetch("finish_messages", list(by_message), states, errors, changes.now)
    items = [row for row in rows if row["batch_id"] is not None]
    if not items:
        return
    moved = await c.fetch(
        "finish_items",
        [r["batch_id"] for r in items],
        [r["item_index"] for r in items],
        [by_message[r["id"]][0] for r in items],
        [by_message[r["id"]][1] for r in items],
        changes.now,
    )
    for row in moved:
        changes.batches[row["batch_id"]].move(row["previous"], row["state"])
        if row["previous"] == HELD:
            changes.released[row["batch_id"], row["lane_id"]] += 1


async def _settle(c: WriteConnection, changes: Changes, capacity: Capacity) -> None:
    """The statements that every changing transaction ends with: events, next messages, counters, admission."""
    await insert_events(c, changes)
    if changes.next_in_line:
        await _promote(c, changes)
    lanes = sorted({*changes.lanes, *(lane for _, lane in changes.released)})
    if lanes:
        await c.fetch("lock_lanes", lanes)
        await c.execute("count_lanes", list(changes.lanes), list(changes.lanes.values()))
    if changes.batches:
        await c.fetch("lock_batches", list(changes.batches), lanes)
        await _count_batches(c, changes)
    if changes.released:
        keys = list(changes.released)
        await c.execute("release_held", [b for b, _ in keys], [lane for _, lane in keys], list(changes.released.values()))
    if lanes:
        await admit(c, lanes, capacity, locked=bool(changes.batches))


async def insert_events(c: WriteConnection, changes: Changes) -> None:
    if not changes.events:
        return
    await c.execute(
        "insert_events",
        [org for org, _, _, _ in changes.events],
        [session for _, session, _, _ in changes.events],
        [seq for _, _, seq, _ in changes.events],
        [draft.message_id for _, _, _, draft in changes.events],
        [draft.type for _, _, _, draft in changes.events],
        [draft.source for _, _, _, draft in changes.events],
        [orjson.dumps(draft.data) for _, _, _, draft in changes.events],
        changes.now,
    )


async def _promote(c: WriteConnection, changes: Changes) -> None:
    rows = await c.fetch("promote_messages", changes.next_in_line)
    for row in rows:
        changes.lanes[row["lane_id"]] += 1
    promoted = [Job(row["id"], row["message_id"]) for row in rows]
    await jobs.enqueue(c, promoted, [row["fence"] for row in rows], priority=jobs.DIRECT_PRIORITY)


async def _count_batches(c: WriteConnection, changes: Changes) -> None:
    deltas = list(changes.batches.values())

    def column(name: str) -> list[Any]:
        return [getattr(delta, name) for delta in deltas]

    counted = (
        "queued",
        "running",
        "completed",
        "failed",
        "cancelled",
        "active",
        "calls",
        "in_doubt",
        "input_tokens",
        "output_tokens",
        "cost_usd",
    )
    await c.execute("count_batches", list(changes.batches), *map(column, counted), changes.now, column("unpriced"))


async def admit(c: WriteConnection, lanes: Sequence[LaneId], capacity: Capacity, *, locked: bool = False) -> int:
    """Fill the room of `lanes` from what batches hold back. Returns how many items were admitted.

    `locked` says that the caller holds the locks of the lanes and of the batches that admission may count.
    """
    if not locked:
        await c.fetch("lock_lanes", lanes)
        await c.fetch("lock_batches", [], lanes)
    rows = await c.fetch("admit_items", lanes, capacity.default, capacity.local)
    admitted = [Job(row["session_id"], row["message_id"]) for row in rows]
    await jobs.enqueue(c, admitted, [0] * len(admitted), priority=jobs.BATCH_PRIORITY)
    return len(admitted)


async def hand_back(c: WriteConnection, leases: Iterable[Lease], owner: UUID | None = None) -> int:
    """Give sessions up for any worker to go on with. Returns how many were still ours.

    `owner` is our name in the queue: what another worker has taken over already is left to it.
    """
    ours = sorted(leases, key=lambda lease: lease.session_id)
    await c.fetch("lock_sessions", [lease.session_id for lease in ours])
    taken = {row["message_id"] for row in await c.fetch("taken_over", [lease.message_id for lease in ours], owner)}
    ours = [lease for lease in ours if lease.message_id not in taken]
    rows = await c.fetch(
        "hand_back_sessions",
        [lease.session_id for lease in ours],
        [lease.fence for lease in ours],
        [lease.message_id for lease in ours],
    )
    back = [Job(row["id"], row["active_message_id"]) for row in rows]
    message_ids = [job.message_id for job in back]
    await c.execute("hand_back_messages", message_ids)
    await c.execute("delete_jobs", message_ids, owner)
    await jobs.enqueue(c, back, [row["fence"] for row in rows], priority=jobs.DIRECT_PRIORITY)
    return len(rows)


async def lost_leases(c: ReadConnection, leases: Sequence[Lease]) -> set[SessionId]:
    """The sessions of those leases that another attempt, or a cancellation, has ended."""
    rows = await c.fetch("lost_leases", [lease.session_id for lease in leases], [lease.fence for lease in leases])
    return {row["id"] for row in rows}


async def recount_lanes(c: WriteConnection) -> list[str]:
    """Set right what lanes say of their slots; returns the names of those that were wrong, which none ever should be."""
    lanes = [row["id"] for row in await c.fetch("busy_lanes")]
    await c.fetch("lock_lanes", lanes)
    return [row["name"] for row in await c.fetch("recount_lanes", lanes)]


async def cancel_items(c: WriteConnection, items: Sequence[Row], now: datetime, capacity: Capacity) -> int:
    """End items of one batch whose first message has not ended. Returns how many were ended by this call."""
    session_ids = [item["session_id"] for item in items]
    await c.fetch("lock_sessions", session_ids)
    await c.fetch("lock_items", items[0]["batch_id"], [item["index"] for item in items])
    rows = await c.fetch("cancel_sessions", session_ids, [item["message_id"] for item in items])
    changes = Changes(now)
    messages = {r["id"]: r for r in await c.fetch("message_attempts", [r["message_id"] for r in rows])}
    doubts = await _doubt_calls(c, [r["message_id"] for r in rows], changes)
    for row in rows:
        message_id: MessageId = row["message_id"]
        previous = batches.wire_status(messages[message_id]["state"])
        drafts = [events.message_status(message_id, FAILED, previous, messages[message_id]["attempt"], CANCELLED_ERROR)]
        if row["was_last"]:
            drafts.append(events.session_status("idle", "running"))
        else:
            changes.next_in_line.append(row["id"])
        changes.append(row["org_id"], row["id"], row["last_seq"], drafts)
        if messages[message_id]["state"] in (READY, RUNNING):
            changes.lanes[row["lane_id"]] -= 1
    if doubts:
        await _append_doubts(c, {row["id"]: row["org_id"] for row in rows}, doubts, changes)
    batch_of = {item["message_id"]: item["batch_id"] for item in items}
    for message_id, count in doubts.items():
        changes.batches[batch_of[message_id]].in_doubt += count
        changes.batches[batch_of[message_id]].calls += count
    await _finish(c, [(row["message_id"], FAILED, CANCELLED_ERROR) for row in rows], changes)
    for delta in changes.batches.values():
        delta.cancelled += delta.failed
    await _settle(c, changes, capacity)
    return len(rows)
