"""The statements and the transactions that they make up, on a real PostgreSQL."""

import asyncio
import random
from typing import Any

import asyncpg
import pytest

from passel.core import events
from passel.core.batches import CANCELLED_ERROR
from passel.core.context import Done, Fail
from passel.core.costs import Usage
from passel.store import batches, sessions, turns
from passel.store.database import Database
from passel.store.queries import SQL
from passel.store.turns import Capacity, StepWrite
from tests.support.worlds import OPTION, World


def test_every_statement_is_valid_and_used(with_db: Any) -> None:
    from pathlib import Path

    async def scenario(db: Database) -> None:
        async with db.read() as c:
            for name, text in SQL.items():
                try:
                    await c.raw.prepare(text)
                except asyncpg.PostgresError as error:
                    pytest.fail(f"{name}.sql: {error}")

    with_db(scenario)
    source = "".join(path.read_text() for path in Path("src/passel").rglob("*.py"))
    assert not [name for name in SQL if f'"{name}"' not in source]


def test_a_batch_runs_to_its_end(with_db: Any) -> None:
    async def scenario(db: Database) -> None:
        world = await World(db).start()
        batch_id = await world.batch(3)
        await world.check()
        for claim in await world.begin(*await world.take_jobs()):
            await world.check()
            call = world.intent()
            await world.write(StepWrite(claim.lease, 0, OPTION, intent=call))
            said = events.assistant_message(claim.lease.message_id, "hello", "stop", {})
            done = StepWrite(claim.lease, 1, OPTION, (said,), ended=world.outcome(call.id, Usage(10, 5, 0, None)), ending=Done())
            assert await world.write(done) == {claim.lease.session_id}
            await world.check()
        async with db.read() as c:
            batch = await batches.find_batch(c, batch_id)
            assert batch and batch.status == "completed" and batch.input_tokens == 30 and batch.unpriced == 3
            [item, *_] = await batches.list_items(c, batch_id, -1, 10)
            ledger = await sessions.read_ledger(c, item.session_id or "")
        assert [e.type for e in ledger] == [
            "user.message",
            "session.status_changed",
            "message.status_changed",
            "assistant.message_completed",
            "message.status_changed",
            "session.status_changed",
        ]
        assert await world.value("select active from lane") == 0

    with_db(scenario)


def test_a_zombie_writes_nothing(with_db: Any) -> None:
    """The old attempt tries every write there is after another has begun."""

    async def scenario(db: Database) -> None:
        world = await World(db).start()
        await world.batch(1)
        [job] = await world.take_jobs()
        [old] = await world.begin(job)
        call = world.intent()
        await world.write(StepWrite(old.lease, 0, OPTION, intent=call))
        [new] = await world.begin(job)
        assert new.lease.fence == old.lease.fence + 1 and new.lease.attempt == 2
        before = (
            await world.rows("select * from event"),
            await world.rows("select * from model_call"),
            await world.rows("select * from message"),
        )
        said = events.assistant_message(old.lease.message_id, "zombie", "stop", {})
        for step in range(3):
            attempts = (
                StepWrite(old.lease, step, OPTION, (said,)),
                StepWrite(old.lease, step, OPTION, intent=world.intent()),
                StepWrite(old.lease, step, OPTION, ended=world.outcome(call.id)),
                StepWrite(old.lease, step, OPTION, (said,), ended=world.outcome(call.id), ending=Done()),
                StepWrite(old.lease, step, OPTION, ending=Fail("zombie")),
            )
            for write in attempts:
                assert await world.write(write) == set()
        async with db.write() as c:
            assert await turns.hand_back(c, [old.lease]) == 0
        after = (
            await world.rows("select * from event"),
            await world.rows("select * from model_call"),
            await world.rows("select * from message"),
        )
        assert before == after
        assert [c["state"] for c in after[1]] == ["in_doubt"]
        assert await world.finish(new.lease)
        await world.check()

    with_db(scenario)


def test_a_call_of_an_older_fence_cannot_be_ended(with_db: Any) -> None:
    """The statement itself names the fence, not only the transaction around it."""

    async def scenario(db: Database) -> None:
        world = await World(db).start()
        await world.batch(1)
        [claim] = await world.begin(*await world.take_jobs())
        call = world.intent()
        await world.write(StepWrite(claim.lease, 0, OPTION, intent=call))
        async with db.write() as c:
            await c.execute("end_calls", [call.id], [claim.lease.fence + 1], ["answered"], [1], [1], [0], [None], [None], [world.now])
        assert await world.value("select state from model_call") == "started"

    with_db(scenario)


