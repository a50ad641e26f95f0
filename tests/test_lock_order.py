"""The lock order of `passel.store`, walked: every transaction of a random history takes its locks in that order."""

import random
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from passel.core.endings import Done
from passel.core.verification.escalations import TIME_TO_DECIDE, Review, resolved
from passel.store import escalations
from passel.store.admission import Capacity
from passel.store.changes import Changes, settle
from passel.store.database import Database, WriteConnection
from passel.store.escalations import Escalation
from passel.store.queries import SQL
from tests.support.worlds import World
from tests.test_histories import HookedHistory

FILE, MESSAGE, SESSION, NEXT, LANE, BATCH, BATCH_LANE = range(7)

# Statements that may wait for a row, by what they lock. Those that choose with SKIP LOCKED wait for nobody.
LOCKS = {
    "hold_files": FILE,
    "lock_used_files": FILE,
    "advance_messages": MESSAGE,
    "hand_back_messages": MESSAGE,
    "reap_messages": MESSAGE,
    "live_messages": MESSAGE,
    "lock_waiting": MESSAGE,
    "lock_active": MESSAGE,
    "lock_ended_messages": MESSAGE,
    "lock_delayed": MESSAGE,
    "claim_messages": SESSION,  # the messages were chosen with SKIP LOCKED
    "lock_sessions": SESSION,
    "lock_idle_sessions": SESSION,
    "hold_session": SESSION,
    "append_events": SESSION,
    "extend_session": SESSION,
    "redeliver": SESSION,
    "tell_of_failure": SESSION,  # and before it the delivery, which nobody else waits for
    "promote_messages": NEXT,
    "hold_lanes": LANE,
    "lock_lanes": LANE,
    "count_lanes": LANE,
    "count_batches": BATCH,  # and then batches in lanes
    "lock_batches": BATCH,
    "size_batch": BATCH,
    "doom_batch": BATCH,
    "delete_batch": BATCH,
    "open_batch_lanes": BATCH_LANE,
    "admit_items": BATCH_LANE,
}


class Watched(Database):
    """Notes the statements of each transaction."""

    seen: list[list[str]]

    @asynccontextmanager
    async def write(self) -> AsyncGenerator[WriteConnection]:
        names = {text: name for name, text in SQL.items()}
        told: list[str] = []

        def note(record: Any) -> None:
            if record.query in names:
                told.append(names[record.query])

        async with super().write() as c:
            c.raw.add_query_logger(note)
            try:
                yield c
            finally:
                c.raw.remove_query_logger(note)
                self.seen.append(told)


def test_every_transaction_takes_its_locks_in_order(with_db: Any) -> None:
    async def scenario(db: Database) -> None:
        watched = Watched(db._pool, db._url, db._name)
        watched.seen = []
        world = await World(watched, Capacity(5, {"local": 2, "webhook": 3})).start()
        await HookedHistory(world, random.Random(11)).run(300)
        for transaction in watched.seen:
            ranks = [LOCKS[name] for name in transaction if name in LOCKS]
            # a wait that was missed is woken at once: its message is locked by its own end
            assert ranks == sorted(ranks), [name for name in transaction if name in LOCKS]
        walked = {name for transaction in watched.seen for name in transaction}
        assert walked >= set(LOCKS), set(LOCKS) - walked

    with_db(scenario)


def test_usage_is_locked_last(with_db: Any) -> None:
    async def scenario(db: Database) -> None:
        watched = Watched(db._pool, db._url, db._name)
        watched.seen = []
        world = await World(watched, kind="verification").start()
        await world.batch(1)
        [claim] = await world.claim()
        await world.finish(claim.lease, Done(counts_as="verification"))
        locks = [name for name in watched.seen[-1] if name in LOCKS or name == "count_usage"]
        assert locks[-1] == "count_usage" and "count_batches" in locks, locks

    with_db(scenario)


def test_a_decision_takes_its_locks_in_order(with_db: Any) -> None:
    async def scenario(db: Database) -> None:
        watched = Watched(db._pool, db._url, db._name)
        watched.seen = []
        world = await World(watched, kind="verification").start()
        await world.batch(1)
        [claim] = await world.claim()
        await world.finish(claim.lease, Done({"decision": "escalate", "escalation": "conflict"}))
        changes, review = Changes(world.now, world.announcing), Review("accept", "true", None, "key_1", "now")
        async with watched.write() as c:
            found = Escalation(claim.lease.session_id, claim.lease.message_id, None, None, {}, world.now, "")
            assert await escalations.resolve(c, found, review.decided({}), resolved(review), world.now - TIME_TO_DECIDE, changes)
            await settle(c, changes, world.capacity)
        told = watched.seen[-1]
        assert told[:2] == ["resolve_escalation", "append_events"], told
        ranks = [LOCKS[name] for name in told[1:] if name in LOCKS]
        assert ranks == sorted(ranks), told

    with_db(scenario)
