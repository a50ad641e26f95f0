"""Small worlds of rows for tests below HTTP: an organisation with lanes, sessions and batches."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from passel.core.agent import events as agent_events
from passel.core.agent.announcements import ANNOUNCED
from passel.core.batch_log import BatchEntry
from passel.core.context import Spawn, Step
from passel.core.costs import Usage
from passel.core.effects import DONE, Effect, Outcome
from passel.core.endings import Done, Ending
from passel.core.events import MESSAGE_REQUESTED, Draft, message_requested
from passel.core.forking import last_rest
from passel.core.ids import BatchId, IdSource, LaneId, MessageId, OrgId, SessionId, WorkerId
from passel.store import (
    accounts,
    admission,
    attempts,
    batches,
    cancelling,
    deleting,
    files,
    forking,
    sessions,
    spawning,
    steps,
    workers,
)
from passel.store.admission import Capacity
from passel.store.announcing import Announcing
from passel.store.creation import BatchWriter, NewItem
from passel.store.database import Database, ReadConnection
from passel.store.leases import Claim, Lease
from passel.store.steps import StepWrite

LANE = "model/openai::server"
SPEC = {"version_id": "ver_1", "llm_id": None, "internet_access": False}


@dataclass
class World:
    """The clock stands still until `tick`. One worker, `self.worker`, takes messages of `kind`."""

    db: Database
    capacity: Capacity = field(default_factory=lambda: Capacity(1000, {"local": 4}))
    now: datetime = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
    org_id: OrgId = field(default_factory=lambda: OrgId("org_1"))
    ids: IdSource = field(default_factory=lambda: IdSource(lambda: 1_700_000_000_000))
    kind: str = "agent"
    worker: WorkerId = field(default_factory=lambda: WorkerId(0))
    numbers: dict[tuple[str, int], int] = field(default_factory=dict)

    @property
    def announcing(self) -> Announcing:
        return Announcing(self.ids, {"agent": ANNOUNCED})

    async def start(self) -> "World":
        async with self.db.write() as c:
            await accounts.insert_organisation(c, accounts.Organisation(self.org_id, "One", "one", self.now))
        self.worker = await self.new_worker()
        return self

    async def new_worker(self) -> WorkerId:
        async with self.db.write() as c:
            return await workers.register_on(c.raw, "test", {self.kind: 100})

    def tick(self, seconds: float = 1) -> None:
        self.now += timedelta(seconds=seconds)

    async def lane(self, name: str = LANE) -> LaneId:
        async with self.db.write() as c:
            return (await admission.ensure_lanes(c, self.org_id, [name], self.now))[name]

    async def batch(
        self, size: int, *, lanes: Sequence[str] = (LANE,), cap: int | None = None, key: str | None = None, subject: str = "agt_1"
    ) -> BatchId:
        lane_ids = [(name, await self.lane(name)) for name in lanes]
        batch_id = self.ids.batch()
        async with self.db.write() as c:
            writer = BatchWriter(c, self.org_id, batch_id, self.kind, self.now)
            assert await writer.begin(subject, key, "digest", cap)
            await writer.add([self.item(n, *lane_ids[n % len(lane_ids)], subject) for n in range(size)])
            await writer.end(self.capacity, self.announcing)
        return batch_id

    def item(self, index: int, lane: str, lane_id: LaneId, subject: str = "agt_1") -> NewItem:
        request = agent_events.request([{"type": "text", "text": f"prompt {index}"}], {})
        return NewItem(index, self.ids.session(), self.ids.message(), lane_id, lane, subject, SPEC, {}, request, None)

    async def ready(self) -> list[MessageId]:
        """What workers could take, in the order in which they would."""
        rows = await self.rows("select id from message where state = 'ready' order by priority, ready_at, id")
        return [row["id"] for row in rows]

    async def claim(self, limit: int = 1000, worker: WorkerId | None = None) -> list[Claim]:
        async with self.db.write() as c:
            return await attempts.claim(c, self.kind, limit, worker or self.worker, self.now, self.capacity)

    async def claim_suspects(self, worker: WorkerId | None = None) -> list[Claim]:
        async with self.db.write() as c:
            return await attempts.claim_suspects(c, self.kind, worker or self.worker, self.now, self.capacity)

    async def lose(self, lease: Lease) -> None:
        """The lease's worker dies, as if it had nothing else in its hands."""
        worker = await self.new_worker()
        async with self.db.write() as c:
            await c.raw.execute("update message set worker_id = $2 where id = $1 and attempt = $3", lease.message_id, worker, lease.attempt)
            await attempts.reap(c, [worker], self.now, self.capacity)

    def write_of(self, lease: Lease, step: Step, *, number: int | None = None, leaves_open: bool = False) -> StepWrite:
        """The next write of an attempt, or the one of that number."""
        key = (lease.message_id, lease.attempt)
        if number is None:
            number = self.numbers[key] = self.numbers.get(key, 0) + 1
        return StepWrite(lease, number, 2**31 - 1, step, leaves_open)

    async def write(self, *writes: StepWrite) -> set[MessageId]:
        """The messages whose writes hold."""
        async with self.db.write() as c:
            lanes = await spawning.ensure_lanes(c, steps.spawns(writes), self.now)
        async with self.db.write() as c:
            return set(await steps.apply(c, writes, self.now, self.capacity, self.announcing, lanes))

    async def step(self, lease: Lease, step: Step, **how: Any) -> bool:
        return lease.message_id in await self.write(self.write_of(lease, step, **how))

    async def finish(self, lease: Lease, ending: Ending | None = None, drafts: Sequence[Draft] = (), **how: Any) -> bool:
        return await self.step(lease, Step(tuple(drafts), ending=ending or Done()), **how)

    def spawn(self, lane: str = LANE) -> Spawn:
        return Spawn(self.ids.session(), self.kind, lane, SPEC, agent_events.request([{"type": "text", "text": "begun"}], {}))

    def effect(self, number: int = 1) -> Effect:
        return Effect(self.ids.effect(), "model", "openai:echo", number, "hash", self.now)

    def outcome(self, effect: Effect, usage: Usage | None = None) -> Outcome:
        return Outcome(effect.id, DONE, usage or Usage(10, 5), None, self.now)

    async def rows(self, sql: str, *args: Any) -> list[dict[str, Any]]:
        async with self.db.read() as c:
            return [dict(row) for row in await c.raw.fetch(sql, *args)]

    async def value(self, sql: str, *args: Any) -> Any:
        async with self.db.read() as c:
            return await c.raw.fetchval(sql, *args)

    async def direct_message(self, session_id: SessionId, *file_ids: str) -> MessageId:
        message_id = self.ids.message()
        async with self.db.write() as c:
            await files.hold_files(c, self.org_id, file_ids)
            session = await sessions.lock_session(c, session_id)
            assert session is not None
            await files.use_files(c, self.org_id, file_ids, session_id)
            lanes = await admission.ensure_lanes(c, self.org_id, [session.lane], self.now)
            requested = message_requested(agent_events.request([{"type": "text", "text": "more"}], {}))
            await sessions.add_message(c, session, message_id, requested, lanes[session.lane], self.now, self.capacity)
        return message_id

    async def file(self) -> str:
        file = files.File(self.org_id, self.ids.file(), "a.txt", "text/plain", 1, "", self.now)
        async with self.db.write() as c:
            await files.insert_file(c, file)
        return file.id

    async def session(self) -> SessionId:
        """One of no batch, without a message yet."""
        new = sessions.NewSession(self.org_id, self.ids.session(), self.kind, "agt_1", SPEC, None, {}, LANE, None, self.now)
        async with self.db.write() as c:
            await sessions.insert_session(c, new)
        return new.id

    async def turn(self, session_id: SessionId, *file_ids: str) -> None:
        """A message, and its answer."""
        message_id = await self.direct_message(session_id, *file_ids)
        [claim] = [claim for claim in await self.claim() if claim.lease.message_id == message_id]
        await self.finish(claim.lease)

    async def fork(self, session_id: str) -> SessionId | None:
        """At the last place where the session was at rest; None when there is none."""
        async with self.db.write() as c:
            original = await forking.hold_session(c, session_id)
            assert original is not None
            told = await forking.read_history(c, session_id, original.last_seq)
            upto = last_rest(told)
            if not upto:
                return None
            copies = {e.message_id: self.ids.message() for e in told[:upto] if e.message_id and e.type == MESSAGE_REQUESTED}
            new = sessions.NewSession(
                original.org_id, self.ids.session(), self.kind, "agt_1", original.spec, None, {}, original.lane, None, self.now
            )
            history = [e._replace(session_id=new.id, message_id=e.message_id and copies[e.message_id]) for e in told[:upto]]
            await forking.insert_fork(c, new, original, upto, history, copies)
        return new.id

    async def delete_batch(self, batch_id: BatchId, at_once: int = 5) -> bool:
        """False when something of it has not ended."""
        async with self.db.write() as c:
            more = doomed = await deleting.doom_batch(c, batch_id)
        while more:
            await self.check()
            async with self.db.write() as c:
                more = await deleting.delete_some(c, batch_id, at_once, self.now, self.capacity, self.announcing)
        return doomed

    async def cancel_message(self, message_id: str) -> None:
        """With nobody else at work, the first asking is answered."""
        async with self.db.write() as c:
            message = await sessions.find_message(c, message_id)
            assert message is not None and await cancelling.cancel_message(c, message, self.now, self.capacity, self.announcing)

    async def feed(self) -> None:
        async with self.db.write() as c:
            await admission.feed(c, self.capacity, self.now)

    async def check(self) -> None:
        """What holds at every instant: counts, gapless ledgers, places, one bill."""
        wrong = await self.rows(INVARIANTS)
        assert not wrong, wrong
        async with self.db.snapshot() as c:
            for row in await c.raw.fetch("select id from batch where state <> 'deleting'"):
                await self._check_batch_ledger(c, row["id"])

    async def _check_batch_ledger(self, c: ReadConnection, batch_id: str) -> None:
        """Dense from 1, each transition from where the one before left the item, and the counts follow from them."""
        batch = await batches.find_batch(c, batch_id)
        assert batch is not None
        told: list[BatchEntry] = []
        while page := (await batches.list_new_entries(c, [(batch_id, len(told))]))[0]:
            told += page
        assert [entry.seq for entry in told] == list(range(1, batch.last_event + 1))
        phases: dict[int, str] = {}
        status = None
        for entry in told:
            if entry.transition is None:
                status = entry.status
            else:
                assert phases.get(entry.transition.item_index, "queued") == entry.transition.previous, entry
                phases[entry.transition.item_index] = entry.transition.state
        assert told[-1].counts == batch.counts and status == batch.status, (told[-1], batch)