def test_a_lost_answer_to_a_commit_is_no_second_write(with_db: Any) -> None:
    async def scenario(db: Database) -> None:
        world = await World(db).start()
        await world.batch(1)
        [claim] = await world.begin(*await world.take_jobs())
        said = events.assistant_message(claim.lease.message_id, "once", "stop", {})
        write = StepWrite(claim.lease, 0, OPTION, (said,), intent=world.intent())
        assert await world.write(write) == {claim.lease.session_id}
        assert await world.write(write) == {claim.lease.session_id}  # the worker never heard of the first
        ending = StepWrite(claim.lease, 1, OPTION, ending=Done())
        assert await world.write(ending) == {claim.lease.session_id}
        assert await world.write(ending) == {claim.lease.session_id}
        assert await world.value("select count(*) from model_call") == 1
        assert await world.value("select active from lane") == 0
        await world.check()

    with_db(scenario)


def test_what_ended_is_not_claimed(with_db: Any) -> None:
    async def scenario(db: Database) -> None:
        world = await World(db).start()
        await world.batch(1)
        [job] = await world.take_jobs()
        [claim] = await world.begin(job)
        await world.finish(claim.lease)
        assert await world.begin(job) == []
        await world.check()

    with_db(scenario)


def test_messages_of_a_session_run_one_after_the_other(with_db: Any) -> None:
    async def scenario(db: Database) -> None:
        world = await World(db).start()
        await world.batch(1)
        [job] = await world.take_jobs()
        [first] = await world.begin(job)
        second_id = await world.direct_message(first.lease.session_id)
        third_id = await world.direct_message(first.lease.session_id)
        assert await world.take_jobs() == []
        await world.check()
        order = []
        await world.finish(first.lease)
        while jobs := await world.take_jobs():
            [claim] = await world.begin(*jobs)
            order.append(claim.lease.message_id)
            await world.check()
            await world.finish(claim.lease)
        assert order == [second_id, third_id]
        states = await world.rows("select status, last_message_status from session")
        assert states == [{"status": "idle", "last_message_status": "completed"}]
        idle = await world.value("select count(*) from event where type = 'session.status_changed' and data ->> 'status' = 'idle'")
        assert idle == 1
        await world.check()

    with_db(scenario)


def test_admission_fills_a_lane_and_goes_on_as_items_end(with_db: Any) -> None:
    async def scenario(db: Database) -> None:
        world = await World(db, Capacity(3, 1)).start()
        await world.batch(8)
        assert len(await world.queued_jobs()) == 3
        done = 0
        while jobs := await world.take_jobs(1):
            [claim] = await world.begin(*jobs)
            assert await world.value("select active from lane") <= 3
            await world.finish(claim.lease)
            await world.check()
            done += 1
        assert done == 8

    with_db(scenario)


def test_a_small_batch_is_not_behind_a_large_one(with_db: Any) -> None:
    async def scenario(db: Database) -> None:
        world = await World(db, Capacity(10, 1)).start()
        large = await world.batch(500)
        small = await world.batch(3)
        order = []
        while len(order) < 30:
            [claim] = await world.begin(*await world.take_jobs(1))
            order.append(claim.lease.batch_id)
            await world.finish(claim.lease)
        # the lane was full of the large one; then the two took turns
        assert order[:10] == [large] * 10
        assert order[10:16].count(small) == 3
        await world.check()

    with_db(scenario)


def test_max_concurrency_holds_over_all_lanes(with_db: Any) -> None:
    async def scenario(db: Database) -> None:
        world = await World(db, Capacity(10, 10)).start()
        await world.batch(12, lanes=("openai::a", "openai::b", "openai::c"), cap=4)
        done = 0
        while jobs := await world.take_jobs(1):
            [claim] = await world.begin(*jobs)
            assert await world.value("select active from batch") <= 4
            await world.finish(claim.lease)
            await world.check()
            async with db.write() as c:  # the feeder, for lanes that the end of this item did not touch
                rows = await c.fetch("hungry_lanes", 10, 10)
                if rows:
                    await turns.admit(c, [row["id"] for row in rows], world.capacity)
            await world.check()
            done += 1
        assert done == 12

    with_db(scenario)


def test_cancel_ends_held_ready_and_running_items(with_db: Any) -> None:
    async def scenario(db: Database) -> None:
        world = await World(db, Capacity(4, 1)).start()
        batch_id = await world.batch(10)
        other = await world.batch(2)
        jobs = await world.take_jobs(2)
        running, finished = await world.begin(*jobs)
        await world.write(StepWrite(running.lease, 0, OPTION, intent=world.intent()))
        await world.finish(finished.lease)
        async with db.write() as c:
            await batches.request_cancel(c, batch_id, world.now)
        async with db.write() as c:
            while await batches.cancel_some(c, batch_id, 3, world.now, world.capacity):
                pass
        await world.check()
        async with db.read() as c:
            batch = await batches.find_batch(c, batch_id)
            items = await batches.list_items(c, batch_id, -1, 100)
        assert batch and batch.status == "partial_failed" and batch.cancelled == 9 and batch.in_doubt == 1
        assert {i.error for i in items if i.status == "failed"} == {CANCELLED_ERROR}
        assert not await world.finish(running.lease, step=1)  # fenced
        left = await world.take_jobs()
        claims = await world.begin(*left)
        assert {claim.lease.batch_id for claim in claims} == {other}
        await world.check()

    with_db(scenario)


