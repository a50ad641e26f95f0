"""Webhooks with a clock that the test owns: what is told, how often, and what a receiver can rely on."""

import asyncio
import random
from datetime import timedelta
from typing import Any

import pytest

from passel.core.context import Step
from passel.core.endings import Done, Fail
from passel.core.webhook.events import delivery_failed
from passel.faces.dari.signatures import SIGNATURE, SIGNATURE_V2, verify
from passel.services import webhooks
from passel.store import attempts, cancelling, deleting
from passel.store.creation import BatchWriter, FailedItem
from passel.store.database import Database
from tests.support.offices import AGENT, ALL, Office, an_office, in_an_office
from tests.support.receiver import Receiver, Reply, receiver


def test_all_six_types_arrive_signed(with_db: Any) -> None:
    async def scenario(office: Office, got: Receiver) -> None:
        world = office.world
        await world.batch(2)
        asking, other = [claim.lease for claim in await world.claim(2)]
        call = await office.ask_tool(asking)
        await office.deliver()
        again = await office.answer_tool(asking, call)
        await world.finish(again, Done({"text": "found"}))
        await world.finish(other, Fail("no"))
        await office.turn()
        await office.turn(Fail("wrong"))
        await office.deliver()
        types = [one.body["type"] for one in got.got]
        assert sorted(set(types)) == ALL and len(types) == 8
        for one in got.got:
            body = one.body
            assert verify(office.secret, one.headers[SIGNATURE], one.raw) and not verify("whsec_other", one.headers[SIGNATURE], one.raw)
            assert one.headers[SIGNATURE_V2].startswith(f"t={int(world.now.timestamp())},v2=")
            assert one.headers["Dari-Webhook-Event"] == body["type"] and one.id == body["id"] and one.id.startswith("whk_")
            assert body["agent_id"] == body["data"]["agent_id"] == AGENT
            for name in ("session_id", "batch_id"):
                assert body.get(name) == body["data"].get(name)
        asked = got.got[0].body
        assert asked["data"]["tool_call_id"] == "call_1" and asked["data"]["arguments"] == {"query": "x"}
        assert asked["data"]["event_id"] == f"{asked['session_id']}:evt_{asked['data']['sequence_number']}"
        mine = [one.body for one in got.got if one.body.get("session_id") == asking.session_id]
        assert [(b["type"], b["sequence"]) for b in mine] == [("tool.call_requested", 1), ("session.completed", 2)]
        ended = mine[1]["data"]
        assert (ended["status"], ended["last_message_status"], ended["last_message_id"]) == ("idle", "completed", asking.message_id)
        [partial] = [one.body for one in got.got if one.body["type"] == "batch.partial_failed"]
        assert partial["data"]["counts"] == {"queued": 0, "running": 0, "completed": 1, "failed": 1}
        assert [item["status"] for item in partial["data"]["sessions"]] == ["completed", "failed"] and partial["sequence"] == 1
        [failed] = [one.body for one in got.got if one.body["type"] == "session.failed" and one.body["data"]["error"] == "wrong"]
        assert failed["data"]["transcript_url"].endswith("/transcript")
        assert {read.delivery.status for read in await office.log()} == {"delivered"}

    in_an_office(with_db, scenario)


def test_only_the_last_message_in_line_ends_a_session(with_db: Any) -> None:
    async def scenario(office: Office, got: Receiver) -> None:
        await office.world.batch(1)
        first = await office.claim_turn()
        await office.world.direct_message(first.session_id)
        await office.world.finish(first, Fail("first"))
        second = await office.claim_turn()
        await office.world.finish(second, Done({"text": "second"}))
        await office.deliver()
        told = [(one.body["type"], one.body.get("sequence")) for one in got.got if "session_id" in one.body]
        assert told == [("session.completed", 1)]

    in_an_office(with_db, scenario)


