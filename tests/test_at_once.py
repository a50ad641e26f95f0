"""Everything that changes sessions and batches, at once from several connections: nobody waits for somebody who waits for him,
and what is left agrees with itself."""

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from passel.core.context import Step
from passel.core.endings import Done, Retry, Wait
from passel.store import cancelling, deleting, files, sessions, waking
from passel.store.database import Database
from passel.store.leases import Lease
from tests.support.worlds import World


class Crowd:
    """What each of many callers does next, with whatever it finds."""

    def __init__(self, world: World, rng: random.Random) -> None:
        self.world, self.db, self.rng = world, world.db, rng
        self.leases: dict[str, Lease] = {}
        self.actions: list[tuple[int, Callable[[], Awaitable[None]]]] = [
            (6, self.send), (5, self.claim), (6, self.flush), (2, self.wake), (3, self.cancel_message), (2, self.cancel_session),
            (1, self.cancel_batch), (3, self.delete_sessions), (1, self.delete_batch), (1, self.sweep), (1, self.fork),
        ]  # fmt: skip

    async def start(self) -> None:
        for _ in range(5):
            await self.world.batch(8, cap=3)
        for _ in range(10):
            await self.world.session()
        self.files = [await self.world.file() for _ in range(3)]

    async def run(self, times: int) -> None:
        weights, moves = zip(*self.actions, strict=True)
        for _ in range(times):
            with contextlib.suppress(AssertionError):  # of the world's: what it was to change has gone meanwhile
                await self.rng.choices(moves, weights)[0]()
            self.world.tick()

    async def some(self, sql: str, most: int = 1) -> list[Any]:
        found = [row["id"] for row in await self.world.rows(sql)]
        return self.rng.sample(found, min(most, len(found)))

    async def send(self) -> None:
        for session_id in await self.some("select id from session"):
            await self.world.direct_message(session_id, *self.rng.sample(self.files, self.rng.randint(0, 3)))

    async def claim(self) -> None:
        claims = await self.world.claim(self.rng.randint(1, 6))
        self.leases |= {claim.lease.message_id: claim.lease for claim in claims}

    async def flush(self) -> None:
        mine = [self.leases.pop(key) for key in self.rng.sample(sorted(self.leases), min(6, len(self.leases)))]
        endings = [Done(), Done(), Wait(None, "a tool"), Retry(self.world.now, "busy")]
        if mine:
            await self.world.write(*(self.world.write_of(lease, Step(ending=self.rng.choice(endings))) for lease in mine))

    async def wake(self) -> None:
        async with self.db.write() as c:
            await waking.wake_due(c, 5, self.world.now, self.world.capacity)

    async def cancel_message(self) -> None:
        for message_id in await self.some("select id from message where state not in ('completed', 'failed')"):
            done = False
            while not done:
                async with self.db.write() as c:
                    message = await sessions.find_message(c, message_id)
                    done = message is None or await cancelling.cancel_message(
                        c, message, self.world.now, self.world.capacity, self.world.announcing
                    )

    async def cancel_session(self) -> None:
        for session_id in await self.some("select id from session"):
            done = False
            while not done:
                async with self.db.write() as c:
                    done = await cancelling.cancel_session(c, session_id, self.world.now, self.world.capacity, self.world.announcing)

    async def cancel_batch(self) -> None:
        for batch_id in await self.some("select id from batch where state = 'open'"):
            async with self.db.write() as c:
                await cancelling.request_cancel(c, batch_id, self.world.now)
            more = 1
            while more:
                async with self.db.write() as c:
                    more = await cancelling.cancel_some(c, batch_id, 4, self.world.now, self.world.capacity, self.world.announcing)

    async def delete_sessions(self) -> None:
        old = await self.some("select id from session where batch_id is null", 3)
        async with self.db.write() as c:
            await deleting.delete_if_idle(c, old, self.world.now)
        await self.world.session()

    async def delete_batch(self) -> None:
        for batch_id in await self.some("select id from batch"):
            async with self.db.write() as c:
                more = await deleting.doom_batch(c, batch_id)
            while more:
                async with self.db.write() as c:
                    more = await deleting.delete_some(c, batch_id, 3, self.world.now, self.world.capacity, self.world.announcing)
        await self.world.batch(4, cap=3)

    async def sweep(self) -> None:
        async with self.db.write() as c:
            await files.doom_files_if_unused(c, self.world.now, 10)

    async def fork(self) -> None:
        for session_id in await self.some("select id from session"):
            await self.world.fork(session_id)


@pytest.mark.parametrize("seed", range(2))
def test_everything_at_once(with_db: Any, seed: int) -> None:
    async def scenario(db: Database) -> None:
        world = await World(db).start()
        crowd = Crowd(world, random.Random(seed))
        await crowd.start()
        await asyncio.gather(*(crowd.run(60) for _ in range(8)))
        await world.check()
        assert await world.value("select deadlocks from pg_stat_database where datname = current_database()") == 0

    with_db(scenario)
