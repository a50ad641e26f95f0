"""Admission and cancellation on a real PostgreSQL: lanes, caps, fairness, and what happens at the same time."""

import asyncio
from datetime import timedelta
from typing import Any

from passel.core.context import Step
from passel.core.endings import Done, Wait
from passel.core.states import CANCELLED_ERROR
from passel.store import admission, batches, cancelling
from passel.store.admission import Capacity
from passel.store.database import Database
from tests.support.worlds import LANE, World


def test_admission_fills_a_lane_and_goes_on_as_items_end(with_db: Any) -> None:
    async def scenario(db: Database) -> None:
        world = await World(db, Capacity(3)).start()
        await world.batch(8)
        assert len(await world.ready()) == 3
        done = 0
        while claims := await world.claim(1):
            assert await world.value("select active from lane") <= 3
            await world.finish(claims[0].lease)
            await world.check()
            done += 1
        assert done == 8

    with_db(scenario)


def test_a_lanes_width_follows_its_class(with_db: Any) -> None:
    async def scenario(db: Database) -> None:
        world = await World(db, Capacity(10, {"local": 2})).start()
        await world.batch(30, lanes=("local/m", "model/a"))
        widths = await world.rows("select class, active from lane order by class")
        assert widths == [{"class": "local", "active": 2}, {"class": "model", "active": 10}]

    with_db(scenario)


def test_a_small_batch_is_not_behind_a_large_one(with_db: Any) -> None:
    async def scenario(db: Database) -> None:
        world = await World(db, Capacity(10)).start()
        large = await world.batch(500)
        small = await world.batch(3)
        order = []
        while len(order) < 30:
            [claim] = await world.claim(1)
            order.append(claim.lease.place.batch_id)
            await world.finish(claim.lease)
            world.tick(0.001)
        # the lane was full of the large one; then the two took turns
        assert order[:10] == [large] * 10
        assert order[10:16].count(small) == 3
        await world.check()

    with_db(scenario)


def test_max_concurrency_holds_over_all_lanes(with_db: Any) -> None:
    async def scenario(db: Database) -> None:
        world = await World(db, Capacity(10)).start()
        await world.batch(12, lanes=("model/a", "model/b", "model/c"), cap=4)
        done = 0
        while claims := await world.claim(1):
            assert await world.value("select active from batch") <= 4
            await world.finish(claims[0].lease)
            await world.check()
            await world.feed()  # for lanes that the end of this item did not touch
            await world.check()
            done += 1
        assert done == 12

    with_db(scenario)


def test_cancel_ends_what_is_alive_in_any_state(with_db: Any) -> None:
    async def scenario(db: Database) -> None:
        world = await World(db, Capacity(5)).start()
        batch_id = await world.batch(10)
        other = await world.batch(2)
        running, finished, settled, waiting = await world.claim(4)
        await world.step(running.lease, Step(began=(world.effect(),)))
        await world.finish(finished.lease)
        await world.step(settled.lease, Step(settles=Done()))
        await world.finish(waiting.lease, Wait(None, "a tool"))
        await world.check()
        async with db.write() as c:
            await cancelling.request_cancel(c, batch_id, world.now)
        more = True
        while more:
            async with db.write() as c:
                more = await cancelling.cancel_some(c, batch_id, 3, world.now, world.capacity, world.announcing) > 0
            await world.check()
        async with db.read() as c:
            batch = await batches.find_batch(c, batch_id)
            items = await batches.list_items(c, batch_id, -1, 100)
        assert batch and batch.status == "partial_failed" and batch.cancelled == 8 and batch.in_doubt == 1
        assert batch.counts.completed == 2 and batch.state == "done"
        assert {i.error for i in items if i.state == "failed"} == {CANCELLED_ERROR}
        assert not await world.finish(running.lease)  # fenced
        assert not await world.finish(settled.lease)  # alive, though its item had ended
        claims = await world.claim()
        assert {claim.lease.place.batch_id for claim in claims} == {other}
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


