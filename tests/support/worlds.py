"""Small worlds of rows for tests below HTTP: an organisation with lanes, sessions and batches."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from passel.core.context import CallIntent, CallOutcome, Done, Ending
from passel.core.costs import Usage
from passel.core.events import Draft
from passel.core.ids import AgentId, BatchId, CallId, IdSource, LaneId, MessageId, OrgId, SessionId, VersionId
from passel.core.llm import LlmOption
from passel.store import accounts, sessions, turns
from passel.store.batches import BatchWriter, NewItem
from passel.store.database import Database
from passel.store.jobs import Job
from passel.store.turns import Capacity, Claim, Lease, StepWrite

OPTION = LlmOption("openai", "echo", "http://127.0.0.1:1/v1")


@dataclass
class World:
    """The clock stands still until `tick`."""

    db: Database
    capacity: Capacity = field(default_factory=lambda: Capacity(1000, 4))
    now: datetime = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
    org_id: OrgId = field(default_factory=lambda: OrgId("org_1"))
    ids: IdSource = field(default_factory=lambda: IdSource(lambda: 1_700_000_000_000))

    async def start(self) -> "World":
        async with self.db.write() as c:
            await accounts.insert_organisation(c, accounts.Organisation(self.org_id, "One", "one", self.now))
        return self

    def tick(self, seconds: float = 1) -> None:
        self.now += timedelta(seconds=seconds)

    async def lane(self, name: str = "openai::server") -> LaneId:
        async with self.db.write() as c:
            return (await sessions.ensure_lanes(c, self.org_id, [name]))[name]

    async def batch(
        self, size: int, *, lanes: Sequence[str] = ("openai::server",), cap: int | None = None, key: str | None = None
    ) -> BatchId:
        lane_ids = [await self.lane(name) for name in lanes]
        batch_id = self.ids.batch()
        async with self.db.write() as c:
            writer = BatchWriter(c, self.org_id, batch_id, AgentId("agt_1"), self.now)
            assert await writer.begin(key, "digest", cap)
            await writer.add([self._item(n, lane_ids[n % len(lane_ids)]) for n in range(size)])
            await writer.end(self.capacity)
        return batch_id

    def _item(self, index: int, lane_id: LaneId) -> NewItem:
        content = [{"type": "text", "text": f"prompt {index}"}]
        return NewItem(index, self.ids.session(), self.ids.message(), lane_id, VersionId("ver_1"), None, {}, content, {}, None)

    async def queued_jobs(self) -> list[Job]:
        """What the queue holds, oldest first, without taking it."""
        async with self.db.read() as c:
            rows = await c.raw.fetch("select payload from pgqueuer order by priority desc, id")
        return [Job.decode(row["payload"]) for row in rows]

    async def take_jobs(self, limit: int = 1000) -> list[Job]:
        async with self.db.write() as c:
            rows = await c.raw.fetch(
                "delete from pgqueuer where id in (select id from pgqueuer order by priority desc, id limit $1) returning id, payload",
                limit,
            )
        return [Job.decode(row["payload"]) for row in sorted(rows, key=lambda row: row["id"])]

    async def begin(self, *jobs: Job) -> list[Claim]:
        async with self.db.write() as c:
            claims, _ = await turns.apply(c, jobs, [], self.now, self.capacity)
        return claims

    async def write(self, *writes: StepWrite) -> set[SessionId]:
        async with self.db.write() as c:
            _, held = await turns.apply(c, [], writes, self.now, self.capacity)
        return held

    async def finish(self, lease: Lease, step: int = 0, ending: Ending | None = None, drafts: Sequence[Draft] = ()) -> bool:
        return lease.session_id in await self.write(StepWrite(lease, step, OPTION, tuple(drafts), ending=ending or Done()))

    def intent(self) -> CallIntent:
        return CallIntent(self.ids.call(), 1, "hash", self.now)

    def outcome(self, call_id: CallId, usage: Usage | None = None) -> CallOutcome:
        return CallOutcome(call_id, "answered", usage or Usage(10, 5), None, self.now)

    async def rows(self, sql: str, *args: Any) -> list[dict[str, Any]]:
        async with self.db.read() as c:
            return [dict(row) for row in await c.raw.fetch(sql, *args)]

    async def value(self, sql: str, *args: Any) -> Any:
        async with self.db.read() as c:
            return await c.raw.fetchval(sql, *args)

    async def direct_message(self, session_id: SessionId) -> MessageId:
        from passel.core import events

        message_id = self.ids.message()
        async with self.db.write() as c:
            row = await sessions.lock_session(c, session_id)
            assert row is not None
            said = events.user_message(message_id, [{"type": "text", "text": "more"}], None)
            running = events.session_status("running", "idle")
            await sessions.add_message(c, session_id, message_id, said, running, row["status"] == "running", self.now)
        return message_id

    async def check(self) -> None:
        """What holds at every instant: counts, gapless ledgers, slots, one job for each ready message."""
        wrong = await self.rows(INVARIANTS)
        assert not wrong, wrong


INVARIANTS = """
select 'ledger has gaps' as what, s.id from session s
where s.last_seq <> (select count(*) from event e where e.session_id = s.id)
   or s.last_seq <> coalesce((select max(seq) from event e where e.session_id = s.id), 0)
union all
select 'counts differ from items', b.id
from batch b cross join lateral (
    select count(*) filter (where state in ('held', 'ready')) as queued, count(*) filter (where state = 'running') as running,
           count(*) filter (where state = 'completed') as completed, count(*) filter (where state = 'failed') as failed
    from item i where i.batch_id = b.id) i
where (b.queued, b.running, b.completed, b.failed) is distinct from (i.queued, i.running, i.completed, i.failed)
union all
select 'held differs', bl.batch_id from batch_lane bl
where bl.held <> (select count(*) from item i where i.batch_id = bl.batch_id and i.lane_id = bl.lane_id and i.state = 'held')
union all
select 'lane slots differ', l.name from lane l
where l.active <> (select count(*) from message m join session s on s.id = m.session_id where s.lane_id = l.id and m.state in ('ready', 'running'))
union all
select 'capped batch differs', b.id from batch b
where b.max_concurrency is not null
  and b.active <> (select count(*) from item i where i.batch_id = b.id and i.state in ('ready', 'running'))
union all
select 'cap exceeded', b.id from batch b where b.active > b.max_concurrency
union all
select 'item and message differ', i.message_id from item i join message m on m.id = i.message_id where i.state <> m.state
union all
select 'ended twice', e.message_id from event e
where e.type = 'message.status_changed' and e.data ->> 'status' in ('completed', 'failed')
group by e.message_id having count(*) > 1
union all
select 'answered twice', e.message_id from event e where e.type = 'assistant.message_completed' group by e.message_id having count(*) > 1
union all
select 'bill differs from calls', b.id
from batch b cross join lateral (
    select count(*) as calls, coalesce(sum(c.input_tokens), 0) as input, coalesce(sum(c.output_tokens), 0) as output,
           count(*) filter (where c.state = 'in_doubt') as in_doubt
    from model_call c join message m on m.id = c.message_id where m.batch_id = b.id and c.state <> 'started') c
where (b.calls, b.input_tokens, b.output_tokens, b.in_doubt) is distinct from (c.calls, c.input, c.output, c.in_doubt)
"""
