"""Deleting for good: sessions, batches in steps, what is older than it is to be kept, and the files of all these."""

import asyncio
import contextlib
from datetime import timedelta
from pathlib import Path
from typing import Any

import asyncpg

from passel.blobs import BlobStore
from passel.core.endings import Fail
from passel.core.errors import Conflict
from passel.engine.duties import Deleter, Sweeper
from passel.services import files
from passel.services.deps import Caller, Deps
from passel.services.retention import OldBatches, OldSessions
from passel.services.vault import Vault
from passel.store import attempts, deleting, sessions
from passel.store.creation import BatchWriter, FailedItem
from passel.store.database import Database
from tests.support.installation import Installation, item, played_model, scratch_dir, wait_for_batch, wait_until
from tests.support.worlds import World
from tests.test_bad_input import readable
from tests.test_cancelling import asked
from tests.test_forking import talk
from tests.test_sessions import ended, text
from tests.test_sweeping import DAY, Place, in_a_place

TABLES = ("session", "message", "event", "effect", "idempotency_key", "file_use", "item", "item_try", "batch", "batch_lane")


async def left(world: World) -> dict[str, int]:
    """How many rows each table has that has any."""
    counts = {table: await world.value(f"select count(*) from {table}") for table in TABLES}
    return {table: count for table, count in counts.items() if count}


def test_a_session_goes_with_all_that_is_its_own(passel: Installation, agent: str) -> None:
    http, start = passel.http(), {"type": "user.message", "content": text("short lived")}
    sent = http.post(f"/v1/agents/{agent}/messages", json=start, headers={"Idempotency-Key": "del"}).json()
    session_id, message_id = sent["session"]["id"], sent["message"]["id"]
    ended(passel, message_id)
    assert passel.client.delete(f"/v1/sessions/{session_id}") == {"session_id": session_id, "deleted": True}
    for path in ("", "/events", "/transcript", "/messages"):
        assert http.get(f"/v1/sessions/{session_id}{path}").status_code == 404
    for path in (f"/v1/messages/{message_id}", f"/v1/costs/sessions/{session_id}"):
        assert http.get(path).status_code == 404
    assert http.delete(f"/v1/sessions/{session_id}").status_code == 404
    assert http.post(f"/v1/sessions/{session_id}/events", json=start).status_code == 404
    again = http.post(f"/v1/agents/{agent}/messages", json=start, headers={"Idempotency-Key": "del"})
    assert again.status_code == 202 and again.json()["session"]["id"] != session_id  # the key is free again


def test_what_is_under_way_is_not_deleted(passel: Installation, agent: str) -> None:
    session_id = passel.client.post(f"/v1/agents/{agent}/sessions", {"llm_id": "wait-30"})["id"]
    asked(passel, session_id, "still under way")
    refused = passel.http().delete(f"/v1/sessions/{session_id}")
    assert refused.status_code == 409 and "cancel" in readable(refused)
    passel.client.post(f"/v1/sessions/{session_id}/cancel")
    assert passel.client.delete(f"/v1/sessions/{session_id}")["deleted"]

    made = passel.client.post("/v1/session-batches", {"items": [item(agent, "slow", llm_id="wait-30"), item(agent, "quick")]})
    path, quick = f"/v1/session-batches/{made['batch_id']}", made["sessions"][1]["session_id"]
    refused = passel.http().delete(path)
    assert refused.status_code == 409 and "cancel" in readable(refused)
    of_an_item = passel.http().delete(f"/v1/sessions/{quick}")
    assert of_an_item.status_code == 409 and made["batch_id"] in readable(of_an_item)
    passel.client.post(f"{path}/cancel")
    assert passel.client.delete(path) == {"batch_id": made["batch_id"], "deleted": True}
    for gone in (path, f"{path}/results", f"/v1/sessions/{quick}"):
        assert passel.http().get(gone).status_code == 404
    assert passel.http().delete(path).status_code == 404


