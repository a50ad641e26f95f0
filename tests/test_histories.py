"""Random histories: whatever happens in whatever order, the invariants of `tests.support.worlds` hold after each step."""

import random
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest

from passel.core.agent.announcements import ANNOUNCED
from passel.core.context import Spawn, Step
from passel.core.endings import Done, Fail, Retry, Wait
from passel.core.webhook.events import delivery_failed
from passel.store import admission, attempts, cancelling, files, waking, webhooks
from passel.store.admission import Capacity
from passel.store.changes import Changes, settle
from passel.store.database import Database
from passel.store.leases import Lease
from passel.store.webhooks import Webhook
from tests.support.worlds import World

LANES = ("model/a", "local/m")
SUBJECT = "agt_1"


class History:
    """One world and who holds what in it."""

    def __init__(self, world: World, rng: random.Random) -> None:
        self.world, self.rng = world, rng
        self.leases: dict[str, Lease] = {}
        self.open: dict[str, list[Any]] = {}
        self.lost: list[Lease] = []
        self.batch_ids: list[Any] = []
        self.actions: list[tuple[int, Callable[[], Awaitable[None]]]] = [
            (30, self.claim), (8, self.claim_suspects), (20, self.act), (25, self.finish), (6, self.put_off), (8, self.wake), (6, self.lose),
            (5, self.hand_back), (6, self.message), (4, self.new_batch), (3, self.cancel), (4, self.feed), (5, self.zombie),
            (4, self.cancel_message), (2, self.cancel_session), (2, self.delete),
            (2, self.sweep), (1, self.fork),
        ]  # fmt: skip

    async def run(self, steps: int) -> None:
        for _ in range(3):
            await self.new_batch()
        weights, moves = zip(*self.actions, strict=True)
        for _ in range(steps):
            await self.rng.choices(moves, weights)[0]()
            self.world.tick(self.rng.random())
            await self.world.check()

    def some(self, most: int) -> list[str]:
        return self.rng.sample(sorted(self.leases), min(len(self.leases), self.rng.randint(1, most)))

    def taken(self, claims: list[Any]) -> None:
        self.leases |= {claim.lease.message_id: claim.lease for claim in claims}

    async def claim(self) -> None:
        self.taken(await self.world.claim(self.rng.randint(1, 4)))

    async def claim_suspects(self) -> None:
        self.taken(await self.world.claim_suspects())

    async def act(self) -> None:
        """Effects begin and end, several at once, some of them twice."""
        for message_id in self.some(3):
            begun = tuple(self.world.effect(n) for n in range(self.rng.randint(0, 2)))
            ended = tuple(self.world.outcome(e) for e in self.open.get(message_id, []) if self.rng.random() < 0.7)
            self.open[message_id] = [*self.open.get(message_id, []), *begun]
            settles = Done() if self.rng.random() < 0.1 else None
            assert await self.world.step(self.leases[message_id], Step(began=begun, ended=ended, settles=settles))

    async def finish(self) -> None:
        for message_id in self.some(3):
            if self.rng.random() < 0.2:
                await self._end(message_id, Fail("played"))
            elif self.rng.random() < 0.7:
                await self._end(message_id, Done())
            else:
                begins = tuple(self.world.spawn(self.rng.choice(LANES)) for _ in range(self.rng.randint(1, 2)))
                await self._end(message_id, Done(), begins)

    async def put_off(self) -> None:
        for message_id in self.some(2):
            moment = self.world.now.replace(microsecond=0)
            await self._end(message_id, self.rng.choice([Retry(moment, "busy"), Wait(None, "a tool"), Wait(moment, "a tool")]))

    async def _end(self, message_id: str, ending: Any, begins: tuple[Spawn, ...] = ()) -> None:
        lease = self.leases.pop(message_id)
        step = Step(ending=ending, spawns=begins)
        assert await self.world.step(lease, step, leaves_open=bool(self.open.pop(message_id, None)))
        self.lost.append(lease)

    async def wake(self) -> None:
        async with self.world.db.write() as c:
            await waking.wake_due(c, 3, self.world.now, self.world.capacity)
        async with self.world.db.write() as c:
            rows = await c.raw.fetch("select id from message where state = 'waiting' limit 1")
            changes = Changes(self.world.now)
            await waking.wake(c, await waking.lock_waiting(c, [row["id"] for row in rows]), changes)
            await settle(c, changes, self.world.capacity)

    async def lose(self) -> None:
        for message_id in self.some(2):
            self.open.pop(message_id, None)
            self.lost.append(self.leases[message_id])
            await self.world.lose(self.leases.pop(message_id))

    async def hand_back(self) -> None:
        given = [self.leases.pop(message_id) for message_id in self.some(2)]
        for lease in given:
            self.open.pop(lease.message_id, None)
        self.lost += given
        async with self.world.db.write() as c:
            assert await attempts.hand_back(c, given, self.world.now, self.world.capacity) == len(given)

    async def message(self) -> None:
        """Half of them name a file that is new, or one that is still there."""
        for message_id in self.some(1):
            known = await self.world.rows("select id from file where not doomed order by id")
            file_id = self.rng.choice([row["id"] for row in known] + [await self.world.file()])
            named = [file_id] if self.rng.random() < 0.5 else []
            await self.world.direct_message(self.leases[message_id].session_id, *named)

    async def fork(self) -> None:
        """And sometimes the fork goes on."""
        rows = await self.world.rows("select id from session order by id limit 20")
        made = await self.world.fork(self.rng.choice(rows)["id"])
        if made is not None and self.rng.random() < 0.5:
            await self.world.direct_message(made)

    async def sweep(self) -> None:
        async with self.world.db.write() as c:
            doomed = await files.doom_files_if_unused(c, self.world.now - timedelta(seconds=5), 10)
        async with self.world.db.write() as c:
            await files.delete_files_if_doomed(c, [file.id for file in doomed])

    async def delete(self) -> None:
        """An ended batch, if there is one."""
        ended = await self.world.rows("select id from batch where state = 'done' order by id limit 3")
        if ended and await self.world.delete_batch(victim := self.rng.choice(ended)["id"]):
            self.batch_ids.remove(victim)
            await self.new_batch()

    async def new_batch(self) -> None:
        self.batch_ids.append(await self.world.batch(self.rng.randint(1, 12), lanes=LANES, cap=self.rng.choice([None, 2, 3])))

    async def cancel(self) -> None:
        victim = self.rng.choice(self.batch_ids)
        async with self.world.db.write() as c:
            await cancelling.request_cancel(c, victim, self.world.now)
        async with self.world.db.write() as c:
            await cancelling.cancel_some(c, victim, 5, self.world.now, self.world.capacity, self.world.announcing)
        await self._drop_what_was_lost()

    async def cancel_message(self) -> None:
        """Any message, also one that has ended."""
        if rows := await self.world.rows("select id from message order by state in ('completed', 'failed'), id limit 40"):
            await self.world.cancel_message(self.rng.choice(rows)["id"])
            await self._drop_what_was_lost()

    async def cancel_session(self) -> None:
        rows = await self.world.rows("select id from session order by lined desc, id limit 10")
        world = self.world
        async with world.db.write() as c:
            assert await cancelling.cancel_session(c, self.rng.choice(rows)["id"], world.now, world.capacity, world.announcing)
        await self._drop_what_was_lost()

    async def _drop_what_was_lost(self) -> None:
        async with self.world.db.read() as c:
            gone = await attempts.lost_leases(c, list(self.leases.values()))
        for message_id in gone:
            self.open.pop(message_id, None)
            self.lost.append(self.leases.pop(message_id))

    async def feed(self) -> None:
        await self.world.feed()

    async def zombie(self) -> None:
        if self.lost:
            zombie = self.rng.choice(self.lost)
            assert not await self.world.finish(zombie, number=10_000)