def test_a_batch_is_told_each_time_that_its_last_item_ends(with_db: Any) -> None:
    """Also when nothing of it could be made, and when it is cancelled."""

    async def scenario(office: Office, got: Receiver) -> None:
        world, batch_id = office.world, office.world.ids.batch()
        async with world.db.write() as c:
            writer = BatchWriter(c, world.org_id, batch_id, "agent", world.now)
            await writer.begin(AGENT, None, "digest", None)
            await writer.add([FailedItem(0, "no such version", {})])
            await writer.end(world.capacity, world.announcing)
        await office.deliver()
        async with world.db.write() as c:
            writer = BatchWriter(c, world.org_id, batch_id, "agent", world.now)
            assert await writer.reopen()
            lane = await world.lane()
            item = world.item(1, "model/openai::server", lane)
            await writer.add([item])
            assert await writer.end(world.capacity, world.announcing)
        await world.finish(await office.claim_turn())
        await office.deliver()
        told = [one.body for one in got.got if one.body.get("batch_id") == batch_id]
        assert [(b["type"], b["sequence"]) for b in told] == [("batch.failed", 1), ("batch.partial_failed", 2)]
        assert told[0]["data"]["sessions"][0]["error"] == "no such version"

        cancelled = await world.batch(3)
        async with world.db.write() as c:
            await cancelling.request_cancel(c, cancelled, world.now)
            assert await cancelling.cancel_some(c, cancelled, 10, world.now, world.capacity, world.announcing) == 3
        await office.deliver()
        [one] = [one.body for one in got.got if one.body.get("batch_id") == cancelled]
        assert one["type"] == "batch.failed" and one["data"]["counts"]["failed"] == 3

    in_an_office(with_db, scenario)


@pytest.mark.parametrize("overlap", [0, 600])
def test_a_rotated_secret_signs_at_once(with_db: Any, overlap: int) -> None:
    async def scenario(office: Office, got: Receiver) -> None:
        await office.configure(got.url, ["session.completed"])
        old = office.secret
        assert (await office.configure(got.url, ["session.completed"])).secret is None  # a change keeps it
        new = (await webhooks.rotate(office.deps, AGENT)).secret or ""
        await office.turn()
        await office.deliver()
        [one] = got.got
        assert verify(new, one.headers[SIGNATURE], one.raw) and verify(old, one.headers[SIGNATURE], one.raw) == bool(overlap)
        office.world.tick(overlap)
        await office.turn()
        await office.deliver()
        last = got.got[-1]
        assert verify(new, last.headers[SIGNATURE], last.raw) and "," not in last.headers[SIGNATURE]

    in_an_office(with_db, scenario, overlap=overlap)


def test_sequences_have_no_gaps_and_the_watermark_never_falls(with_db: Any) -> None:
    async def scenario(office: Office, got: Receiver) -> None:
        rng = random.Random(5)
        got.reply = lambda one: Reply(rng.choice([200, 200, 500, 503, 410]))
        world = office.world
        await world.batch(4)
        leases = [claim.lease for claim in await world.claim(4)]
        for n in range(12):
            for at, lease in enumerate(leases):
                call = await office.ask_tool(lease, f"call_{n}_{at}")
                leases[at] = await office.answer_tool(lease, call)
            world.tick(rng.choice([1, 40, 400]))
            await office.deliver()
        for lease in leases:
            await world.finish(lease, Done({"text": "done"}))
        await office.until_nothing_waits()
        watermarks: dict[str, int] = {}
        for one in got.got:
            scope = one.body.get("session_id") or one.body["batch_id"]
            assert one.body["watermark"] >= watermarks.get(scope, 0)
            watermarks[scope] = one.body["watermark"]
        for lease in leases:
            numbers = {one.body["sequence"]: one.id for one in got.got if one.body.get("session_id") == lease.session_id}
            assert sorted(numbers) == list(range(1, 14)) and len(set(numbers.values())) == 13
            scoped = [read.delivery for read in await office.log() if read.delivery.scope_id == lease.session_id]
            assert sorted(one.sequence for one in scoped) == list(range(1, 14)) and "pending" not in {one.status for one in scoped}
        assert "superseded" in {read.delivery.status for read in await office.log()}

    in_an_office(with_db, scenario)


