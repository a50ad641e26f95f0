"""The stream of all that happens in an organisation: each event once, those of one session in their order, from any place."""

import asyncio
import contextlib
import random
import threading
import time
from collections import defaultdict
from contextlib import aclosing
from datetime import timedelta
from typing import Any

import asyncpg
import httpx2
import psutil
import pytest

from passel.core.errors import Invalid, NotFound
from passel.core.events import Draft
from passel.core.ids import MessageId
from passel.core.org_ledger import Place, Row, Wanted, stretches
from passel.services.firehose import Firehose
from passel.services.following import Bell
from passel.store import ledgers, org_ledger
from passel.store.database import Database, WriteConnection, patiently
from passel.store.ledgers import Telling
from passel.store.org_ledger import Settled
from passel.store.postgres import EmbeddedPostgres
from passel.store.schema import migrate
from tests.support.installation import KEY, Installation, PlayedModel, item, scratch_dir, wait_for_batch, wait_until
from tests.support.worlds import World
from tests.test_streams import first, frames, stream
from tests.test_tenancy import stranger

__all__ = ["stranger"]

PATH = "/v1/events/stream"


def test_pages_have_every_place_once() -> None:
    """Whatever the size of pages, what they cover is the whole, in order, and a place says the same from anywhere."""
    rng = random.Random(7)
    for _ in range(300):
        seqs: defaultdict[str, int] = defaultdict(int)
        rows: list[Row] = []
        for n in sorted(rng.sample(range(1, 40), 8)):
            ids = rng.sample("abcdef", rng.randint(1, 4))
            sizes = [rng.randint(0, 4) for _ in ids]
            firsts = [seqs[id] + 1 for id in ids]
            for id, size in zip(ids, sizes, strict=True):
                seqs[id] += size
            rows.append(Row(n, False, ids, firsts, [seqs[id] for id in ids]))
        whole, _ = stretches(rows, Place(0), 10**6)
        events = [(s.id, seq, s.behind(seq)) for s in whole for seq in range(s.first, s.last + 1)]
        assert [place for _, _, place in events] == sorted({place for _, _, place in events})
        place, told = Place(0), []
        while len(told) < len(events):
            found, place = stretches([row for row in rows if row.n >= place.n], place, rng.randint(1, 5))
            told += [(s.id, seq, s.behind(seq)) for s in found for seq in range(s.first, s.last + 1)]
        assert told == events and place >= events[-1][2]
        for k, (_, _, at) in enumerate(events):
            found, _ = stretches([row for row in rows if row.n >= at.n], at, 1)
            behind = [(s.id, seq) for s in found for seq in range(s.first, s.last + 1)]
            assert behind == [event[:2] for event in events[k + 1 : k + 2]]


def test_commits_in_any_order_are_told_once_and_in_the_order_of_each_session(with_db: Any) -> None:
    """Transactions draw their numbers and commit as they like, or never, while several followers read, come and go."""

    async def scenario(db: Database) -> None:
        world = await World(db).start()
        sessions = [await world.session() for _ in range(12)]
        bell = Bell(db)
        listening = asyncio.create_task(bell.run())
        firehoses = [Firehose(db, bell, 0.1), Firehose(db, bell, 0.1)]
        written: set[tuple[str, int]] = set()
        rng = random.Random(11)

        async def write(n: int) -> None:
            some = sorted(rng.sample(sessions, rng.randint(1, 3)))
            try:
                async with db.write() as c:
                    if rng.random() < 0.3:
                        await c.raw.execute("select pg_current_xact_id()")
                        await asyncio.sleep(rng.random() * 0.05)
                    about = [Telling(world.org_id, s, MessageId("msg_1"), [Draft("x", {"n": n})] * rng.randint(1, 3)) for s in some]
                    told = await ledgers.append(c, about, world.now)
                    await asyncio.sleep(rng.random() * 0.02)
                    if rng.random() < 0.2:
                        raise InterruptedError
            except InterruptedError:
                return
            written.update((session_id, event.seq) for session_id, one in told.items() for event in one.events)

        async def writer() -> None:
            for n in range(60):
                await write(n)

        async def follow(firehose: Firehose, place: Place, done: asyncio.Event) -> list[tuple[str, int]]:
            told: list[tuple[str, int]] = []
            while not (done.is_set() and len(told) == len(written)):
                async with aclosing(firehose.follow(world.org_id, place, Wanted())) as pages:
                    async for page in pages:
                        told += [(entry.told.session_id, entry.told.seq) for entry in page.entries]
                        place = page.place
                        if (page.entries and rng.random() < 0.1) or (done.is_set() and len(told) == len(written)):
                            break
            return told

        start = await firehoses[0].start(None)
        done = asyncio.Event()
        followers = [asyncio.create_task(follow(firehose, start, done)) for firehose in firehoses for _ in range(2)]
        await asyncio.gather(*(writer() for _ in range(6)))
        done.set()
        for told in await asyncio.wait_for(asyncio.gather(*followers), 60):
            assert len(told) == len(set(told)) and set(told) == written
            for session_id in sessions:
                numbers = [seq for session, seq in told if session == session_id]
                assert numbers == list(range(1, len(numbers) + 1))
        bell.close()
        await listening

    with_db(scenario)