def test_flushes_that_share_lanes_and_batches_do_not_deadlock(with_db: Any) -> None:
    """The lock order, walked by everything that writes at once: claims, endings, feeding, cancelling, messages."""

    async def scenario(db: Database) -> None:
        world = await World(db, Capacity(20)).start()
        for _ in range(3):
            await world.batch(60, lanes=("model/a", "model/b"), cap=30)
        for n in range(3):  # without a cap, over several lanes: nobody locks these for admission
            await world.batch(40, lanes=(*("model/a", "model/b", "model/c")[n:], "model/d"))
        cancelled = await world.batch(60, lanes=("model/b", "model/a"))
        done: set[str] = set()

        async def worker() -> None:
            own = await world.new_worker()
            while claims := await world.claim(7, own):
                for claim in [c for c in claims if c.lease.place.batch_id][:2]:
                    await world.direct_message(claim.lease.session_id)
                done.update(await world.write(*(world.write_of(c.lease, Step(ending=Done())) for c in reversed(claims))))

        async def feed() -> None:
            for _ in range(30):
                await world.feed()
                await asyncio.sleep(0)

        async def cancel() -> None:
            async with db.write() as c:
                await cancelling.request_cancel(c, cancelled, world.now)
            more = True
            while more:
                async with db.write() as c:
                    more = await cancelling.cancel_some(c, cancelled, 7, world.now, world.capacity, world.announcing) > 0

        while await world.value("select count(*) from message where state not in ('completed', 'failed')"):
            await asyncio.gather(worker(), worker(), worker(), feed(), cancel())
        assert await world.value("select deadlocks from pg_stat_database where datname = current_database()") == 0
        await world.check()

    with_db(scenario)


def test_a_cancellation_sees_an_admission_that_is_not_committed_yet(with_db: Any) -> None:
    """Else the places that the admission took would never be given back."""

    async def scenario(db: Database) -> None:
        world = await World(db, Capacity(1)).start()
        batch_id = await world.batch(10)
        wider = Capacity(100)
        admitted, may_commit = asyncio.Event(), asyncio.Event()

        async def feeder() -> None:
            async with db.write() as c:
                assert await admission.feed(c, wider, world.now) == 9
                admitted.set()
                await may_commit.wait()

        async def canceller() -> None:
            await admitted.wait()
            async with db.write() as c:
                await cancelling.request_cancel(c, batch_id, world.now)
            more = True
            while more:
                async with db.write() as c:
                    more = await cancelling.cancel_some(c, batch_id, 100, world.now, wider, world.announcing) > 0

        cancel = asyncio.create_task(canceller())
        feeding = asyncio.create_task(feeder())
        await admitted.wait()
        waits = "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()"
        while not await world.value(waits):
            await asyncio.sleep(0.01)
        may_commit.set()
        await asyncio.gather(feeding, cancel)
        assert await world.value("select active from lane") == 0
        await world.check()

    with_db(scenario)


def test_wrong_places_are_set_right(with_db: Any) -> None:
    async def scenario(db: Database) -> None:
        world = await World(db).start()
        await world.batch(3)
        async with db.write() as c:
            assert await admission.recount_lanes(c) == []
            await c.raw.execute("update lane set active = 77, parked = 5")
            assert await admission.recount_lanes(c) == [LANE]
        await world.check()

    with_db(scenario)


def test_lanes_that_nobody_uses_are_swept(with_db: Any) -> None:
    async def scenario(db: Database) -> None:
        world = await World(db, Capacity(1)).start()
        await world.lane("model/unused")
        await world.batch(2)
        [claim] = await world.claim()
        later = world.now + timedelta(days=2)
        async with db.write() as c:
            assert await admission.sweep_lanes(c, later) == 1
        await world.finish(claim.lease)
        [claim] = await world.claim()
        await world.finish(claim.lease)
        async with db.write() as c:
            assert await admission.sweep_lanes(c, later) == 1
        assert await world.value("select count(*) from lane") == 0
        await world.direct_message(claim.lease.session_id)  # its lane is made again
        assert len(await world.claim()) == 1
        await world.check()

    with_db(scenario)