def test_a_batch_goes_with_all_its_tries_and_frees_its_key(passel: Installation, agent: str) -> None:
    body = {"idempotency_key": "deleted", "items": [item(agent, "refused", llm_id="status-400"), item(agent, "none", llm_id="nope")]}
    first = wait_for_batch(passel.client, passel.client.post("/v1/session-batches", body)["batch_id"])
    path = f"/v1/session-batches/{first['batch_id']}"
    passel.client.post(f"{path}/retry")
    wait_for_batch(passel.client, first["batch_id"])
    tries = passel.client.get(f"{path}/items/0/tries")["tries"]
    passel.client.delete(path)
    assert len(tries) == 2 and all(passel.http().get(f"/v1/sessions/{t['session_id']}").status_code == 404 for t in tries)
    again = passel.client.post("/v1/session-batches", body)
    assert again["batch_id"] != first["batch_id"] and not passel.client.replayed


def test_a_deletion_is_finished_by_whoever_comes_next(with_db: Any) -> None:
    """Its author stops after any step. The batch has gone from the first one on; others are left alone."""

    async def scenario(db: Database) -> None:
        world = await World(db).start()
        kept = await world.batch(3)
        batch_id = await world.batch(25)
        for claim in await world.claim():
            await world.finish(claim.lease)
        before = await left(world)
        async with db.write() as c:
            assert await deleting.doom_batch(c, batch_id)
            await deleting.delete_some(c, batch_id, 10, world.now, world.capacity, world.announcing)
        assert await world.value("select count(*) from item where batch_id = $1", batch_id) == 15
        await world.check()
        busy = await world.value("select session_id from item where batch_id = $1 limit 1", batch_id)
        async with db.read() as c:
            assert await sessions.find_session(c, busy) is None
        await world.direct_message(busy)  # of one who had looked before the batch was doomed
        [claim] = await world.claim()
        await Deleter(db, lambda: world.now, world.capacity, world.announcing).tick()
        await world.check()
        assert not await world.finish(claim.lease)
        async with db.read() as c:
            assert await attempts.lost_leases(c, [claim.lease]) == {claim.lease.message_id}  # its worker stops working on it
        after = await left(world)
        assert after == {"session": 3, "message": 3, "event": 15, "item": 3, "batch": 1, "batch_lane": 1} and before["event"] == 28 * 5
        assert await world.value("select id from batch") == kept and await world.value("select active from lane") == 0

    with_db(scenario)


def test_a_batch_that_grows_is_not_deleted_under_it(with_db: Any) -> None:
    """Whoever comes to the batch's row first: the other one leaves nothing."""

    async def scenario(db: Database) -> None:
        world = await World(db).start()

        async def doom(batch_id: Any) -> bool:
            async with db.write() as c:
                return await deleting.doom_batch(c, batch_id)

        for grows_first in (True, False):
            batch_id = await world.batch(1)
            [claim] = await world.claim()
            await world.finish(claim.lease, Fail("no"))
            with contextlib.suppress(Conflict):
                async with db.write() as growing:
                    writer = BatchWriter(growing, world.org_id, batch_id, world.kind, world.now)
                    assert await writer.reopen()
                    await writer.add([FailedItem(0, "again", {}, replaces=1), FailedItem(1, "more", {})])
                    if not grows_first:
                        assert await doom(batch_id)
                    assert await writer.end(world.capacity, world.announcing) == grows_first
                    dooming = asyncio.create_task(doom(batch_id))
                    if not grows_first:
                        raise Conflict("nothing of this may stay")
            assert await dooming == grows_first  # it has ended again, and goes with what was added
            await Deleter(db, lambda: world.now, world.capacity, world.announcing).tick()
            assert not await left(world)

    with_db(scenario)