class HookedHistory(History):
    """One in which a webhook hears of everything, and its deliveries are worked on, made again and told of."""

    def __init__(self, world: World, rng: random.Random) -> None:
        super().__init__(world, rng)
        self.actions += [(20, self.claim_deliveries), (5, self.redeliver), (3, self.tell_of_failure), (1, self.replace_webhook)]

    async def run(self, steps: int) -> None:
        await self.replace_webhook()
        await super().run(steps)

    async def replace_webhook(self) -> None:
        world, lane = self.world, f"webhook/{SUBJECT}"
        async with world.db.write() as c:
            await webhooks.delete_webhook(c, SUBJECT, world.now)
            lanes = await admission.ensure_lanes(c, world.org_id, [lane], world.now)
            types = sorted(ANNOUNCED.types)
            new = Webhook(
                world.org_id,
                SUBJECT,
                world.ids.new("hook"),
                "agent",
                SUBJECT,
                True,
                None,
                None,
                lanes[lane],
                "",
                types,
                b"",
                None,
                None,
                world.now,
                world.now,
            )
            assert await webhooks.put_webhook(c, new)

    async def claim_deliveries(self) -> None:
        async with self.world.db.write() as c:
            limit = self.rng.randint(1, 4)
            self.taken(await attempts.claim(c, "webhook", limit, self.world.worker, self.world.now, self.world.capacity))

    async def some_deliveries(self) -> list[str]:
        rows = await self.world.rows("select id from delivery order by id")
        return self.rng.sample([row["id"] for row in rows], min(len(rows), self.rng.randint(1, 4)))

    async def redeliver(self) -> None:
        chosen = await self.some_deliveries()
        lane_id = await self.world.value("select lane_id from webhook")
        async with self.world.db.write() as c:
            changes = Changes(self.world.now)
            await webhooks.redeliver(c, [(one, self.world.ids.message()) for one in chosen], lane_id, changes)
            await settle(c, changes, self.world.capacity)

    async def tell_of_failure(self) -> None:
        for one in await self.some_deliveries():
            async with self.world.db.write() as c:
                await webhooks.tell_of_failure(c, one, delivery_failed(one, "session.failed", 1, None, "played"), self.world.now)


def scenario(seed: int, steps: int) -> Callable[[Database], Awaitable[None]]:
    async def run(db: Database) -> None:
        world = await World(db, Capacity(5, {"local": 2, "webhook": 3})).start()
        await (HookedHistory if seed % 2 else History)(world, random.Random(seed)).run(steps)

    return run


@pytest.mark.parametrize("seed", range(4))
def test_random_histories_keep_every_invariant(with_db: Any, seed: int) -> None:
    with_db(scenario(seed, 250))


@pytest.mark.slow
@pytest.mark.parametrize("block", range(20))
def test_ten_thousand_random_histories(with_db: Any, block: int) -> None:
    """Twenty blocks of 500 short histories, each from an empty world."""

    async def run(db: Database) -> None:
        for seed in range(1000 + block * 500, 1500 + block * 500):
            async with db.write() as c:
                await c.raw.execute(
                    "truncate organisation, worker, session, message, event, effect, batch_lane, batch_event, item, item_try, file, file_use, "
                    "webhook, delivery cascade"
                )
            await scenario(seed, 25)(db)

    with_db(run)
