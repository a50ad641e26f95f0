"""The statements, and the writes of attempts that they make up, on a real PostgreSQL."""

import itertools
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from passel.core.agent import events
from passel.core.context import Step
from passel.core.costs import Usage
from passel.core.endings import Done, Fail, Retry, Wait
from passel.core.events import Draft
from passel.core.ids import MessageId
from passel.core.states import Counts, aggregate
from passel.store import attempts, batches, ledgers, sessions, waking
from passel.store.database import Database
from passel.store.ledgers import Telling
from passel.store.queries import SQL
from tests.support.worlds import World


def test_every_statement_is_valid_and_used(with_db: Any) -> None:
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


def test_no_statement_is_hidden_in_python() -> None:
    words = ("select ", "update ", "insert into ", "delete from ")
    found = [
        f"{path}:{number}"
        for path in Path("src/passel").rglob("*.py")
        if "migrations" not in path.parts and path.name not in ("postgres.py", "doctor.py")
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if any(f'"{word}' in line for word in words)
    ]
    assert not found


def test_a_batch_runs_to_its_end(with_db: Any) -> None:
    async def scenario(db: Database) -> None:
        world = await World(db).start()
        batch_id = await world.batch(3)
        await world.check()
        for claim in await world.claim():
            await world.check()
            effect = world.effect()
            assert await world.step(claim.lease, Step(began=(effect,)))
            said = events.assistant_message("hello", [], "stop", {})
            outcome = world.outcome(effect, Usage(10, 5, 0, None))
            assert await world.step(claim.lease, Step((said,), ended=(outcome,), ending=Done({"text": "hello"})))
            await world.check()
        async with db.read() as c:
            batch = await batches.find_batch(c, batch_id)
            assert batch and batch.status == "completed" and batch.input_tokens == 30 and batch.unpriced == 3 and batch.finishes == 1
            [found, *_] = await batches.list_results(c, batch_id, -1, 10)
            ledger = await sessions.read_ledger(c, found.item.session_id or "")
        assert found.result == {"text": "hello"} and found.calls == 1 and found.effect == "openai:echo"
        kinds = ["message.requested", "session.state", "message.state", "assistant.message", "message.state", "session.state"]
        assert [e.type for e in ledger] == kinds
        assert await world.value("select active from lane") == 0

    with_db(scenario)


def all_steps(world: World) -> list[Step]:
    """Every kind of write that an attempt can make."""
    said = events.assistant_message("zombie", [], "stop", {})
    effect = world.effect()
    return [
        Step((said,)),
        Step(began=(effect,)),
        Step(ended=(world.outcome(effect),)),
        Step(settles=Done()),
        Step((said,), ending=Done()),
        Step(ending=Fail("zombie")),
        Step(ending=Retry(world.now, "zombie")),
        Step(ending=Wait(None, "zombie")),
    ]


def test_a_zombie_writes_nothing(with_db: Any) -> None:
    """The old attempt tries every write there is after another has begun, after a loss, and after its end."""

    async def scenario(db: Database) -> None:
        world = await World(db).start()
        await world.batch(1)
        [old] = await world.claim()
        effect = world.effect()
        await world.step(old.lease, Step(began=(effect,)))

        async def everything() -> Any:
            return [
                await world.rows(f"select * from {table} order by 1, 2, 3") for table in ("event", "effect", "message", "session", "batch")
            ]

        async def try_all() -> None:
            before = await everything()
            for number in (1, 2, 5):
                for step in [*all_steps(world), Step(ended=(world.outcome(effect),))]:
                    if number > 1 or step.ending:
                        assert not await world.step(old.lease, step, number=number + 1)
            async with db.write() as c:
                assert await attempts.hand_back(c, [old.lease], world.now, world.capacity) == 0
            assert await everything() == before

        await world.lose(old.lease)
        await try_all()  # nobody has it
        [new] = await world.claim()
        assert new.lease.attempt == 2 and new.lost == 0
        await try_all()  # another has it
        assert [row["state"] for row in await world.rows("select state from effect")] == ["in_doubt"]
        assert await world.finish(new.lease)
        await try_all()  # it has ended
        await world.check()

    with_db(scenario)


