"""Writes of attempts through the journal: all kept, in order, once; whatever happens to their authors or connections."""

import asyncio
import re
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from passel.core.context import Context, Step, Task, Workload
from passel.core.costs import Usage
from passel.core.effects import Effect, Outcome
from passel.core.endings import Done
from passel.core.errors import NotReady
from passel.core.events import Draft, Event
from passel.core.faults import FaultPolicy
from passel.engine.attempt import Attempt, Attempts
from passel.engine.duties import Evictor
from passel.engine.journal import Journal
from passel.store import attempts as store
from passel.store import waking
from passel.store.database import Database
from tests.support.cutting_proxy import CuttingProxy
from tests.support.worlds import World


def draft(n: int) -> Draft:
    return Draft("test.said", {"n": n})


class Bench:
    """A journal and what attempts need beside it, on a database that need not be the world's own connection."""

    def __init__(self, world: World, db: Database) -> None:
        self.world, self.db = world, db
        self.journal = Journal(db, lambda: world.now, world.capacity, world.announcing)
        self._task = asyncio.create_task(self.journal.run())

    def attempts(self, workload: Workload) -> Attempts:
        faults = FaultPolicy(patience=60, base=1)
        return Attempts(self.journal, lambda: self.world.now, self.world.ids, {"agent": workload}, 3, faults)

    async def claim(self) -> tuple[Any, list[Event]]:
        [claim] = await self.world.claim(1)
        async with self.world.db.read() as c:
            return claim, (await store.read_ledgers(c, [claim.lease.session_id]))[claim.lease.session_id]

    async def attempt(self) -> Attempt:
        claim, ledger = await self.claim()
        return Attempt(claim, ledger, self.journal, lambda: self.world.now, self.world.ids)

    async def said(self) -> list[int]:
        rows = await self.world.rows("select data from event where type = 'test.said' order by session_id, seq")
        return [int(re.findall(r"\d+", str(row["data"]))[0]) for row in rows]

    async def close(self) -> None:
        self.journal.stop()
        await self._task


def bench(with_db: Any, run: Callable[[Bench], Awaitable[None]]) -> None:
    async def scenario(db: Database) -> None:
        world = await World(db).start()
        await world.batch(1)
        one = Bench(world, db)
        try:
            await run(one)
        finally:
            await one.close()
        await world.check()

    with_db(scenario)


def test_concurrent_writes_are_all_kept_in_the_order_of_the_calls(with_db: Any) -> None:
    async def run(bench: Bench) -> None:
        attempt = await bench.attempt()
        told = await asyncio.gather(*(attempt.write(Step((draft(n),))) for n in range(50)))
        assert await bench.said() == list(range(50))
        assert [events[0].seq for events in told] == sorted(events[0].seq for events in told)
        assert [e.seq for e in attempt.ledger] == list(range(1, 54))
        await attempt.write(Step(ending=Done()))

    bench(with_db, run)


def test_a_cancelled_write_is_made_and_others_follow(with_db: Any) -> None:
    async def run(bench: Bench) -> None:
        attempt = await bench.attempt()
        for n in range(10):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0):
                    await attempt.write(Step((draft(2 * n),)))
            await attempt.write(Step((draft(2 * n + 1),)))
        assert await bench.said() == list(range(20))
        assert [e.data["n"] for e in attempt.ledger if e.type == "test.said"] == list(range(20))
        await attempt.write(Step(ending=Done()))

    bench(with_db, run)


def test_a_write_that_the_database_refuses_harms_no_other(with_db: Any) -> None:
    async def run(bench: Bench) -> None:
        attempt = await bench.attempt()
        good, bad = Step((draft(1),)), Step((Draft("test.said", {"n": "\x00"}),))
        outcomes = await asyncio.gather(*(attempt.write(s) for s in (good, bad, good)), return_exceptions=True)
        assert [isinstance(o, Exception) for o in outcomes] == [False, True, False]
        assert await bench.said() == [1, 1]
        await attempt.write(Step(ending=Done()))

    bench(with_db, run)


def test_a_fault_is_another_try_and_no_failure(with_db: Any) -> None:
    """One `OSError` while loading used to fail the message at its first attempt."""
    tries: list[Exception | None] = [OSError("the blob store is away"), NotReady("the model is not here: pull it"), None]

    async def workload(context: Context) -> Step:
        if error := tries.pop(0):
            raise error
        return Step(ending=Done({"text": "at last"}))

    async def run(bench: Bench) -> None:
        reasons = []
        for _ in range(3):
            await bench.attempts(workload).run(*await bench.claim())
            await bench.world.check()
            [row] = await bench.world.rows("select state, reason, wake_at, result from message")
            reasons.append((row["state"], row["reason"]))
            bench.world.tick(10)
            async with bench.world.db.write() as c:
                await waking.wake_due(c, 10, bench.world.now, bench.world.capacity)
        assert reasons[0] == ("delayed", "internal error: OSError: the blob store is away")
        assert reasons[1] == ("delayed", "the model is not here: pull it") and reasons[2] == ("completed", None)

    bench(with_db, run)