def test_a_transaction_that_tells_nothing_holds_nobody_up(with_db: Any) -> None:
    """Neither one that has been open for long and wrote elsewhere, nor one that drew a number and gave up."""

    async def scenario(db: Database) -> None:
        world = await World(db).start()
        session_id = await world.session()
        firehose = Firehose(db, Bell(db), 0.05)

        async def tell(fail: bool = False) -> None:
            async with db.write() as c:
                await ledgers.append(c, [Telling(world.org_id, session_id, MessageId("msg_1"), [Draft("x", {})])], world.now)
                if fail:
                    raise InterruptedError

        async with db.write() as c:
            await c.raw.execute("insert into organisation values ('org_9', 'x', 'x', now())")
            start = await firehose.start(None)
            await tell()
            with pytest.raises(InterruptedError):
                await tell(fail=True)
            await tell()
            numbers: list[int] = []
            async with aclosing(
                firehose.follow(world.org_id, start, Wanted()),
            ) as pages:
                async for page in pages:
                    numbers += [entry.told.seq for entry in page.entries]
                    if len(numbers) == 2:
                        break
            assert numbers == [1, 2]

    with_db(scenario)


async def draw(c: WriteConnection, world: World) -> None:
    await org_ledger.insert_sessions(c, world.org_id, [world.ids.session()], 1, world.now)


def test_gaps_close_one_after_the_other_without_a_further_word(with_db: Any) -> None:
    """What was committed behind a gap while it was waited for is settled with it, though nobody speaks of it again."""

    async def scenario(db: Database) -> None:
        world = await World(db).start()
        settled = Settled()
        async with db.read() as r:
            assert await settled.look(r) == 0
            with contextlib.suppress(InterruptedError):
                async with db.write() as gives_up:
                    await draw(gives_up, world)
                    async with db.write() as c:
                        await draw(c, world)
                    assert await settled.look(r) == 0 and settled.waits
                    async with db.write() as under_way:
                        await draw(under_way, world)
                        async with db.write() as c:
                            await draw(c, world)
                        assert await settled.look(r) == 0 and settled.waits
                    raise InterruptedError
            assert await settled.look(r) == 4 and not settled.waits

    with_db(scenario)


def test_what_another_follower_finds_settled_is_read_by_all(with_db: Any) -> None:
    """A look that closes a gap while somebody reads what came before it: nobody is told of that, so he looks again himself."""

    async def scenario(db: Database) -> None:
        world = await World(db).start()
        session_id = await world.session()
        firehose = Firehose(db, Bell(db), 60)

        async def tell() -> None:
            async with db.write() as c:
                await ledgers.append(c, [Telling(world.org_id, session_id, MessageId("msg_1"), [Draft("x", {})])], world.now)

        async def follow(start: Place) -> None:
            numbers: list[int] = []
            async with aclosing(firehose.follow(world.org_id, start, Wanted())) as pages:
                async for page in pages:
                    numbers += [entry.told.seq for entry in page.entries]
                    if len(numbers) == 2:
                        return

        start = await firehose.start(None)
        await tell()
        async with db.dedicated() as other:
            with contextlib.suppress(InterruptedError):
                async with db.write() as gives_up:
                    await draw(gives_up, world)
                    await tell()
                    await other.execute("begin; lock table session in access exclusive mode")
                    following = asyncio.create_task(follow(start))
                    while not await world.value(
                        "select exists (select from pg_locks where relation = 'session'::regclass and not granted)"
                    ):
                        await asyncio.sleep(0.01)
                    raise InterruptedError
            await firehose.start(None)
            await other.execute("rollback")
        await asyncio.wait_for(following, 10)

    with_db(scenario)