def test_one_key_makes_one_batch_under_concurrency(with_db: Any) -> None:
    async def scenario(db: Database) -> None:
        world = await World(db).start()
        await world.lane()

        async def create() -> bool:
            try:
                await world.batch(5, key="same")
            except AssertionError:
                return False
            return True

        made = await asyncio.gather(*(create() for _ in range(6)))
        assert sum(made) == 1
        assert await world.value("select count(*) from batch") == 1
        assert await world.value("select count(*) from session") == 5

    with_db(scenario)


def test_random_histories_keep_every_invariant(with_db: Any) -> None:
    """Begins, endings, take-overs, cancellations, hand-backs, new messages and batches, in any order."""

    async def scenario(db: Database) -> None:
        rng = random.Random(20261121)
        world = await World(db, Capacity(5, 2)).start()
        leases: dict[str, turns.Lease] = {}
        lost: list[turns.Lease] = []
        batch_ids = [await world.batch(rng.randint(1, 12), lanes=("openai::a", "local:m"), cap=rng.choice([None, 2, 3])) for _ in range(3)]
        for _ in range(250):
            action = rng.random()
            if action < 0.4:
                for claim in await world.begin(*await world.take_jobs(rng.randint(1, 4))):
                    leases[claim.lease.session_id] = claim.lease
            elif action < 0.65 and leases:
                for session_id in rng.sample(sorted(leases), min(len(leases), 3)):
                    ending = Done() if rng.random() < 0.8 else Fail("played")
                    assert await world.finish(leases.pop(session_id), ending=ending)  # type: ignore[arg-type]
            elif action < 0.75 and leases:
                old = leases.pop(rng.choice(sorted(leases)))
                lost.append(old)
                [claim] = await world.begin(turns.Job(old.session_id, old.message_id))
                leases[claim.lease.session_id] = claim.lease
            elif action < 0.82 and leases:
                session_id = rng.choice(sorted(leases))
                lost.append(leases[session_id])
                async with db.write() as c:
                    await turns.hand_back(c, [leases.pop(session_id)])
            elif action < 0.88 and leases:
                await world.direct_message(leases[rng.choice(sorted(leases))].session_id)
            elif action < 0.92:
                batch_ids.append(await world.batch(rng.randint(1, 12), lanes=("openai::a", "local:m"), cap=rng.choice([None, 2])))
            elif action < 0.95:
                victim = rng.choice(batch_ids)
                async with db.write() as c:
                    await batches.request_cancel(c, victim, world.now)
                async with db.write() as c:
                    await batches.cancel_some(c, victim, 5, world.now, world.capacity)
                for session_id in list(leases):
                    if leases[session_id].batch_id == victim:
                        lost.append(leases.pop(session_id))
            else:
                async with db.write() as c:
                    rows = await c.fetch("hungry_lanes", 5, 2)
                    await turns.admit(c, [row["id"] for row in rows], world.capacity)
            if lost:
                zombie = rng.choice(lost)
                cancelled_only = await world.value("select fence from session where id = $1", zombie.session_id)
                if cancelled_only != zombie.fence:
                    assert not await world.finish(zombie)
            await world.check()

    with_db(scenario)


def test_two_flushes_that_share_lanes_and_batches_do_not_deadlock(with_db: Any) -> None:
    async def scenario(db: Database) -> None:
        world = await World(db, Capacity(20, 20)).start()
        for _ in range(3):
            await world.batch(60, lanes=("openai::a", "openai::b"), cap=30)

        async def worker() -> int:
            done = 0
            while jobs := await world.take_jobs(7):
                claims = await world.begin(*jobs)
                done += len(await world.write(*(StepWrite(c.lease, 0, OPTION, ending=Done()) for c in claims)))
            return done

        async def feed() -> None:
            for _ in range(30):
                async with db.write() as c:
                    rows = await c.fetch("hungry_lanes", 20, 20)
                    await turns.admit(c, [row["id"] for row in rows], world.capacity)
                await asyncio.sleep(0)

        total = 0
        while total < 180:
            before = total
            *counts, _ = await asyncio.gather(worker(), worker(), worker(), feed())
            total += sum(counts)
            assert total > before
        await world.check()

    with_db(scenario)