def test_deliveries_are_made_again_one_by_one_and_by_span(with_db: Any) -> None:
    async def scenario(office: Office, got: Receiver) -> None:
        world = office.world
        await office.configure(got.url, ["session.completed"])
        got.reply = lambda one: Reply(410)
        await office.turn()
        await office.deliver()
        [lost] = await office.log()
        assert lost.delivery.status == "failed"
        got.reply = lambda one: Reply()
        world.tick(60)
        since = world.now
        for _ in range(3):
            await office.turn()
            world.tick(10)
        await office.deliver()
        again = await webhooks.redeliver(office.deps, AGENT, lost.delivery.id)
        assert again.delivery.status == "pending"
        await office.deliver()
        [*_, found] = await office.log()
        assert found.delivery.status == "delivered" and [t.message_number for t in found.tries] == [1, 2]
        assert got.got[0].raw == got.got[-1].raw.replace(b'"watermark":1', b'"watermark":0') and got.got[0].id == got.got[-1].id
        count = len(got.got)
        spanned = await webhooks.redeliver_span(office.deps, AGENT, since, since + timedelta(seconds=20), None)
        assert (spanned.count, spanned.next_after) == (2, None)
        await office.deliver()
        assert len(got.got) == count + 2
        # one that waits for its next try has it now, and no second message
        got.reply = lambda one: Reply(500)
        await office.turn()
        await office.deliver()
        [waiting, *_] = await office.log()
        got.reply = lambda one: Reply()
        await webhooks.redeliver(office.deps, AGENT, waiting.delivery.id)
        assert await office.deliver() == 1
        [done, *_] = await office.log()
        assert done.delivery.status == "delivered" and [t.message_number for t in done.tries] == [1, 1]

    in_an_office(with_db, scenario)


def test_a_deleted_webhook_drops_what_waits_and_says_so(with_db: Any) -> None:
    async def scenario(office: Office, got: Receiver) -> None:
        got.reply = lambda one: Reply(500)
        session_id, _ = await office.turn()
        await office.deliver()
        assert len(got.got) == 2
        await webhooks.delete(office.deps, AGENT)
        await webhooks.delete(office.deps, AGENT)
        await office.configure(got.url)  # another one, which is not told what was meant for the first
        got.reply = lambda one: Reply()
        assert await office.deliver() == 2 and len(got.got) == 2
        [told] = await office.told(session_id, "webhook.delivery_failed")
        assert told["final"] and told["attempt"] == 1 and "deleted" in told["error"]
        await office.turn()
        await office.deliver()
        assert len(got.got) == 4
        sequences = [read.delivery.sequence for read in await office.log() if read.delivery.scope_id == session_id]
        assert sequences == [1]

    in_an_office(with_db, scenario)


def test_a_pending_delivery_goes_where_the_webhook_leads_now(with_db: Any) -> None:
    async def scenario(office: Office, got: Receiver) -> None:
        got.reply = lambda one: Reply(500)
        await office.turn()
        await office.deliver()
        await office.configure(got.url.replace("/hook", "/moved"))
        got.reply = lambda one: Reply()
        await office.until_nothing_waits(1)
        assert [one.path for one in got.got] == ["/hook", "/hook", "/moved", "/moved"]

    in_an_office(with_db, scenario)


def test_a_call_that_was_answered_is_not_announced_again(with_db: Any) -> None:
    async def scenario(office: Office, got: Receiver) -> None:
        await office.configure(got.url, ["tool.call_requested"])
        got.reply = lambda one: Reply(500)
        await office.world.batch(1)
        lease = await office.claim_turn()
        call = await office.ask_tool(lease)
        await office.deliver()
        await office.answer_tool(lease, call)
        await office.until_nothing_waits(1)
        [read] = await office.log()
        assert read.delivery.status == "superseded" and len(got.got) == 1
        assert await office.told(lease.session_id, "webhook.delivery_failed") == []

    in_an_office(with_db, scenario)