def test_a_deletion_and_a_message_at_once(with_db: Any) -> None:
    """Either the session goes and the message comes too late, or it stays because of it."""

    async def scenario(db: Database) -> None:
        world = await World(db).start()
        ids = [await world.session() for _ in range(20)]
        for session_id in ids:
            await world.turn(session_id)

        async def delete(session_id: Any) -> bool:
            async with db.write() as c:
                return bool(await deleting.delete_if_idle(c, [session_id], world.now))

        async def send(session_id: Any) -> bool:
            async with db.write() as c:
                if await sessions.lock_session(c, session_id) is None:
                    return False
            await world.direct_message(session_id)
            return True

        async def both(session_id: Any) -> None:
            outcomes = await asyncio.gather(delete(session_id), send(session_id), return_exceptions=True)
            assert not any(isinstance(outcome, asyncpg.PostgresError) for outcome in outcomes), outcomes

        await asyncio.gather(*map(both, ids))
        await world.check()
        assert await world.value("select count(*) from session where active_message_id is null") == 0

    with_db(scenario)


def deps_of(world: World) -> Deps:
    return Deps(world.db, BlobStore("memory:///"), lambda: world.now, world.ids, Vault(b"k" * 32), world.capacity, world.announcing)


def test_what_ended_long_ago_goes_where_the_operator_says_so(with_db: Any) -> None:
    async def scenario(db: Database) -> None:
        world = await World(db).start()
        deps = deps_of(world)
        sweeper = Sweeper(db, [OldSessions(deps, timedelta(days=30)), OldBatches(deps, timedelta(days=90))])
        deleter = Deleter(db, deps.clock, world.capacity, world.announcing)
        batch_id = await world.batch(1)
        for claim in await world.claim():
            await world.finish(claim.lease)
        of_the_batch = await world.value("select id from session")
        old, used, busy, empty = [await world.session() for _ in range(4)]
        for session_id in (old, used):
            await world.turn(session_id)
        await world.direct_message(busy)
        assert len(await world.claim()) == 1

        async def sweep(days: float) -> set[str]:
            world.now += timedelta(days=days)
            await sweeper.tick()
            await deleter.tick()
            await world.check()
            return {row["id"] for row in await world.rows("select id from session")}

        assert await sweep(29) == {old, used, busy, empty, of_the_batch}
        await world.turn(used)
        assert await sweep(2) == {used, busy, of_the_batch}
        assert await sweep(27) == {used, busy, of_the_batch}
        assert await sweep(2) == {busy, of_the_batch}
        assert await world.value("select id from batch") == batch_id
        assert await sweep(31) == {busy} and await world.value("select count(*) from batch") == 0

    with_db(scenario)


def test_a_batch_whose_session_is_in_use_is_not_swept(with_db: Any) -> None:
    async def scenario(db: Database) -> None:
        world = await World(db).start()
        await world.batch(2)
        claims = await world.claim()
        for claim in claims:
            await world.finish(claim.lease)
        await world.direct_message(claims[0].lease.session_id)
        world.now += timedelta(days=2)
        async with db.write() as c:
            assert await deleting.doom_old_batches(c, world.now, world.now, 10) == []
        [claim] = await world.claim()
        await world.finish(claim.lease)
        async with db.write() as c:
            assert len(await deleting.doom_old_batches(c, world.now, world.now, 10)) == 1

    with_db(scenario)


