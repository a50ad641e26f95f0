"""Receivers of webhooks that are down, slow, endless, redirecting, refusing, or inside. The clock is the test's."""

import socket
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from aiohttp.abc import AbstractResolver, ResolveResult

from passel.core.errors import Unprocessable
from passel.core.webhook.retry import PAUSES
from passel.store.database import Database
from tests.support.offices import AGENT, Office, an_office, in_an_office
from tests.support.receiver import Receiver, Reply


def test_a_receiver_that_is_down_for_hours_is_told_when_it_is_up(with_db: Any) -> None:
    async def scenario(office: Office, got: Receiver) -> None:
        world, begun = office.world, office.world.now
        got.close()
        session_id, _ = await office.turn()
        await office.deliver()
        while world.now < begun + timedelta(hours=1):
            world.tick(60)
            await office.deliver()
        waiting = next(read for read in await office.log() if read.delivery.type == "session.completed")
        assert waiting.delivery.status == "pending" and 5 <= len(waiting.tries) <= 7 and waiting.tries[-1].data["status"] is None
        assert waiting.delivery.wake_at is not None and world.now < waiting.delivery.wake_at < world.now + timedelta(hours=3)
        got.open()
        await office.until_nothing_waits(8)
        arrived = {one.body["type"]: one.id for one in got.got}
        assert arrived["session.completed"] == waiting.delivery.id and "batch.completed" in arrived
        assert len(got.got) == 2 and {read.delivery.status for read in await office.log()} == {"delivered"}
        assert await office.told(session_id, "webhook.delivery_failed") == []

    in_an_office(with_db, scenario)


def test_what_fails_for_good_is_tried_eight_times_and_the_session_is_told(with_db: Any) -> None:
    async def scenario(office: Office, got: Receiver) -> None:
        got.reply = lambda one: Reply(500, body=b"oh no")
        begun = office.world.now
        session_id, _ = await office.turn()
        assert await office.until_nothing_waits() == 16  # of the session and of its batch
        took = (office.world.now - begun).total_seconds()
        assert 0.8 * sum(PAUSES) <= took <= 1.2 * sum(PAUSES)
        bodies = [one.body for one in got.got if one.body["type"] == "session.completed"]
        assert len(bodies) == 8 and all(body == bodies[0] for body in bodies)
        [told] = await office.told(session_id, "webhook.delivery_failed")
        assert told == {
            "webhook_id": bodies[0]["id"], "event_type": "session.completed", "attempt": 8, "final": True, "status_code": 500,
            "error": "HTTP 500",
        }  # fmt: skip
        read = await office.log(status="failed")
        assert len(read) == 2 and [tried.data["error"] for tried in read[0].tries] == ["HTTP 500"] * 8
        pauses = [(b.created_at - a.created_at).total_seconds() for a, b in zip(read[0].tries, read[0].tries[1:], strict=False)]
        assert all(0.8 * p <= pause <= 1.2 * p + 1 for p, pause in zip(PAUSES, pauses, strict=True)), pauses

    in_an_office(with_db, scenario)