def test_an_effect_of_an_older_attempt_cannot_be_ended(with_db: Any) -> None:
    """The statement itself names the attempt, not only the transaction around it."""

    async def scenario(db: Database) -> None:
        world = await World(db).start()
        await world.batch(1)
        [claim] = await world.claim()
        effect = world.effect()
        await world.step(claim.lease, Step(began=(effect,)))
        async with db.write() as c:
            wrong = claim.lease.attempt + 1
            args = ([effect.id], [claim.lease.message_id], [wrong], ["done"], [1], [1], [0], [None], [None], [world.now])
            assert await c.fetch("end_effects", *args) == []
        assert await world.value("select state from effect") == "started"

    with_db(scenario)


def test_the_bill_is_made_from_what_changed(with_db: Any) -> None:
    """Ending an effect twice, in one write or two, or one that nobody began, bills it once or not at all."""

    async def scenario(db: Database) -> None:
        world = await World(db).start()
        await world.batch(1)
        [claim] = await world.claim()
        effect, unknown = world.effect(), world.effect()
        await world.step(claim.lease, Step(began=(effect,)))
        twice = (world.outcome(effect), world.outcome(effect), world.outcome(unknown))
        await world.step(claim.lease, Step(ended=twice))
        await world.step(claim.lease, Step(ended=twice, ending=Done()))
        [batch] = await world.rows("select calls, input_tokens, output_tokens from batch")
        assert batch == {"calls": 1, "input_tokens": 10, "output_tokens": 5}
        await world.check()

    with_db(scenario)


def test_a_lost_answer_to_a_commit_is_no_second_write(with_db: Any) -> None:
    async def scenario(db: Database) -> None:
        world = await World(db).start()
        await world.batch(1)
        [claim] = await world.claim()
        said = events.assistant_message("once", [], "stop", {})
        write = world.write_of(claim.lease, Step((said,), began=(world.effect(),)))
        assert await world.write(write) == {claim.lease.message_id}
        assert await world.write(write) == {claim.lease.message_id}  # the worker never heard of the first
        ending = world.write_of(claim.lease, Step(ending=Done()), leaves_open=True)
        assert await world.write(ending) == {claim.lease.message_id}
        assert await world.write(ending) == {claim.lease.message_id}
        assert await world.value("select count(*) from effect") == 1
        assert await world.value("select active from lane") == 0
        await world.check()

    with_db(scenario)


def test_messages_of_a_session_run_one_after_the_other(with_db: Any) -> None:
    async def scenario(db: Database) -> None:
        world = await World(db).start()
        await world.batch(1)
        [first] = await world.claim()
        second_id = await world.direct_message(first.lease.session_id)
        third_id = await world.direct_message(first.lease.session_id)
        assert await world.ready() == []
        await world.check()
        order = []
        await world.finish(first.lease)
        while claims := await world.claim():
            [claim] = claims
            order.append(claim.lease.message_id)
            await world.check()
            await world.finish(claim.lease)
        assert order == [second_id, third_id]
        async with db.read() as c:
            session = await sessions.find_session(c, first.lease.session_id)
            assert session and session.status == "idle" and session.last_message_state == "completed"
            listed = await sessions.list_messages(c, first.lease.session_id, 1, 10)
            assert [m.id for m in listed] == order
        idle = await world.value("select count(*) from event where type = 'session.state' and data ->> 'state' = 'idle'")
        assert idle == 1
        await world.check()

    with_db(scenario)


def test_what_is_handed_back_is_that_message_and_no_other(with_db: Any) -> None:
    """The message ended while its worker was draining, and the next one is ready already."""

    async def scenario(db: Database) -> None:
        world = await World(db).start()
        await world.batch(1)
        [first] = await world.claim()
        await world.direct_message(first.lease.session_id)
        await world.finish(first.lease)
        async with db.write() as c:
            assert await attempts.hand_back(c, [first.lease], world.now, world.capacity) == 0
        assert len(await world.ready()) == 1

    with_db(scenario)


def test_a_hand_back_is_no_lost_attempt(with_db: Any) -> None:
    async def scenario(db: Database) -> None:
        world = await World(db).start()
        await world.batch(1)
        [claim] = await world.claim()
        async with db.write() as c:
            assert await attempts.hand_back(c, [claim.lease], world.now, world.capacity) == 1
        await world.check()
        [again] = await world.claim()
        assert again.lease.attempt == 2 and again.lost == 0
        await world.step(again.lease, Step(began=(world.effect(),)))
        await world.lose(again.lease)
        [taken_over] = await world.claim()
        assert taken_over.lease.attempt == 3 and taken_over.lost == 0
        async with db.read() as c:
            assert await attempts.lost_leases(c, [again.lease, taken_over.lease]) == {again.lease.message_id}
        assert not await world.finish(again.lease)

    with_db(scenario)