def test_a_place_that_another_process_gave_is_good_at_once(with_db: Any) -> None:
    """Though here somebody else writes just now, and nothing is known yet of the gap before it."""

    async def scenario(db: Database) -> None:
        world = await World(db).start()
        firehose = Firehose(db, Bell(db), 60)
        assert await firehose.start(None) == Place(1)
        with contextlib.suppress(InterruptedError):
            async with db.write() as c:
                await draw(c, world)
                raise InterruptedError
        async with db.write() as c:
            await draw(c, world)
        async with db.write() as busy:
            await draw(busy, world)
            assert await firehose.start(Place(3)) == Place(3)
            with pytest.raises(Invalid):
                await firehose.start(Place(4))

    with_db(scenario)


def test_numbers_that_a_crash_takes_back_are_not_settled() -> None:
    """The sequence gives out again what it had given to a transaction that did not commit: the follower waits for it still."""

    async def scenario(server: EmbeddedPostgres) -> None:
        db = await Database.open(server.url, name="test")
        world = await World(db).start()
        settled = Settled()
        for _ in range(31):  # it writes what it has given ahead, 32 numbers at a time
            async with db.write() as c:
                await draw(c, world)
        async with db.read() as r:
            assert await settled.look(r) == 31
        before = None
        with contextlib.suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            async with db.write() as lost, db.write() as last, db.read() as r:
                await draw(lost, world)
                async with db.write() as c:
                    await draw(c, world)
                await draw(last, world)
                before = await settled.look(r)
                postmaster = server.postmaster()
                killed = [postmaster, *postmaster.children(recursive=True)]
                for process in killed:
                    process.kill()
                psutil.wait_procs(killed, 10)
        assert before == 31 and settled.waits
        await asyncio.to_thread(server.start)
        async with db.read() as r:
            assert await patiently(lambda: settled.look(r)) == 33
            async with db.write() as c:
                await draw(c, world)
            # 34 is given out a second time, unless the server happened to write down before it died that it was gone
            assert await settled.look(r) == await world.value("select max(n) from org_event") > 33
        await db.close()

    with scratch_dir() as directory:
        server = EmbeddedPostgres(directory / "pg")
        server.start()
        try:
            asyncio.run(migrate(server.url))
            asyncio.run(scenario(server))
        finally:
            server.stop()


def collect(passel: Installation, told: list[dict[str, Any]], **params: Any) -> threading.Thread:
    """Follow until the stream is closed; what comes is added to `told`, marks too."""

    def follow() -> None:
        try:
            with stream(passel, PATH, **params) as events:
                for event in events:
                    told.append(event)
        except httpx2.HTTPError:
            pass

    thread = threading.Thread(target=follow, daemon=True)
    thread.start()
    return thread


def batch_of(passel: Installation, agent: str, n: int, **fields: Any) -> str:
    items = [item(agent, f"item {k}", metadata={"half": str(k % 2)}) for k in range(n)]
    return passel.client.post("/v1/session-batches", {"items": items, **fields})["batch_id"]


def test_a_batch_is_told_whole_with_what_it_belongs_to(passel: Installation, agent: str) -> None:
    with stream(passel, PATH) as live:
        batch_id = batch_of(passel, agent, 20)
        told: list[dict[str, Any]] = []
        while not told or told[-1]["data"].get("status") != "completed" or told[-1]["event"] != "batch.status_changed":
            told += [event for event in first(live, 1) if event["data"]["batch_id"] == batch_id]
    sessions = {s["session_id"] for s in passel.client.get(f"/v1/session-batches/{batch_id}")["sessions"]}
    by_scope: defaultdict[str, list[Any]] = defaultdict(list)
    for event in told:
        data = event["data"]
        of_batch = event["event"] in ("item.status_changed", "batch.status_changed")
        by_scope[batch_id if of_batch else data["session_id"]].append(data)
        assert data["kind"] == "agent" and data["agent_id"] == agent
        assert of_batch or data["metadata"]["half"] in ("0", "1")
    assert set(by_scope) == {*sessions, batch_id}
    with stream(passel, f"/v1/session-batches/{batch_id}/stream") as own:
        shown = [event["data"] for event in own if "comment" not in event]
    assert [{k: v for k, v in data.items() if k not in ("kind", "agent_id")} for data in by_scope[batch_id]] == shown
    for session_id in sessions:
        listed = passel.client.get(f"/v1/sessions/{session_id}/events")["events"]
        about = ("kind", "agent_id", "batch_id", "metadata")
        assert [{k: v for k, v in data.items() if k not in about} for data in by_scope[session_id]] == listed


