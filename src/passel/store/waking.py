"""Waking messages that wait or are delayed: when their moment has come, or when what they wait for has arrived.

The caller's transaction says what arrived (an event in the ledger); the message is back in the queue with its commit.
"""

from collections.abc import Sequence
from datetime import datetime

from passel.core.ids import MessageId
from passel.store.admission import Capacity
from passel.store.changes import Changes, settle
from passel.store.database import WriteConnection
from passel.store.leases import place_of


async def wake_due(c: WriteConnection, limit: int, now: datetime, capacity: Capacity) -> int:
    """Wake messages whose moment has come. Returns how many."""
    due = await c.fetch("wake_due", now, limit)
    if due:
        changes = Changes(now)
        await wake(c, [(row["id"], row["state"]) for row in due], changes)
        await settle(c, changes, capacity)
    return len(due)


async def lock_waiting(c: WriteConnection, message_ids: Sequence[str]) -> list[tuple[MessageId, str]]:
    """Of these messages, those that wait for something from outside, locked; the first lock of such a transaction."""
    return [(row["id"], row["state"]) for row in await c.fetch("lock_waiting", message_ids)]


async def wake(c: WriteConnection, messages: Sequence[tuple[MessageId, str]], changes: Changes) -> None:
    """Wake messages, given with their states; the caller holds their locks and settles `changes`."""
    previous = dict(messages)
    for row in await c.fetch("wake_messages", list(previous), changes.now):
        changes.move(place_of(row), previous[row["id"]], row["state"])
        changes.ready(row["kind"], row["state"])
