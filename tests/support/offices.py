"""An office: a world of rows with a webhook, and what a worker needs to deliver. The database, the engine and HTTP are real;
the clock is the test's, and the agents are played by the test."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from aiohttp.abc import AbstractResolver
from aiohttp.resolver import ThreadedResolver

from passel.blobs import BlobStore
from passel.core.agent import events
from passel.core.agent.announcements import ANNOUNCED
from passel.core.agent.events import ToolCall
from passel.core.agent.tools import EXTERNAL
from passel.core.context import Step
from passel.core.endings import Done, Ending, Wait
from passel.core.ids import SessionId
from passel.engine.attempt import Attempts
from passel.engine.journal import Journal
from passel.faces.dari.webhooks import DariForm, describe_batch
from passel.network import Network
from passel.services import webhooks
from passel.services.deliveries import DeliveryDesk
from passel.services.deps import Deps
from passel.services.vault import Vault
from passel.services.webhooks import Configured, ReadDelivery, Subject
from passel.store import attempts, sessions, waking
from passel.store.admission import Capacity
from passel.store.changes import Changes, settle
from passel.store.database import Database
from passel.store.leases import Lease
from passel.workloads.webhook.deliveries import WebhookWorkload
from passel.workloads.webhook.postman import Postman
from tests.support.receiver import Receiver, receiver
from tests.support.worlds import World

AGENT = "agt_1"
ALL = sorted(ANNOUNCED.types)


@dataclass
class Office:
    world: World
    deps: Deps
    attempts: Attempts
    secret: str = ""

    def subject(self, agent_id: str = AGENT) -> Subject:
        return Subject(self.world.org_id, "agent", agent_id, ANNOUNCED)

    async def configure(self, url: str, types: list[str] | None = None, agent_id: str = AGENT) -> Configured:
        done = await webhooks.configure(self.deps, self.subject(agent_id), url, types or ALL)
        self.secret = done.secret or self.secret
        return done

    async def turn(self, ending: Ending | None = None) -> tuple[SessionId, Lease]:
        """One turn of a session of its own, from its beginning to its end."""
        await self.world.batch(1)
        lease = await self.claim_turn()
        assert await self.world.finish(lease, ending or Done({"text": "done"}))
        return lease.session_id, lease

    async def claim_turn(self) -> Lease:
        [claim] = await self.world.claim(1)
        return claim.lease

    async def ask_tool(self, lease: Lease, call_id: str = "call_1") -> ToolCall:
        """The model asks for an external tool, and the message waits for its result."""
        call = ToolCall(call_id, call_id, "search", '{"query": "x"}')
        assert await self.world.finish(
            lease, Wait(None, "a tool"), (events.tool_requested(call, {"query": "x"}, EXTERNAL, self.world.now + timedelta(hours=1)),)
        )
        return call

    async def answer_tool(self, lease: Lease, call: ToolCall) -> Lease:
        """What a client's answer will do: the call is settled, and the message goes on."""
        async with self.world.db.write() as c:
            changes = Changes(self.world.now)
            await waking.wake(c, await waking.lock_waiting(c, [lease.message_id]), changes)
            await settle(c, changes, self.world.capacity)
        again = await self.claim_turn()
        assert await self.world.step(again, Step((events.tool_completed(call.id, call.name, {"found": 1}),)))
        return again

    async def deliver(self) -> int:
        """Every delivery that a worker could make now is tried. Returns how many tries were made."""
        tried = 0
        running: set[asyncio.Task[None]] = set()
        while True:
            async with self.world.db.write() as c:
                await waking.wake_due(c, 500, self.world.now, self.world.capacity)
            await self.world.feed()
            async with self.world.db.write() as c:
                claims = await attempts.claim(c, "webhook", 500, self.world.worker, self.world.now, self.world.capacity)
            async with self.world.db.read() as c:
                ledgers = await attempts.read_ledgers(c, [claim.lease.session_id for claim in claims])
            running |= {asyncio.create_task(self.attempts.run(claim, ledgers[claim.lease.session_id])) for claim in claims}
            tried += len(claims)
            if not running:
                return tried
            _, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)

    async def until_nothing_waits(self, most_hours: float = 48) -> int:
        """Deliver, and let time pass to the next try, until nothing waits any more. Returns how many tries were made."""
        tried, end = await self.deliver(), self.world.now.timestamp() + most_hours * 3600
        while (at := await self.world.value("select min(wake_at) from message where state = 'delayed'")) is not None:
            assert at.timestamp() < end
            self.world.now = max(at, self.world.now)
            tried += await self.deliver()
        return tried

    async def log(self, agent_id: str = AGENT, **wanted: Any) -> list[ReadDelivery]:
        """Newest first."""
        return await webhooks.list_deliveries(self.deps, agent_id, **{"after": None, "type": None, "status": None, "limit": 1000} | wanted)

    async def told(self, session_id: str, type: str) -> list[dict[str, Any]]:
        async with self.world.db.read() as c:
            return [event.data for event in await sessions.read_ledger(c, session_id) if event.type == type]


@asynccontextmanager
async def an_office(
    db: Database,
    *,
    timeout: float = 5,
    width: int = 32,
    private: bool = True,
    overlap: float = 0,
    resolver: Callable[[], AbstractResolver] = ThreadedResolver,
) -> AsyncGenerator[Office]:
    """`private` says whether deliveries may go to private addresses; configuring always may."""
    world = await World(db, Capacity(1000, {"webhook": width})).start()
    deps = Deps(
        db,
        BlobStore("memory://"),
        lambda: world.now,
        world.ids,
        Vault(b"k" * 32),
        world.capacity,
        world.announcing,
        allow_private_urls=True,
        webhook_overlap=overlap,
    )
    network = Network(allow_private_urls=private, resolver=resolver, decompress=False)
    workload = WebhookWorkload(
        DeliveryDesk(deps, {"agent": describe_batch}), {"agent": DariForm()}, Postman(network, timeout, allow_http=True)
    )
    journal = Journal(db, lambda: world.now, world.capacity, world.announcing)
    writing = asyncio.create_task(journal.run())
    try:
        yield Office(world, deps, Attempts(journal, lambda: world.now, world.ids, {"webhook": workload}, 3))
        await world.check()
    finally:
        journal.stop()
        await writing
        await network.close()


def in_an_office(with_db: Any, scenario: Callable[[Office, Receiver], Awaitable[None]], **office: Any) -> None:
    """Run a scenario in an office with a receiver that is told everything."""

    async def go(db: Database) -> None:
        with receiver() as got:
            async with an_office(db, **office) as made:
                await made.configure(got.url)
                await scenario(made, got)

    with_db(go)