def test_an_end_without_an_effects_outcome_leaves_it_in_doubt(with_db: Any) -> None:
    async def scenario(db: Database) -> None:
        world = await World(db).start()
        await world.batch(3)
        for claim, ending in zip(await world.claim(), (Fail("internal"), Done(), Retry(world.now, "later")), strict=True):
            await world.step(claim.lease, Step(began=(world.effect(), world.effect(2))))
            assert await world.finish(claim.lease, ending, leaves_open=True)
        assert await world.value("select count(*) from effect where state = 'in_doubt'") == 6
        assert await world.value("select in_doubt from batch") == 6
        assert await world.value("select count(*) from event where type = 'effect.in_doubt'") == 6
        await world.check()

    with_db(scenario)


def test_a_settled_item_counts_while_its_message_keeps_its_place(with_db: Any) -> None:
    """A browser that is ready completes its item; its place is free when it has ended."""

    async def scenario(db: Database) -> None:
        world = await World(db).start()
        batch_id = await world.batch(2, cap=1)
        [claim] = await world.claim()
        assert await world.step(claim.lease, Step(settles=Done({"url": "ws://"})))
        await world.check()
        [batch] = await world.rows("select queued, running, completed, active, state from batch")
        assert batch == {"queued": 1, "running": 0, "completed": 1, "active": 1, "state": "open"}
        assert await world.claim() == []  # the cap is by places
        async with db.read() as c:
            [item, _] = await batches.list_items(c, batch_id, -1, 10)
        assert item.state == "completed"
        await world.finish(claim.lease, Fail("it crashed afterwards"))
        await world.check()
        [second] = await world.claim()
        await world.finish(second.lease)
        [batch] = await world.rows("select completed, failed, active, state from batch")
        assert batch == {"completed": 2, "failed": 0, "active": 0, "state": "done"}
        await world.check()

    with_db(scenario)


def test_what_is_put_off_holds_no_place_and_comes_back(with_db: Any) -> None:
    async def scenario(db: Database) -> None:
        world = await World(db).start()
        await world.batch(2, cap=1)
        [claim] = await world.claim()
        direct = await world.direct_message(claim.lease.session_id)
        world.tick()
        moment = world.now.replace(second=30)
        assert await world.finish(claim.lease, Retry(moment, "HTTP 429"))
        await world.check()
        [row] = await world.rows("select state, reason, wake_at from message where id = $1", claim.lease.message_id)
        assert row == {"state": "delayed", "reason": "HTTP 429", "wake_at": moment}
        [other] = await world.claim()  # its place in the batch went to the next item
        async with db.write() as c:
            assert await waking.wake_due(c, 10, world.now, world.capacity) == 0
        world.tick(60)
        async with db.write() as c:
            assert await waking.wake_due(c, 10, world.now, world.capacity) == 1
        await world.check()
        assert await world.claim() == []  # held: the batch's one place is taken
        await world.finish(other.lease)
        [again] = await world.claim()
        assert again.lease.message_id == claim.lease.message_id and again.lease.attempt == 2 and again.lost == 0
        await world.finish(again.lease)
        [last] = await world.claim()
        assert last.lease.message_id == direct
        await world.check()

    with_db(scenario)


def test_a_wait_that_missed_something_is_woken_at_once(with_db: Any) -> None:
    """What it waits for arrived while the attempt was writing that it waits."""

    async def scenario(db: Database) -> None:
        world = await World(db).start()
        await world.batch(2)
        first, second = await world.claim()
        for claim, told in ((first, False), (second, True)):
            known = await world.value("select last_seq from session where id = $1", claim.lease.session_id)
            if told:
                await world.direct_message(claim.lease.session_id)
            write = world.write_of(claim.lease, Step(ending=Wait(None, "a result")))
            await world.write(type(write)(write.lease, write.number, known, write.step))
            await world.check()
        states = {row["id"]: row["state"] for row in await world.rows("select id, state from message where number = 1")}
        assert states == {first.lease.message_id: "waiting", second.lease.message_id: "ready"}
        async with db.write() as c:
            waiting = await waking.lock_waiting(c, [first.lease.message_id, second.lease.message_id])
            assert waiting == [(first.lease.message_id, "waiting")]

    with_db(scenario)