INVARIANTS = """
select 'ledger has gaps' as what, s.id from session s
where s.last_seq <> (select count(*) from event e where e.session_id = s.id)
   or s.last_seq <> coalesce((select max(seq) from event e where e.session_id = s.id), 0)
union all
select 'counts differ from items', b.id
from (select * from batch where state <> 'deleting') b cross join lateral (
    select count(*) filter (where state in ('held', 'ready', 'suspect', 'delayed')) as queued,
           count(*) filter (where state in ('running', 'waiting')) as running,
           count(*) filter (where state = 'completed') as completed, count(*) filter (where state = 'failed') as failed, count(*) as size
    from (
        select coalesce(m.outcome, m.state, 'failed') as state
        from item i left join message m on m.id = i.message_id where i.batch_id = b.id
    ) x) i
where (b.queued, b.running, b.completed, b.failed, b.size) is distinct from (i.queued, i.running, i.completed, i.failed, i.size)
union all
select 'batch is done or is not', b.id from (select * from batch where state <> 'deleting') b
where (b.finished_at is not null) <> (b.queued + b.running = 0) or (b.state <> 'cancelling' and (b.state = 'done') <> (b.queued + b.running = 0))
union all
select 'cancelled differs', b.id from (select * from batch where state <> 'deleting') b
where b.cancelled <> (select count(*) from item i join message m on m.id = i.message_id
    where i.batch_id = b.id and m.cancelled)
union all
select 'held differs', bl.batch_id from batch_lane bl
where bl.held <> (select count(*) from message m where m.batch_id = bl.batch_id and m.lane_id = bl.lane_id and m.state = 'held')
union all
select 'lane places differ', l.name from lane l
where l.active <> (select count(*) from message m where m.lane_id = l.id and m.state in ('ready', 'suspect', 'running'))
   or l.parked <> (select count(*) from message m where m.lane_id = l.id and m.state in ('waiting', 'delayed'))
union all
select 'places of the batch differ', b.id from (select * from batch where state <> 'deleting') b
where b.active <> case when b.max_concurrency is null then 0
    else (select count(*) from message m where m.batch_id = b.id and m.state in ('ready', 'suspect', 'running')) end
union all
select 'cap exceeded', b.id from (select * from batch where state <> 'deleting') b where b.active > b.max_concurrency
union all
select 'session and active message differ', s.id from session s
where s.active_message_id is distinct from (
    select m.id from message m
    where m.session_id = s.id and m.state in ('held', 'ready', 'suspect', 'running', 'waiting', 'delayed'))
union all
select 'line differs', s.id from session s
where s.lined <> (select count(*) from message m where m.session_id = s.id and m.state = 'lined')
union all
select 'idle or not', s.id from session s cross join lateral (
    select e.data ->> 'state' as state from event e where e.session_id = s.id and e.type = 'session.state' order by e.seq desc limit 1) e
where (s.active_message_id is null) <> (e.state = 'idle')
union all
select 'nobody''s', o.session_id from (
    select session_id from event union select session_id from message union select session_id from effect
    union select holder_id from file_use where holder_id like 'sess%') o
where not exists (select from session s where s.id = o.session_id)
union all
select 'swept though it is used', u.file_id from file_use u left join file f on f.id = u.file_id where f.id is null or f.doomed
union all
select 'used by nobody and never swept', f.id from file f
where f.unused_since is null and not exists (select from file_use u where u.file_id = f.id)
union all
select 'two active messages', m.session_id from message m
where m.state in ('held', 'ready', 'suspect', 'running', 'waiting', 'delayed') group by m.session_id having count(*) > 1
union all
select 'an ended message has no outcome', m.id from message m where m.state in ('completed', 'failed') and m.outcome is null
union all
select 'nobody has it', m.id from message m where (m.state = 'running') <> (m.worker_id is not null)
union all
select 'ended twice', e.message_id from event e
where e.type = 'message.state' and e.data ->> 'state' in ('completed', 'failed')
group by e.message_id having count(*) > 1
union all
select 'finished twice', e.message_id from event e
where e.type = 'assistant.message' and jsonb_array_length(e.data -> 'calls') = 0 group by e.message_id having count(*) > 1
union all
select 'a gap in deliveries', d.scope_id from delivery d group by d.scope_id having count(*) <> max(d.sequence)
union all
select 'a delivery without its message', d.id from delivery d
where not exists (select from message m where m.id = d.message_id and m.session_id = d.id and m.throttled and m.number = 1)
union all
select 'an open effect of nobody', f.id from effect f join message m on m.id = f.message_id
where f.state = 'started' and m.state in ('completed', 'failed', 'held')
union all
select 'bill differs from effects', b.id
from (select * from batch where state <> 'deleting') b cross join lateral (
    select count(*) filter (where f.state <> 'unsent') as calls, coalesce(sum(f.input_tokens), 0) as input,
           coalesce(sum(f.output_tokens), 0) as output, coalesce(sum(f.cost_usd), 0) as cost,
           count(*) filter (where f.state = 'in_doubt') as in_doubt
    from effect f join message m on m.id = f.message_id where m.batch_id = b.id and f.state <> 'started') c
where (b.calls, b.input_tokens, b.output_tokens, b.in_doubt, b.cost_usd) is distinct from (c.calls, c.input, c.output, c.in_doubt, c.cost)
union all
select 'the organisation''s ledger differs', w.id
from (
    select x.id, x.first, x.last, lag(x.last, 1, 0) over (partition by x.id order by o.n, x.nth) as before
    from org_event o cross join lateral unnest(o.ids, o.firsts, o.lasts) with ordinality as x (id, first, last, nth)
) w
where w.first <> w.before + 1 and w.id not like 'whk%'
union all
select 'not in the organisation''s ledger', l.id
from (select id, last_seq from session where kind <> 'webhook' union all select id, last_event from batch where state <> 'deleting') l
where l.last_seq <> coalesce((
    select max(x.last) from org_event o cross join lateral unnest(o.ids, o.lasts) as x (id, last) where x.id = l.id), 0)
"""