def test_it_goes_on_behind_any_place(passel: Installation, agent: str) -> None:
    with stream(passel, PATH) as live:
        batch_id = batch_of(passel, agent, 5)
        told = first(live, 5 * 6 + 12)
        wait_for_batch(passel.client, batch_id)
    for k in range(0, len(told) - 1, 3):
        with stream(passel, PATH, headers={"Last-Event-ID": told[k]["id"]}, params={"after": "0"}) as events:
            assert first(events, min(4, len(told) - k - 1)) == told[k + 1 : k + 5]
    with stream(passel, PATH, params={"after": "0"}) as events:
        oldest = first(events, 3)
        assert all(event["data"]["created_at"] <= told[0]["data"]["created_at"] for event in oldest)


def test_filters(passel: Installation, agent: str) -> None:
    with stream(passel, PATH, params={"after": "0", "kind": "agent"}) as all_of_it:
        first(all_of_it, 1)
    one, other = batch_of(passel, agent, 4), batch_of(passel, agent, 4)
    for batch_id in (one, other):
        wait_for_batch(passel.client, batch_id)

    def told(**params: Any) -> list[Any]:
        """Until the stream is at its end: a mark, not an event."""
        with stream(passel, PATH, params={"after": "0", **params}) as events:
            assert "comment" in next(events), "where it begins"
            found: list[Any] = []
            for event in events:
                if "comment" in event:
                    break
                found.append(event)
            return found

    of_one = told(batch_id=one)
    assert {e["data"]["batch_id"] for e in of_one} == {one} and len([e for e in of_one if e["event"] == "user.message"]) == 4
    statuses = told(batch_id=other, type="batch.status_changed")
    assert [e["data"]["status"] for e in statuses][-1] == "completed" and {e["event"] for e in statuses} == {"batch.status_changed"}
    halves = told(batch_id=one, **{"metadata.half": "1"})
    assert {e["data"]["metadata"]["half"] for e in halves} == {"1"} and len({e["data"]["session_id"] for e in halves}) == 2
    assert told(batch_id=one, type=["item.status_changed", "user.message"], agent_id=agent)
    for wrong, field in (
        ({"type": "nonsense"}, "type"),
        ({"after": "sess_1:evt_4"}, "after"),
        ({"after": "999999999999"}, "after"),
        ({"kind": "x"}, "kind"),
    ):
        answer = passel.http().get(PATH, params=wrong)
        assert answer.status_code in (400, 422) and field in answer.text, (wrong, answer.text)
    assert passel.http().get(PATH, params={"batch_id": "batch_nosuch"}).status_code == 404


def test_another_organisation_hears_nothing_of_it(passel: Installation, agent: str, stranger: str) -> None:
    with passel.http(stranger).stream("GET", PATH, params={"after": "0"}) as response:
        batch_id = batch_of(passel, agent, 3)
        wait_for_batch(passel.client, batch_id)
        lines = iter(response.iter_lines())
        seen = [next(lines) for _ in range(8)]
    assert not any(line.startswith("data:") for line in seen)
    for params in ({"batch_id": batch_id}, {"agent_id": agent}):
        assert passel.http(stranger).get(PATH, params=params).status_code == 403
    place = next(line.removeprefix("id: ") for line in seen if line.startswith("id: "))
    assert passel.http().get(PATH, headers={"Last-Event-ID": place}).status_code == 400


