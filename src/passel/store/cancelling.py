"""Cancelling what has not ended: the messages of a batch, in steps that hold locks for a moment only."""

from collections.abc import Sequence
from datetime import datetime

from passel.core import events
from passel.core.ids import BatchId
from passel.core.states import CANCELLED_ERROR, FAILED
from passel.store import effects, ledgers
from passel.store.admission import Capacity
from passel.store.announcing import Announcing
from passel.store.changes import Changes, settle
from passel.store.database import ReadConnection, Row, WriteConnection
from passel.store.leases import Lease, Place
from passel.store.ledgers import Telling, Told


async def request_cancel(c: WriteConnection, batch_id: str, now: datetime) -> None:
    """Admission of the batch stops with this; what has not ended is left to `cancel_some`."""
    await c.fetchval("request_cancel", batch_id, now)


async def cancelling_batches(c: ReadConnection) -> list[BatchId]:
    return [row["id"] for row in await c.fetch("cancelling_batches")]


async def cancel_some(c: WriteConnection, batch_id: str, limit: int, now: datetime, capacity: Capacity, announcing: Announcing) -> int:
    """End up to `limit` live messages of a batch, also those whose items are settled. Returns how many; 0 when none
    are left."""
    live = await c.fetch("live_messages", batch_id, limit)
    if not live:
        await c.execute("end_cancellation", batch_id, now)
        return 0
    rows = await c.fetch("cancel_messages", [row["id"] for row in live], now, CANCELLED_ERROR)
    changes = Changes(now, announcing)
    told = await _tell(c, rows, changes)
    for row in rows:
        changes.move(_place(row), row["previous"], FAILED)
        changes.batches[row["batch_id"]].cancelled += row["settled"] is None
        if row["worker_id"] is not None:
            changes.evicted_from.add(row["worker_id"])
    changes.announce(told)
    await settle(c, changes, capacity)
    return len(rows)


def _place(row: Row) -> Place:
    return Place(row["lane_id"], row["batch_id"], row["settled"] is not None)


async def _tell(c: WriteConnection, rows: Sequence[Row], changes: Changes) -> list[Told]:
    """The events of the cancelled messages, and what becomes of their sessions."""
    leases = {r["session_id"]: Lease(r["org_id"], r["session_id"], r["id"], r["attempt"], _place(r)) for r in rows}
    doubts = await effects.doubt(c, leases.values(), changes)
    tellings = [
        Telling(
            leases[r["session_id"]], [*doubts.get(r["id"], ()), events.message_failed(CANCELLED_ERROR, r["previous"], r["attempt"])], True
        )
        for r in rows
    ]
    told = await ledgers.append(c, tellings, changes.now)
    changes.next_in_line += [session_id for session_id, one in told.items() if not one.idle]
    return list(told.values())
