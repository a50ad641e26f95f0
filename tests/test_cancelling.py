"""Ending one message, or all of a session: in every state, against its own completion, and while a model is being asked."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from passel.core.context import Step
from passel.core.endings import Done, Retry, Wait
from passel.core.ids import SessionId
from passel.store import attempts, cancelling, sessions
from passel.store.database import Database
from tests.support.installation import Installation, PlayedModel, item, wait_for_batch, wait_until
from tests.support.worlds import World
from tests.test_sessions import ended, text

Make = Callable[[World], Awaitable[str]]


async def held(world: World) -> str:
    await world.batch(2, cap=1)
    return await world.value("select id from message where state = 'held'")


async def lined(world: World) -> str:
    await world.batch(1)
    return await world.direct_message(SessionId(await world.value("select id from session")))


async def ready(world: World) -> str:
    await world.batch(1)
    return (await world.ready())[0]


async def running(world: World) -> str:
    await world.batch(1)
    [claim] = await world.claim()
    await world.step(claim.lease, Step(began=(world.effect(), world.effect(2))))
    return claim.lease.message_id


async def suspect(world: World) -> str:
    await world.batch(1)
    [claim] = await world.claim()
    await world.lose(claim.lease)
    return claim.lease.message_id


async def waiting(world: World) -> str:
    await world.batch(1)
    [claim] = await world.claim()
    await world.finish(claim.lease, Wait(None, "a tool"))
    return claim.lease.message_id


async def delayed(world: World) -> str:
    await world.batch(1)
    [claim] = await world.claim()
    await world.finish(claim.lease, Retry(world.now, "busy"))
    return claim.lease.message_id


@pytest.mark.parametrize("make", [held, lined, ready, running, suspect, waiting, delayed], ids=lambda make: make.__name__)
def test_a_message_is_cancelled_in_every_state(with_db: Any, make: Make) -> None:
    async def scenario(db: Database) -> None:
        world = await World(db).start()
        victim = await make(world)
        [before] = await world.rows("select * from message where id = $1", victim)
        assert before["state"] == make.__name__
        await world.cancel_message(victim)
        await world.check()
        [after] = await world.rows("select * from message where id = $1", victim)
        assert (after["state"], after["error"], after["attempt"]) == ("failed", "cancelled", before["attempt"]) and after["cancelled"]
        assert await world.value("select coalesce(sum(cancelled), 0) from batch") == (make is not lined)
        told = await world.rows("select type, data from event where message_id = $1 order by seq", victim)
        assert told[-1]["data"] == {"state": "failed", "previous": make.__name__, "attempt": before["attempt"], "error": "cancelled"}
        in_doubt = 2 if make is running else 0
        assert sum(event["type"] == "effect.in_doubt" for event in told) == in_doubt
        assert await world.value("select count(*) from effect where state = 'in_doubt'") == in_doubt
        await world.cancel_message(victim)  # nothing more happens to what has ended
        assert await world.rows("select * from message where id = $1", victim) == [after]
        await world.check()

    with_db(scenario)


def test_who_is_cancelled_writes_nothing_and_the_next_in_line_goes_on(with_db: Any) -> None:
    async def scenario(db: Database) -> None:
        world = await World(db).start()
        await world.batch(1)
        [first] = await world.claim()
        second = await world.direct_message(first.lease.session_id)
        third = await world.direct_message(first.lease.session_id)
        await world.cancel_message(third)  # the last in line: the session goes on
        await world.check()
        await world.cancel_message(first.lease.message_id)
        await world.check()
        assert await world.ready() == [second]
        assert not await world.finish(first.lease, number=99)
        async with db.read() as c:
            assert await attempts.lost_leases(c, [first.lease]) == {first.lease.message_id}
        [claim] = await world.claim()
        await world.finish(claim.lease)
        await world.check()
        async with db.read() as c:
            session = await sessions.find_session(c, first.lease.session_id)
        assert session is not None and session.status == "idle"

    with_db(scenario)


def test_a_session_ends_all_that_it_has(with_db: Any) -> None:
    async def scenario(db: Database) -> None:
        world = await World(db).start()
        await world.batch(1)
        [claim] = await world.claim()
        session_id = claim.lease.session_id
        await world.step(claim.lease, Step(began=(world.effect(),)))
        for _ in range(3):
            await world.direct_message(session_id)
        async with db.write() as c:
            assert await cancelling.cancel_session(c, session_id, world.now, world.capacity, world.announcing)
        await world.check()
        assert await world.value("select count(*) from message where cancelled and state = 'failed'") == 4
        idle = await world.rows("select seq from event where type = 'session.state' and data ->> 'state' = 'idle'")
        assert idle == await world.rows("select last_seq as seq from session")
        assert await world.value("select cancelled from batch") == 1 and await world.value("select state from batch") == "done"
        async with db.write() as c:
            assert await cancelling.cancel_session(c, session_id, world.now, world.capacity, world.announcing)
        assert await world.rows("select last_seq as seq from session") == idle
        again = await world.direct_message(session_id)
        assert await world.ready() == [again]
        await world.check()

    with_db(scenario)


def test_a_cancellation_and_a_completion_at_once_are_one_end(with_db: Any) -> None:
    """Either wins; the ledger and the counts say one thing. `check` knows of messages that ended twice."""

    async def scenario(db: Database) -> None:
        world = await World(db).start()
        await world.batch(40)
        claims = await world.claim()
        for claim in claims[::2]:
            await world.direct_message(claim.lease.session_id)

        async def cancel(session_id: str, message_id: str, whole: bool) -> None:
            done = False
            while not done:
                async with db.write() as c:
                    message = await sessions.find_message(c, message_id)
                    assert message is not None
                    args = (world.now, world.capacity, world.announcing)
                    done = await (
                        cancelling.cancel_session(c, session_id, *args) if whole else cancelling.cancel_message(c, message, *args)
                    )

        async def both(n: int, claim: Any) -> None:
            work = [world.finish(claim.lease, Done()), cancel(claim.lease.session_id, claim.lease.message_id, n % 3 == 0)]
            await asyncio.gather(*(work if n % 2 else work[::-1]))

        await asyncio.gather(*(both(n, claim) for n, claim in enumerate(claims)))
        await world.check()
        [counts] = await world.rows("select queued, running, completed + failed as ended, cancelled = failed as same from batch")
        assert counts == {"queued": 0, "running": 0, "ended": 40, "same": True}

    with_db(scenario)


def asked(passel: Installation, session_id: str, words: str) -> str:
    path = f"/v1/sessions/{session_id}/events"
    return passel.client.post(path, {"type": "user.message", "content": text(words)})["message"]["id"]


def test_a_call_in_flight_is_given_up(passel: Installation, model: PlayedModel, agent: str) -> None:
    before = model.state()["in_flight"]
    session_id = passel.client.post(f"/v1/agents/{agent}/sessions", {"llm_id": "wait-30"})["id"]
    message_id = asked(passel, session_id, "never answered")
    wait_until(lambda: model.calls().get("never answered"))
    cancelled = passel.client.post(f"/v1/messages/{message_id}/cancel")
    assert cancelled["status"] == "failed" and cancelled["output"] == {"parts": [], "error": "cancelled"}
    assert cancelled == passel.client.get(f"/v1/messages/{message_id}") == passel.client.post(f"/v1/messages/{message_id}/cancel")
    wait_until(lambda: model.state()["in_flight"] == before, 10)  # the worker has hung up
    bill = passel.client.get(f"/v1/costs/sessions/{session_id}")
    assert (bill["calls"], bill["in_doubt_calls"]) == (1, 1)
    kinds = [event["type"] for event in passel.client.get(f"/v1/sessions/{session_id}/events")["events"]]
    assert kinds[-3:] == ["model.call_in_doubt", "message.status_changed", "session.status_changed"]
    assert passel.client.get(f"/v1/sessions/{session_id}")["last_message_status"] == "failed"


def test_a_session_is_cancelled_and_goes_on(passel: Installation, agent: str) -> None:
    session_id = passel.client.post(f"/v1/agents/{agent}/sessions", {"llm_id": "wait-0.3"})["id"]
    idle = passel.client.get(f"/v1/sessions/{session_id}")
    assert passel.client.post(f"/v1/sessions/{session_id}/cancel") == idle
    ids = [asked(passel, session_id, f"given up {n}") for n in range(4)]
    cancelled = passel.client.post(f"/v1/sessions/{session_id}/cancel")
    assert cancelled["status"] == "idle" and cancelled["last_message_status"] == "failed"
    assert {passel.client.get(f"/v1/messages/{i}")["output"]["error"] for i in ids} == {"cancelled"}
    assert ended(passel, asked(passel, session_id, "after it"))["output"]["parts"] == text("echo: after it")


def test_a_cancelled_message_of_a_batch_is_a_cancelled_item(passel: Installation, agent: str) -> None:
    made = passel.client.post("/v1/session-batches", {"items": [item(agent, "slow", llm_id="wait-30"), item(agent, "fast")]})
    slow = made["sessions"][0]["session_id"]
    message_id = passel.client.get(f"/v1/sessions/{slow}")["last_message_id"]
    for _ in range(2):
        assert passel.client.post(f"/v1/messages/{message_id}/cancel")["status"] == "failed"
    done = wait_for_batch(passel.client, made["batch_id"])
    assert (done["counts"]["completed"], done["counts"]["failed"], done["cancelled"]) == (1, 1, 1)


def test_what_is_not_there_cannot_be_cancelled(passel: Installation) -> None:
    for path in ("/v1/messages/msg_none/cancel", "/v1/sessions/sess_none/cancel"):
        assert passel.http().post(path).status_code == 404