def test_a_worker_that_dies_after_telling_the_session_tells_it_once(with_db: Any) -> None:
    async def scenario(office: Office, got: Receiver) -> None:
        await office.configure(got.url, ["session.completed"])
        got.reply = lambda one: Reply(410)
        session_id, _ = await office.turn()
        desk = office.attempts.workloads["webhook"].desk  # type: ignore[attr-defined]
        [read] = await office.log()
        for _ in range(2):
            await desk.tell_of_failure(read.delivery.id, delivery_failed(read.delivery.id, "session.completed", 1, 410, "HTTP 410"))
        await asyncio.gather(*(desk.tell_of_failure(read.delivery.id, delivery_failed("x", "y", 1, 410, "z")) for _ in range(4)))
        await office.deliver()
        assert len(await office.told(session_id, "webhook.delivery_failed")) == 1

    in_an_office(with_db, scenario)


def test_without_a_webhook_nothing_is_written(with_db: Any) -> None:
    async def go(db: Database) -> None:
        async with an_office(db) as office:
            await office.turn()
            await office.turn(Fail("no"))
            assert await office.world.value("select count(*) from delivery") == 0
            assert await office.world.value("select count(*) from session where kind = 'webhook'") == 0
            lane = await office.world.value("select count(*) from lane")
            with receiver() as got:
                await office.configure(got.url, ["batch.failed"])
                await office.turn()
                assert await office.world.value("select count(*) from delivery") == 0
            assert await office.world.value("select count(*) from lane") == lane + 1

    with_db(go)


def test_a_zombie_of_a_delivery_writes_nothing(with_db: Any) -> None:
    async def scenario(office: Office, got: Receiver) -> None:
        await office.configure(got.url, ["session.completed"])
        await office.turn()
        async with office.world.db.write() as c:
            [claim] = await attempts.claim(c, "webhook", 1, office.world.worker, office.world.now, office.world.capacity)
        await office.world.lose(claim.lease)
        assert not await office.world.step(claim.lease, Step(ending=Done({"outcome": "delivered"})), number=9)

    in_an_office(with_db, scenario)


def test_deliveries_go_by_age_and_are_counted_on(with_db: Any) -> None:
    """Retention removes a delivery with its log, and its row but for the last one of what is still there."""

    async def scenario(office: Office, got: Receiver) -> None:
        world = office.world
        session_id = await world.session()

        async def turn() -> None:
            await world.turn(session_id)
            await office.deliver()

        async def forget() -> None:
            world.tick(86400)
            async with world.db.write() as c:
                old = [id for id in await deleting.old_sessions(c, world.now, 100) if id.startswith("whk")]
                assert len(await deleting.delete_if_idle(c, old, world.now, world.now)) == len(old)

        async def left() -> list[int]:
            return [row["sequence"] for row in await world.rows("select sequence from delivery order by sequence")]

        for _ in range(3):
            await turn()
        await forget()
        assert await left() == [3] and await office.log() == []
        await turn()
        assert got.got[-1].body["sequence"] == got.got[-1].body["watermark"] + 1 == 4
        assert await left() == [3, 4]
        await forget()
        assert await left() == [4]
        async with world.db.write() as c:
            assert await deleting.delete_if_idle(c, [session_id], world.now) == [session_id]
        assert await left() == []
        await turn_of_another(office)
        async with world.db.write() as c:
            both = [row["id"] for row in await c.raw.fetch("select id from session")]
            await deleting.delete_if_idle(c, both, world.now)
        assert await left() == []

    async def turn_of_another(office: Office) -> None:
        await office.world.turn(await office.world.session())
        await office.deliver()

    in_an_office(with_db, scenario)