async def scripted(context: Context) -> Step:
    """Two rounds of three effects at once, a write that is given up, and an end: what a turn with tools looks like."""

    async def act(n: int) -> None:
        effect = Effect(context.new_effect_id(), "act", "script", n, "", context.now())
        await context.write(Step(began=(effect,)))
        await context.write(Step((draft(n),), ended=(Outcome(effect.id, "done", Usage(1, 1), None, context.now()),)))

    for first in (1, 4):
        await asyncio.gather(*(act(first + n) for n in range(3)))
        lonely = asyncio.create_task(context.write(Step((draft(100 + first),))))
        await asyncio.sleep(0)
        lonely.cancel()
    return Step((draft(200),), ending=Done({"text": "done"}))


def test_a_connection_cut_after_commit_at_every_flush(with_db: Any) -> None:
    """The commit was sent and done, its answer never came: at each of the commits of a scripted run, one after the
    other. Nothing is written twice, nothing is lost, and the bill is the same."""

    async def run_once(db: Database, cut_at: int) -> tuple[int, int]:
        world = World(db)
        await world.batch(1)
        server = Path(db._url.split("host=")[1])
        with tempfile.TemporaryDirectory(prefix="cut-", dir="/tmp") as directory:
            async with CuttingProxy(Path(directory), server, cut_at) as proxy:
                cut = await Database.open(db._url.replace(str(server), directory), name="cut", connections=3)
                world.worker = await world.new_worker()
                one = Bench(world, cut)
                await one.attempts(scripted).run(*await one.claim())
                await one.close()
                await cut.close()
        said = await one.said()
        assert sorted(said) == [1, 2, 3, 4, 5, 6, 101, 104, 200] and said[-1] == 200, (cut_at, said)
        [batch] = await world.rows("select completed, calls, in_doubt, input_tokens from batch")
        assert batch == {"completed": 1, "calls": 6, "in_doubt": 0, "input_tokens": 6}
        await world.check()
        return proxy.commits, proxy.cuts

    async def scenario(db: Database) -> None:
        await World(db).start()
        commits, _ = await run_once(db, 0)
        assert commits >= 6
        for cut_at in range(1, commits + 1):
            async with db.write() as c:
                await c.raw.execute("truncate session, message, event, effect, batch, batch_lane, item, lane, verification_key")
            _, cuts = await run_once(db, cut_at)
            assert cuts == 1 or cut_at > 6  # groups may be fewer the next time

    with_db(scenario)


def test_what_a_lost_claim_began_is_handed_back(with_db: Any) -> None:
    """The claim was committed and its answer never came: the messages are with a live worker that knows nothing of them."""

    async def run(bench: Bench) -> None:
        world, attempts = bench.world, bench.attempts(scripted)
        evictor = Evictor(bench.db, lambda: world.now, world.capacity, attempts, lambda: world.worker)
        await world.claim()
        await evictor.hand_back_adrift(60)  # perhaps its claim is still under way
        assert await world.ready() == []
        await evictor.hand_back_adrift(0)
        assert len(await world.ready()) == 1
        await world.check()
        [again] = await world.claim()
        assert again.lease.attempt == 2 and again.lost == 0
        await world.finish(again.lease)

    bench(with_db, run)


def test_a_fault_behind_an_intent_is_borne_no_longer_than_any_other(with_db: Any) -> None:
    """What it leaves in doubt is no progress: else each try would be paid, and none would be the last."""

    async def workload(context: Context) -> Step:
        await context.write(Step(began=(Effect(context.new_effect_id(), "model", "x:y", 1, "", context.now()),)))
        raise OSError("behind the intent")

    async def run(bench: Bench) -> None:
        tries = 0
        while await bench.world.value("select count(*) from message where ended_at is null"):
            tries += 1
            await bench.attempts(workload).run(*await bench.claim())
            await bench.world.check()
            bench.world.tick(30)
            async with bench.world.db.write() as c:
                await waking.wake_due(c, 10, bench.world.now, bench.world.capacity)
        assert tries == 3 and "3 tries" in await bench.world.value("select error from message")

    bench(with_db, run)


def test_a_message_cancelled_before_its_ledger_was_read_is_not_worked_on(with_db: Any) -> None:
    """The claim is committed, the ledger is read after it: in between anything may end the message."""
    worked: list[Task] = []

    async def workload(context: Context) -> Step:
        worked.append(context.task)
        return Step(ending=Done())

    async def run(bench: Bench) -> None:
        [claim] = await bench.world.claim(1)
        await bench.world.cancel_message(claim.lease.message_id)
        async with bench.db.read() as c:
            ledgers = await store.read_ledgers(c, [claim.lease.session_id])
        await bench.attempts(workload).run(claim, ledgers[claim.lease.session_id])
        assert worked == []

    bench(with_db, run)