FAULTS: dict[str, tuple[Reply, str]] = {
    "hang": (Reply(wait=30), "no complete answer within 0.5 s"),
    "late": (Reply(wait=0.8), "no complete answer within 0.5 s"),
    "drip": (Reply(drip=0.8), "no complete answer within 0.5 s"),
    "redirect": (Reply(302, {"Location": "/elsewhere"}), "redirects are not followed"),
    "permanent redirect": (Reply(308, {"Location": "/elsewhere"}), "redirects are not followed"),
    "refusal": (Reply(401), "HTTP 401"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_an_answer_that_is_none_is_tried_again(with_db: Any, fault: str) -> None:
    reply, said = FAULTS[fault]

    async def scenario(office: Office, got: Receiver) -> None:
        await office.configure(got.url, ["session.completed"])
        got.reply = lambda one: reply
        await office.turn()
        await office.deliver()
        [read] = await office.log()
        assert read.delivery.status == "pending" and said in read.tries[0].data["error"]
        got.reply = lambda one: Reply(204, body=b"")
        await office.until_nothing_waits(1)
        [read] = await office.log()
        assert read.delivery.status == "delivered" and len(got.got) == 2 == len(read.tries)
        assert {one.path for one in got.got} == {"/hook"} and got.got[0].raw == got.got[1].raw

    in_an_office(with_db, scenario, timeout=0.5)


def test_a_long_answer_is_read_no_further_than_it_matters(with_db: Any) -> None:
    async def scenario(office: Office, got: Receiver) -> None:
        got.reply = lambda one: Reply(200, {"Content-Encoding": "gzip"}, body=b"x" * 10_000_000)
        await office.turn()
        await office.deliver()
        assert {read.delivery.status for read in await office.log()} == {"delivered"}

    in_an_office(with_db, scenario)


def test_410_ends_a_delivery_and_a_receiver_may_ask_for_time(with_db: Any) -> None:
    async def scenario(office: Office, got: Receiver) -> None:
        await office.configure(got.url, ["session.completed"])
        got.reply = lambda one: Reply(410)
        session_id, _ = await office.turn()
        assert await office.until_nothing_waits() == 1
        assert (await office.told(session_id, "webhook.delivery_failed"))[0]["status_code"] == 410
        got.reply = lambda one: Reply(503, {"Retry-After": "7200"})
        await office.turn()
        await office.deliver()
        [read, _] = await office.log()  # the webhook goes on
        assert read.delivery.wake_at == office.world.now + timedelta(hours=2)
        got.reply = lambda one: Reply(429, {"Retry-After": "9999999"})
        office.world.now = read.delivery.wake_at
        await office.deliver()
        [read, _] = await office.log()
        assert read.delivery.wake_at == office.world.now + timedelta(hours=24)

    in_an_office(with_db, scenario)


class PlayedDns(AbstractResolver):
    """The far end of a name that moves inside once its webhook is configured."""

    async def resolve(self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET) -> list[ResolveResult]:
        return [ResolveResult(hostname=host, host="127.0.0.1", port=port, family=socket.AF_INET, proto=0, flags=0)]

    async def close(self) -> None: ...


def test_a_name_that_leads_inside_at_delivery_only_is_not_followed(with_db: Any) -> None:
    async def scenario(office: Office, got: Receiver) -> None:
        port = got.url.split(":")[2]
        for url in (f"http://hooks.example.com:{port}", f"http://127.0.0.1:{port}", f"http://[::ffff:127.0.0.1]:{port}"):
            await office.configure(url, ["session.completed"])
            await office.turn()
            await office.deliver()
            [read, *_] = await office.log()
            assert read.delivery.status == "pending" and "private address" in read.tries[0].data["error"]
        assert got.got == []

    in_an_office(with_db, scenario, private=False, resolver=PlayedDns)


def test_private_addresses_are_refused_when_configured(with_db: Any) -> None:
    async def go(db: Database) -> None:
        async with an_office(db) as office:
            office.deps = replace(office.deps, allow_private_urls=False)
            for url in ("https://127.0.0.1/", "https://localhost/x", "https://[::1]/", "https://2130706433/", "https://10.1.2.3/"):
                with pytest.raises(Unprocessable, match="leads to a private address") as refused:
                    await office.configure(url)
                assert refused.value.errors[0].loc == "url"
            with pytest.raises(Unprocessable, match="https://"):
                await office.configure("http://example.com/")
            with pytest.raises(Unprocessable, match="does not resolve"):
                await office.configure("https://nowhere.invalid/")
            assert await office.world.value("select count(*) from webhook") == 0

    with_db(go)


def test_a_receiver_that_hangs_slows_no_other(with_db: Any) -> None:
    """In each round the hanging one holds its own lane's places and no more, and the other is told everything at once."""

    async def scenario(office: Office, got: Receiver) -> None:
        world = office.world
        order: list[str] = []
        got.reply = lambda one: (order.append(one.path), Reply(wait=2 if one.path == "/dead" else 0))[1]
        base = got.url.removesuffix("/hook")
        await office.configure(f"{base}/dead", ["session.completed"])
        await office.configure(f"{base}/alive", ["session.completed"], "agt_2")
        for subject in (AGENT, "agt_2"):
            await world.batch(12, subject=subject)
            for claim in await world.claim(12):
                await world.finish(claim.lease)
        await office.deliver()
        rounds = "select d.subject_id, m.state, count(*) as n from delivery d join message m on m.id = d.message_id group by 1, 2"
        assert {(row["subject_id"], row["state"], row["n"]) for row in await world.rows(rounds)} == {
            (AGENT, "delayed", 12),
            ("agt_2", "completed", 12),
        }
        # those that hang stood before the others, and came two by two
        assert order[:4].count("/dead") == 2 and order.index("/alive") < 4
        last = max(at for at, path in enumerate(order) if path == "/alive")
        assert order[last:].count("/dead") >= 1

    in_an_office(with_db, scenario, timeout=0.3, width=2)