def test_a_cancellation_sees_an_admission_that_is_not_committed_yet(with_db: Any) -> None:
    """Else the slots that the admission took would never be given back."""

    async def scenario(db: Database) -> None:
        world = await World(db, Capacity(1, 1)).start()
        batch_id = await world.batch(10)
        wider = Capacity(100, 1)
        admitted, may_commit = asyncio.Event(), asyncio.Event()

        async def feeder() -> None:
            async with db.write() as c:
                lanes = [row["id"] for row in await c.fetch("hungry_lanes", 100, 1)]
                assert await turns.admit(c, lanes, wider) == 9
                admitted.set()
                await may_commit.wait()

        async def canceller() -> None:
            await admitted.wait()
            async with db.write() as c:
                await batches.request_cancel(c, batch_id, world.now)
            async with db.write() as c:
                await batches.cancel_some(c, batch_id, 100, world.now, wider)

        cancelling = asyncio.create_task(canceller())
        feeding = asyncio.create_task(feeder())
        await admitted.wait()
        waits = "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()"
        while not await world.value(waits):
            await asyncio.sleep(0.01)
        may_commit.set()
        await asyncio.gather(feeding, cancelling)
        assert await world.value("select active from lane") == 0
        await world.check()

    with_db(scenario)


def test_what_is_handed_back_is_that_message_and_no_other(with_db: Any) -> None:
    """The message ended while its worker was draining, and the next one has a job already."""

    async def scenario(db: Database) -> None:
        world = await World(db).start()
        await world.batch(1)
        [first] = await world.begin(*await world.take_jobs())
        await world.direct_message(first.lease.session_id)
        await world.finish(first.lease)
        async with db.write() as c:
            assert await turns.hand_back(c, [first.lease]) == 0
        assert len(await world.queued_jobs()) == 1

    with_db(scenario)


def test_a_hand_back_leaves_one_job_and_is_no_lost_attempt(with_db: Any) -> None:
    async def scenario(db: Database) -> None:
        world = await World(db).start()
        await world.batch(1)
        [job] = await world.queued_jobs()
        [claim] = await world.begin(job)  # its job is still in the queue, as it is while a handler runs
        async with db.write() as c:
            assert await turns.hand_back(c, [claim.lease]) == 1
        assert await world.queued_jobs() == [job]
        [again] = await world.begin(*await world.take_jobs())
        assert again.lease.attempt == 2 and again.lost == 0
        [taken_over] = await world.begin(job)
        assert taken_over.lease.attempt == 3 and taken_over.lost == 1
        async with db.read() as c:
            assert await turns.lost_leases(c, [again.lease, taken_over.lease]) == {again.lease.session_id}
        assert not await world.finish(again.lease)

    with_db(scenario)


def test_a_failure_without_its_calls_outcome_leaves_the_call_in_doubt(with_db: Any) -> None:
    async def scenario(db: Database) -> None:
        world = await World(db).start()
        await world.batch(1)
        [claim] = await world.begin(*await world.take_jobs())
        await world.write(StepWrite(claim.lease, 0, OPTION, intent=world.intent()))
        assert await world.finish(claim.lease, 1, Fail("internal error"))
        assert await world.value("select state from model_call") == "in_doubt"
        assert await world.value("select in_doubt from batch") == 1
        await world.check()

    with_db(scenario)


def test_wrong_slots_are_set_right(with_db: Any) -> None:
    async def scenario(db: Database) -> None:
        world = await World(db).start()
        await world.batch(3)
        async with db.write() as c:
            assert await turns.recount_lanes(c) == []
            await c.raw.execute("update lane set active = 77")
            assert await turns.recount_lanes(c) == ["openai::server"]
        await world.check()

    with_db(scenario)


def test_hot_statements_use_their_indexes(with_db: Any) -> None:
    """With 20,000 ended batches and 20,000 sessions, what every flush runs still touches a few rows."""

    async def scenario(db: Database) -> None:
        world = await World(db).start()
        await world.batch(2000)
        async with db.write() as c:
            await c.raw.execute(
                "insert into batch (org_id, id, kind, request_hash, state, size, queued, running, completed, failed, created_at) "
                "select 'org_1', 'batch_old' || n, 'agent', '', 'done', 0, 0, 0, 0, 0, now() from generate_series(1, 20000) n"
            )
            await c.raw.execute("analyze")
            plans: dict[str, tuple[Any, ...]] = {
                "lock_batches": (["batch_old5"], [1]),
                "claim_sessions": (["sess_x"], ["msg_x"]),
                "lock_sessions": (["sess_x"],),
                "finish_messages": (["msg_x"], ["failed"], [None], world.now),
                "doubt_calls": (["msg_x"], world.now),
            }
            for name, args in plans.items():
                lines = await c.raw.fetch("explain " + SQL[name], *args)
                plan = chr(10).join(row[0] for row in lines)
                for table in ("batch", "session", "message"):
                    assert f"Seq Scan on {table} " not in plan, (name, plan)

    with_db(scenario)