def test_suspects_run_apart(with_db: Any) -> None:
    """What only waited for the outside goes on at once; what was being worked on runs in a group, then alone."""

    async def scenario(db: Database) -> None:
        world = await World(db).start()
        await world.batch(30)
        claims = await world.claim()
        for claim in claims[:10]:
            await world.step(claim.lease, Step(began=(world.effect(),)))
        async with db.write() as c:
            assert await attempts.reap(c, [world.worker], world.now, world.capacity) == 30
        await world.check()
        world.worker = await world.new_worker()
        outside = await world.claim()
        assert {c.lease.message_id for c in outside} == {c.lease.message_id for c in claims[:10]}
        group = await world.claim_suspects()
        assert len(group) == attempts.SUSPECTS_AT_ONCE
        other = await world.new_worker()
        rest = await world.claim_suspects(other)
        assert len(rest) == 4
        async with db.write() as c:
            await attempts.reap(c, [world.worker, other], world.now, world.capacity)
        world.worker = await world.new_worker()
        assert await world.claim() == []
        again = await world.claim_suspects()  # those that only waited are suspects now, and the others are graver ones
        assert {c.lease.message_id for c in again} == {c.lease.message_id for c in outside}
        for lost in range(3):
            async with db.write() as c:
                await attempts.reap(c, [world.worker], world.now, world.capacity)
            world.worker = await world.new_worker()
            alone = await world.claim_suspects()
            assert len(alone) == 1 and alone[0].lost == lost
        await world.check()

    with_db(scenario)


def test_a_dead_worker_begins_nothing(with_db: Any) -> None:
    """A frozen worker that wakes up between its burial and its own notice of it."""

    async def scenario(db: Database) -> None:
        world = await World(db).start()
        await world.batch(3)
        async with db.write() as c:
            await attempts.reap(c, [world.worker], world.now, world.capacity)
        assert await world.claim() == []
        await world.check()

    with_db(scenario)


def test_hot_statements_use_their_indexes(with_db: Any) -> None:
    """With 20,000 ended batches and 20,000 messages, what every flush runs still touches a few rows."""

    async def scenario(db: Database) -> None:
        world = await World(db).start()
        await world.batch(2000)
        async with db.write() as c:
            await c.raw.execute(
                "insert into batch (org_id, id, kind, request_hash, state, size, queued, running, completed, failed, created_at) "
                "select 'org_1', 'batch_old' || n, 'agent', '', 'done', 0, 0, 0, 0, 0, now() from generate_series(1, 20000) n"
            )
            await c.raw.execute(
                "insert into message (org_id, id, session_id, kind, number, state, lane_id, priority, created_at) "
                "select 'org_1', 'msg_old' || n, 'sess_old' || n, 'agent', 1, 'completed', 1, 1, now() from generate_series(1, 20000) n"
            )
            await c.raw.execute(
                "insert into effect (org_id, id, session_id, message_id, attempt, kind, name, number, request_hash, state, started_at) "
                "select 'org_1', 'call_old' || n, 'sess_old' || n, 'msg_old' || n, 1, 'model', '', 1, '', 'done', now() from generate_series(1, 20000) n"
            )
            await c.raw.execute("analyze")
            nothing: list[Any] = [None]
            zeros = [[0]] * 13
            plans: dict[str, tuple[Any, ...]] = {
                "choose_ready": ("agent", 500),
                "choose_suspects": ("agent", 16, 1, 1),
                "claim_messages": (["msg_x"], 1, "message.state", {}, world.now),
                "advance_messages": (
                    *(["msg_x"], [1], [1], nothing, nothing, nothing, nothing, nothing, nothing, [True], [False], world.now),
                    *(["msg_x"], ["call_x"], ["model"], ["m"], [1], ["hash"], nothing, [world.now]),
                ),
                "append_events": (["sess_x"], ["msg_x"], [1], [True], ["sess_x"], [0], ["t"], [b"{}"], {}, world.now),
                "count_batches": (["batch_old5"], *zeros, [1], [b"[]"], ["batch_old5"], [1], [0], [1], world.now),
                "end_effects": (["call_x"], ["msg_x"], [1], ["done"], [0], [0], [0], nothing, nothing, [world.now]),
                "lock_batches": ([1], ["batch_old5"]),
                "doubt_effects": (["sess_x"], ["msg_x"], world.now),
                "wake_due": (world.now, 10),
                "lock_active": (["msg_x"],),
                "lock_sessions": (["sess_x"],),
                "find_sessions": (["sess_x"],),
                "find_messages": (["msg_x"],),
                "list_told_of_messages": (["sess_x"], ["msg_x"], ["t"], ["result"], ["call_x"]),
                "list_lined": ("sess_x",),
                "lock_ended_messages": (["sess_x"],),
                "lock_idle_sessions": (["sess_x"], world.now),
                "delete_sessions": (["sess_x"],),
                "doomed_tries": ("batch_x", 500),
                "doom_batch": ("batch_x",),
                "doom_old_batches": (world.now, 10, world.now),
                "reap_messages": ([1], world.now),
            }
            for name, args in plans.items():
                lines = await c.raw.fetch("explain " + SQL[name], *args)
                plan = chr(10).join(row[0] for row in lines)
                for table in ("batch", "session", "message", "effect", "event"):
                    assert f"Seq Scan on {table} " not in plan, (name, plan)

    with_db(scenario)