def test_a_killed_deletion_goes_on_after_a_restart() -> None:
    """More sessions than the request itself deletes, nobody who could go on, and a SIGKILL. What is past its time goes, too."""
    with scratch_dir() as directory, played_model() as model:
        passel = Installation(directory, 1).start()
        agent = passel.deploy(model.url, ["echo"])
        file_id = passel.http().post("/v1/files", files={"file": ("a.txt", b"words")}).json()["id"]
        lines = [item(agent, f"many {n}") for n in range(1200)]
        lines[-1]["message"]["content"].append({"type": "file", "file_id": file_id})
        made = passel.client.post("/v1/session-batches", {"items": lines})
        wait_for_batch(passel.client, made["batch_id"])
        talk(passel, agent, "an old session")
        wait_for_batch(passel.client, passel.client.post("/v1/session-batches", {"items": [item(agent, "of an old batch")]})["batch_id"])
        assert passel.stop() == 0

        passel.workers = 0
        passel.start()
        path = f"/v1/session-batches/{made['batch_id']}"
        assert passel.client.delete(path) == {"batch_id": made["batch_id"], "deleted": True}
        assert passel.http().get(path).status_code == 404 and len(passel.client.get("/v1/sessions")["sessions"]) == 2
        assert rows_of(passel, "session") == 202
        passel.program.kill()

        passel.workers = 1
        passel.settings |= {"PASSEL_SESSION_RETENTION_DAYS": "0.000001", "PASSEL_BATCH_RETENTION_DAYS": "0.000001"}
        passel.start()
        wait_until(lambda: not rows_of(passel, "batch"))
        assert [rows_of(passel, table) for table in TABLES] == [0] * len(TABLES)
        assert passel.stop() == 0


def rows_of(passel: Installation, table: str) -> int:
    async def count() -> int:
        connection = await asyncpg.connect(passel.database_url())
        try:
            return await connection.fetchval(f"select count(*) from {table}")
        finally:
            await connection.close()

    return asyncio.run(count())


def test_a_file_stays_with_the_last_that_names_it(with_db: Any, tmp_path: Path) -> None:
    """A session, its fork, and an item that could not be made, of a batch."""

    async def scenario(place: Place, caller: Caller) -> None:
        world = World(place.deps.db, org_id=caller.org_id, ids=place.deps.ids)
        world.worker = await world.new_worker()
        file = (await files.upload(place.deps, caller, "f", b"x")).id
        session_id = await world.session()
        await world.turn(session_id, file)
        other = await world.session()
        await world.turn(other, file)
        batch_id = world.ids.batch()
        async with place.deps.db.write() as c:
            writer = BatchWriter(c, caller.org_id, batch_id, "agent", world.now)
            await writer.begin("agt_1", None, "digest", None)
            await writer.add([FailedItem(0, "no such option", {}, file_ids=(file,))])
            await writer.end(world.capacity, world.announcing)
        for holder in (session_id, batch_id, other):
            place.now += 2 * DAY
            await place.sweeper.tick()
            assert await place.known(caller.org_id, file) == {file} and place.stored() == 1, holder
            if holder == batch_id:
                assert await world.delete_batch(batch_id)
            else:
                async with place.deps.db.write() as c:
                    assert await deleting.delete_if_idle(c, [holder], place.now) == [holder]
            await world.check()
        await place.sweeper.tick()
        assert place.stored() == 1
        place.now += 2 * DAY
        await place.sweeper.tick()
        assert await place.known(caller.org_id, file) == set() and place.stored() == 0

    in_a_place(with_db, tmp_path, scenario)


def test_a_forks_files_stay_with_it(passel: Installation, agent: str) -> None:
    file_id = passel.http().post("/v1/files", files={"file": ("a.txt", b"the words of the file")}).json()["id"]
    session_id = talk(passel, agent)
    body = {"type": "user.message", "content": [*text("read"), {"type": "file", "file_id": file_id}]}
    ended(passel, passel.client.post(f"/v1/sessions/{session_id}/events", body)["message"]["id"])
    fork = passel.client.post(f"/v1/sessions/{session_id}/fork")
    passel.client.delete(f"/v1/sessions/{session_id}")
    holders = asyncio.run(holders_of(passel, file_id))
    assert holders == [fork["id"]]
    assert ended(passel, asked(passel, fork["id"], "and again"))["status"] == "completed"


async def holders_of(passel: Installation, file_id: str) -> list[str]:
    connection = await asyncpg.connect(passel.database_url())
    try:
        return [row[0] for row in await connection.fetch("select holder_id from file_use where file_id = $1", file_id)]
    finally:
        await connection.close()
