"""Deleting for good: sessions with all that is theirs, and batches in steps that hold locks for a moment only.

A batch that is doomed has gone for everybody at once; its rows go step by step, whoever makes the steps:

    done --(doom)--> deleting --(delete_some, again and again)--> no row

Only what nothing is under way in is deleted. A message that somebody has sent to a session of the batch in the very
moment in which it was doomed is cancelled first.
"""

from collections.abc import Sequence
from datetime import datetime

from passel.core.ids import BatchId, SessionId
from passel.store import cancelling, files
from passel.store.admission import Capacity
from passel.store.announcing import Announcing
from passel.store.database import ReadConnection, Row, WriteConnection


async def delete_if_idle(
    c: WriteConnection, session_ids: Sequence[SessionId], now: datetime, quiet_since: datetime | None = None
) -> list[SessionId]:
    """Delete those of the sessions that nothing is under way in, and nothing has happened in since `quiet_since`. Returns
    them. Nothing else of the transaction may hold locks."""
    await files.release_files(c, session_ids, now)
    await c.fetch("lock_ended_messages", session_ids)
    idle = [row["id"] for row in await c.fetch("lock_idle_sessions", session_ids, quiet_since)]
    if idle:
        await c.execute("delete_sessions", idle)
    return idle


async def old_sessions(c: ReadConnection, quiet_since: datetime, limit: int) -> list[SessionId]:
    """Sessions of no batch that nothing is under way in, and nothing has happened in since then."""
    return [row["id"] for row in await c.fetch("old_sessions", quiet_since, limit)]


async def doom_batch(c: WriteConnection, batch_id: BatchId) -> bool:
    """Let a batch go. False when something of it has not ended."""
    return await c.fetchval("doom_batch", batch_id) is not None


async def doom_old_batches(c: WriteConnection, finished_before: datetime | None, now: datetime, limit: int) -> list[BatchId]:
    """Let batches go that finished before that moment, or have expired, and that nothing is under way in."""
    return [row["id"] for row in await c.fetch("doom_old_batches", finished_before, limit, now)]


async def deleting_batches(c: ReadConnection) -> list[BatchId]:
    return [row["id"] for row in await c.fetch("deleting_batches")]


async def delete_some(c: WriteConnection, batch_id: BatchId, limit: int, now: datetime, capacity: Capacity, announcing: Announcing) -> bool:
    """Delete up to `limit` tries of a doomed batch with their sessions, and with the last of them the batch. False when
    nothing is left."""
    tries = await c.fetch("doomed_tries", batch_id, limit)
    if not tries:
        await files.release_files(c, [batch_id], now)
        await c.execute("delete_batch", batch_id)
        return False
    busy = next((row["session_id"] for row in tries if row["busy"]), None)
    if busy is not None:
        await cancelling.cancel_session(c, busy, now, capacity, announcing)
    else:
        await _delete_tries(c, batch_id, tries, now)
    return True


async def _delete_tries(c: WriteConnection, batch_id: BatchId, tries: Sequence[Row], now: datetime) -> None:
    sessions = [row["session_id"] for row in tries if row["there"]]
    left = set(sessions).difference(await delete_if_idle(c, sessions, now)) if sessions else set[SessionId]()
    gone = [row for row in tries if row["session_id"] not in left]
    await c.execute("delete_tries", batch_id, [row["index"] for row in gone], [row["try"] for row in gone])