def test_what_is_read_under_locks_leaves_large_fields_out(with_db: Any) -> None:
    async def scenario(db: Database) -> None:
        world = await World(db).start()
        session_id, message_id = await world.session(), MessageId("msg_1")
        drafts = [Draft("t", {"id": id, "result": "large"}) for id in ("a", "b")]
        async with db.write() as c:
            await ledgers.append(c, [Telling(world.org_id, session_id, message_id, drafts)], world.now)
            told = await sessions.list_told_of_messages(c, [(session_id, message_id)], ["t"], without=["result"], whole=["b"])
        assert [event.data for event in told] == [{"id": "a"}, {"id": "b", "result": "large"}]

    with_db(scenario)


def test_pages_of_open_calls_and_of_all_events_are_read_by_indexes(with_db: Any) -> None:
    """With 5,000 messages that wait and 20,000 rows of the organisation's ledger, a page touches what is in it."""

    async def scenario(db: Database) -> None:
        world = await World(db).start()
        await world.batch(5000)
        async with db.write() as c:
            await c.raw.execute("update message set state = 'waiting'")
            await c.raw.execute("insert into event select org_id, session_id, 3, id, 'tool.requested', '{}', created_at from message")
            await c.raw.execute(
                "insert into org_event (org_id, ids, firsts, lasts, created_at) "
                "select org_id, array[session_id], array[1], array[3], created_at from message, generate_series(1, 4)"
            )
            await c.raw.execute("analyze")
            last = await c.fetchval("org_last_number")
            ids = [row["id"] for row in await c.raw.fetch("select id from session limit 50")]
            ones, threes = [1] * 50, [3] * 50
            plans: dict[str, tuple[Any, ...]] = {
                "list_open_calls": (world.org_id, "agent", None, "", 0, None, 101),
                "org_numbers": (last - 5, 10_000),
                "org_last_number": (),
                "org_first_number": (),
                "forget_org_events": (world.now, 500),
                "list_org_events": (world.org_id, last - 500, last, 64),
                "list_stretches": (ids, ones, threes, ["agent"], None, None, None, None),
                "list_batch_stretches": (["batch_x"], [1], [3], ["agent"], None, None),
            }
            for name, args in plans.items():
                plan = chr(10).join(row[0] for row in await c.raw.fetch("explain " + SQL[name], *args))
                for table in ("session", "message", "event", "org_event"):
                    assert f"Seq Scan on {table} " not in plan, (name, plan)

    with_db(scenario)


def test_the_database_knows_a_batch_s_status_as_the_core_does(with_db: Any) -> None:
    async def scenario(db: Database) -> None:
        async with db.read() as c:
            for counts in itertools.product((0, 1, 5), repeat=4):
                if any(counts):
                    assert await c.raw.fetchval("select batch_status($1, $2, $3, $4)", *counts) == aggregate(Counts(*counts)), counts

    with_db(scenario)
