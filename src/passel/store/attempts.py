"""Attempts in SQL: begun, handed back, lost with their worker."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime

from passel.core import events
from passel.core.events import Event
from passel.core.ids import MessageId, SessionId, WorkerId
from passel.core.states import READY, RUNNING
from passel.store import effects, ledgers
from passel.store.admission import Capacity
from passel.store.changes import Changes, settle
from passel.store.database import ReadConnection, Row, WriteConnection
from passel.store.leases import Claim, Lease, place_of
from passel.store.ledgers import Telling

Ledgers = dict[SessionId, list[Event]]

SUSPECTS_AT_ONCE = 16
"""So many suspects run together, apart from all others. One that was lost in such a group runs alone."""

_IN_A_GROUP, _ALONE = 2, 3


async def claim(c: WriteConnection, kind: str, limit: int, worker: WorkerId, now: datetime, capacity: Capacity) -> list[Claim]:
    """Begin attempts at up to `limit` ready messages of a kind: those of no batch before those of batches, then those
    that became ready first. Messages that others have locked are passed over. None are begun by a worker that was given
    up for dead."""
    rows = await c.fetch("choose_ready", kind, limit)
    return await _begin(c, rows, READY, worker, now, capacity)


async def claim_suspects(c: WriteConnection, kind: str, worker: WorkerId, now: datetime, capacity: Capacity) -> list[Claim]:
    """Begin attempts at a group of suspects, or at a single one that a group was lost with."""
    rows = await c.fetch("choose_suspects", kind, SUSPECTS_AT_ONCE, _IN_A_GROUP, _IN_A_GROUP)
    rows = rows or await c.fetch("choose_suspects", kind, 1, _ALONE, 2**31 - 1)
    return await _begin(c, rows, "suspect", worker, now, capacity)


async def has_suspects(c: ReadConnection, kinds: Sequence[str]) -> bool:
    return await c.fetchval("has_suspects", kinds)


async def _begin(
    c: WriteConnection, chosen: Sequence[Row], previous: str, worker: WorkerId, now: datetime, capacity: Capacity
) -> list[Claim]:
    if not chosen:
        return []
    began = events.message_began()
    rows = await c.fetch("claim_messages", [row["id"] for row in chosen], worker, began.type, began.data, now)
    changes = Changes(now)
    claims = [_claim(row) for row in rows]
    for one in claims:
        changes.move(one.lease.place, previous, RUNNING)
    again = {one.lease.message_id: one.lease for one in claims if one.lease.attempt > 1}
    doubts = await effects.doubt(c, again.values(), changes)
    await ledgers.append(c, [Telling.of(again[message_id], drafts) for message_id, drafts in doubts.items()], now)
    await settle(c, changes, capacity)
    return claims


def _claim(row: Row) -> Claim:
    lease = Lease(row["org_id"], row["session_id"], row["message_id"], row["attempt"], row["number"], place_of(row))
    return Claim(lease, row["lost"], row["kind"], row["subject_id"], row["spec"], row["secrets"])


async def read_ledgers(c: ReadConnection, session_ids: Iterable[SessionId]) -> Ledgers:
    """Whole ledgers, each in the order of its numbers. Asked for after the claim's commit: the attempt protects what it
    says, no lock needs to."""
    ledgers: Ledgers = defaultdict(list)
    for row in await c.fetch("read_ledgers", list(session_ids)):
        ledgers[row["session_id"]].append(Event._make(row.values()))
    return ledgers


async def hand_back(c: WriteConnection, leases: Iterable[Lease], now: datetime, capacity: Capacity) -> int:
    """Give messages up for any worker to go on with. May be repeated. Returns how many were still ours."""
    ours = list(leases)
    rows = await c.fetch("hand_back_messages", [lease.message_id for lease in ours], [lease.attempt for lease in ours], now)
    await _back_in_the_queue(c, rows, now, capacity)
    return len(rows)


async def adrift(c: ReadConnection, worker: WorkerId, held: Iterable[MessageId]) -> list[Lease]:
    """Leases of messages that are with this worker, and that it does not hold: a claim's answer got lost."""
    rows = await c.fetch("adrift_messages", worker, list(held))
    return [Lease(r["org_id"], r["session_id"], r["id"], r["attempt"], r["number"], place_of(r)) for r in rows]


async def reap(c: WriteConnection, workers: Sequence[WorkerId], now: datetime, capacity: Capacity) -> int:
    """Take messages from the hands of dead workers, whose rows the caller holds (or that have none), and remove these
    rows. Returns how many messages."""
    rows = await c.fetch("reap_messages", workers, now)
    await _back_in_the_queue(c, rows, now, capacity)
    await c.execute("bury_workers", workers)
    return len(rows)


async def _back_in_the_queue(c: WriteConnection, rows: Sequence[Row], now: datetime, capacity: Capacity) -> None:
    changes = Changes(now)
    for row in rows:
        changes.move(place_of(row), RUNNING, row["state"])
        changes.ready(row["kind"], row["state"])
    await settle(c, changes, capacity)


async def lost_leases(c: ReadConnection, leases: Sequence[Lease]) -> set[MessageId]:
    """The messages of those leases that another attempt, or a cancellation, has ended."""
    rows = await c.fetch("lost_leases", [lease.message_id for lease in leases], [lease.attempt for lease in leases])
    return {row["id"] for row in rows}