def test_followers_of_all_miss_nothing_when_api_and_database_restart(model: PlayedModel) -> None:
    with scratch_dir() as data:
        passel = Installation(data, 2, {"PASSEL_LANE_CONCURRENCY": "50", "PASSEL_STREAM_HEARTBEAT": "0.3"}).start()
        try:
            agent = passel.deploy(model.url, ["wait-0.1"])
            told: list[tuple[str, int]] = []
            finished = threading.Event()
            breaks = 0

            def follow() -> None:
                nonlocal breaks
                last = "0"
                while not finished.is_set():
                    try:
                        headers = {"Authorization": f"Bearer {KEY}", "Last-Event-ID": last}
                        with httpx2.Client(timeout=30) as client, client.stream("GET", passel.url + PATH, headers=headers) as response:
                            if response.status_code != 200:
                                raise OSError(response.status_code)
                            for event in frames(response.iter_lines()):
                                last = event.get("id", last)
                                if "comment" not in event:
                                    data = event["data"]
                                    told.append((data["session_id"] if "message_id" in data else data["batch_id"], data["sequence_number"]))
                                if finished.is_set():
                                    return
                    except (httpx2.HTTPError, OSError):
                        breaks += 1
                        time.sleep(0.2)

            follower = threading.Thread(target=follow, daemon=True)
            follower.start()
            batches = [batch_of(passel, agent, 150, max_concurrency=10) for _ in range(2)]
            time.sleep(1)
            [api] = passel.children("api")
            api.kill()
            wait_until(lambda: breaks)
            before = len(told)
            wait_until(lambda: len(told) > before)
            passel.children("worker")[0].kill()
            EmbeddedPostgres(passel.data_dir / "postgres").postmaster().kill()
            expected: dict[str, int] = {}
            for batch_id in batches:
                wait_for_batch(passel.client, batch_id)
                for session in passel.client.get(f"/v1/session-batches/{batch_id}")["sessions"]:
                    events = passel.client.get(f"/v1/sessions/{session['session_id']}/events")["events"]
                    expected[session["session_id"]] = events[-1]["sequence_number"]
                with stream(passel, f"/v1/session-batches/{batch_id}/stream") as own:
                    expected[batch_id] = [event["data"]["sequence_number"] for event in own if "comment" not in event][-1]
            wait_until(lambda: len(told) >= sum(expected.values()))
            finished.set()
            assert len(told) == len(set(told)) == sum(expected.values())
            for scope, last in expected.items():
                assert [seq for id, seq in told if id == scope] == list(range(1, last + 1))
        finally:
            passel.stop()


def test_places_are_kept_for_a_while(with_db: Any) -> None:
    async def scenario(db: Database) -> None:
        world = await World(db).start()
        await world.batch(3)
        firehose = Firehose(db, Bell(db), 0.05)
        end = await firehose.start(None)
        assert await firehose.start(Place(1, 1)) == (1, 1)
        world.tick(3600)
        await world.batch(3)
        async with db.read() as c:
            page = await org_ledger.read_page(c, world.org_id, end, 10**6, Wanted())
        assert [entry.told.seq for entry in page.entries] == [1, 2] * 3 + [1]
        async with db.write() as c:
            forgotten = await org_ledger.forget(c, world.now - timedelta(seconds=1), 500)
        assert forgotten == end.n - 2, "but the last of them"
        with pytest.raises(NotFound):
            await firehose.start(Place(1, 1))
        assert await firehose.start(end) == end and await firehose.start(Place(0)) == Place(0)
        world.tick(3600)
        async with db.write() as c:
            await org_ledger.forget(c, world.now, 500)
            with contextlib.suppress(asyncpg.PostgresError):
                async with c.raw.transaction():
                    await draw(c, world)
                    await c.raw.execute("select 1 / 0")
        last = await world.value("select max(n) from org_event")
        await world.batch(1)
        assert await world.value("select n from org_event where n > $1 order by n limit 1", last) > last + 1
        assert await firehose.start(Place(last + 1)) == Place(last + 1), "nothing was missed"
        with pytest.raises(Invalid):
            await firehose.start(Place(end.n + 10_000))
        async with db.read() as c:
            page = await org_ledger.read_page(c, world.org_id, Place(last + 1), 10**6, Wanted())
        assert [entry.told.seq for entry in page.entries] == [1, 2, 1]

    with_db(scenario)
