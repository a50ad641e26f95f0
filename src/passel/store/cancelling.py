"""Cancelling what has not ended: the messages of a batch, in steps that hold locks for a moment only; one message; all of
a session.

An active message is locked before its session, one in line under the session's lock. Which of the two a message is may
change before it is locked: then nothing is done, and the caller asks again in a new transaction.
"""

from collections.abc import Sequence
from datetime import datetime

import orjson

from passel.core import events
from passel.core.ids import BatchId, MessageId, OrgId, SessionId
from passel.core.states import CANCELLED_ERROR, FAILED, LINED, NO_CAPACITY_ERROR
from passel.store import effects, ledgers, sessions
from passel.store.admission import Capacity
from passel.store.announcing import Announcing
from passel.store.changes import Changes, settle
from passel.store.database import ReadConnection, Row, WriteConnection
from passel.store.leases import Lease, place_of
from passel.store.ledgers import Telling, Told
from passel.store.sessions import Message


async def request_cancel(c: WriteConnection, batch_id: str, now: datetime) -> None:
    """Admission of the batch stops with this; what has not ended is left to `cancel_some`. Nothing happens where
    nothing is alive. May be repeated."""
    await c.fetchval("request_cancel", batch_id, now)


async def cancelling_batches(c: ReadConnection) -> list[BatchId]:
    """At most 100, oldest first."""
    return [row["id"] for row in await c.fetch("cancelling_batches")]


async def cancel_some(c: WriteConnection, batch_id: str, limit: int, now: datetime, capacity: Capacity, announcing: Announcing) -> int:
    """End up to `limit` live messages of a batch, also those whose items are settled. Returns how many; 0 when none
    are left."""
    live = await c.fetch("live_messages", batch_id, limit)
    if not live:
        await c.execute("end_cancellation", batch_id, now)
        return 0
    changes = Changes(now, announcing)
    ended = await _end_active(c, [row["id"] for row in live], changes)
    await settle(c, changes, capacity)
    return ended


async def fail_untouched(
    c: WriteConnection, kind: str, before: datetime, limit: int, now: datetime, capacity: Capacity, announcing: Announcing
) -> int:
    """Fail up to `limit` messages of a kind that were made before a moment and that nobody has taken up. Returns how many."""
    overdue = await c.fetch("overdue_messages", kind, before, limit)
    if not overdue:
        return 0
    changes = Changes(now, announcing)
    failed = await _end_active(c, [row["id"] for row in overdue], changes, NO_CAPACITY_ERROR, cancelled=False)
    await settle(c, changes, capacity)
    return failed


async def cancel_message(c: WriteConnection, message: Message, now: datetime, capacity: Capacity, announcing: Announcing) -> bool:
    """End a message wherever it stands, unless it has ended. False: nothing was done, ask again."""
    changes = Changes(now, announcing)
    if await c.fetch("lock_active", [message.id]):
        await _end_active(c, [message.id], changes)
    elif await sessions.lock_session(c, message.session_id) is not None:
        found = await sessions.find_message(c, message.id)
        if found is None or found.state != LINED:
            return found is None or found.ended_at is not None
        await _end_lined(c, message.org_id, message.session_id, [message.id], changes)
    await settle(c, changes, capacity)
    return True


async def cancel_session(c: WriteConnection, session_id: str, now: datetime, capacity: Capacity, announcing: Announcing) -> bool:
    """End the active message of a session and all behind it. False: nothing was done, ask again."""
    active = await c.fetchval("find_active", session_id)
    locked = await c.fetch("lock_active", [active]) if active is not None else []
    session = await sessions.lock_session(c, session_id)
    if session is None or session.active_message_id is None:
        return True
    if not locked or session.active_message_id != active:
        return False
    changes = Changes(now, announcing)
    if session.lined:
        lined = [row["id"] for row in await c.fetch("list_lined", session_id)]
        await _end_lined(c, session.org_id, session.id, lined, changes)
    await _end_active(c, [session.active_message_id], changes)
    await settle(c, changes, capacity)
    return True


async def _end_active(
    c: WriteConnection, message_ids: Sequence[MessageId], changes: Changes, error: str = CANCELLED_ERROR, *, cancelled: bool = True
) -> int:
    """Of messages whose locks are held, at most one a session."""
    rows = await c.fetch("cancel_messages", message_ids, changes.now, error, cancelled)
    told = await _tell(c, rows, changes, error)
    for row in rows:
        changes.move(place_of(row), row["previous"], FAILED, error)
        if cancelled and row["item_index"] is not None:
            changes.batches[row["batch_id"]].cancelled += row["outcome"] is None
        if row["worker_id"] is not None:
            changes.evicted_from.add(row["worker_id"])
    changes.announce(told)
    return len(rows)


async def _end_lined(c: WriteConnection, org_id: OrgId, session_id: SessionId, message_ids: Sequence[MessageId], changes: Changes) -> None:
    """Of messages in line, under their session's lock. They never began: nothing is in doubt, and no place is freed."""
    await c.fetch("cancel_messages", message_ids, changes.now, CANCELLED_ERROR, True)
    last = await c.fetchval("leave_line", session_id, len(message_ids))
    told = [events.message_failed(CANCELLED_ERROR, LINED, 0)] * len(message_ids)
    await c.fetch(
        "insert_events",
        org_id,
        session_id,
        [last - n for n in reversed(range(len(told)))],
        message_ids,
        [draft.type for draft in told],
        [orjson.dumps(draft.data) for draft in told],
        changes.now,
    )


async def _tell(c: WriteConnection, rows: Sequence[Row], changes: Changes, error: str) -> list[Told]:
    """The events of the ended messages, and what becomes of their sessions."""
    leases = {r["session_id"]: Lease(r["org_id"], r["session_id"], r["id"], r["attempt"], r["number"], place_of(r)) for r in rows}
    doubts = await effects.doubt(c, leases.values(), changes)
    tellings = [
        Telling.of(
            leases[r["session_id"]],
            [*doubts.get(r["id"], ()), events.message_failed(error, r["previous"], r["number"])],
            ended=True,
        )
        for r in rows
    ]
    told = await ledgers.append(c, tellings, changes.now)
    changes.next_in_line += [session_id for session_id, one in told.items() if not one.idle]
    return list(told.values())
