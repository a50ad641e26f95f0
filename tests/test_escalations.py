"""What people are asked to decide: listed, decided once, and what a verification says then."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import httpx2
import pytest

from passel.core.endings import Done
from passel.core.errors import Conflict
from passel.core.ids import KeyId
from passel.core.verification import escalations as core
from passel.services.deps import Caller
from passel.services.verification import escalations as service
from passel.store import escalations as store
from passel.store.database import Database
from tests.support.installation import Installation
from tests.support.worlds import World
from tests.test_check import ended, get, make, verify
from tests.test_deleting import deps_of
from tests.test_tenancy import stranger

__all__ = ["stranger"]


def escalated(passel: Installation, content: str) -> tuple[str, str]:
    """The ids of a verification that nobody but a person can decide, and of its escalation."""
    body = verify(passel, content).json()
    assert body["status"] == "escalated", body
    return body["id"], body["escalation"]["id"]


def resolve(passel: Installation, escalation_id: str, **said: Any) -> httpx2.Response:
    return passel.http().post(f"/v1/escalations/{escalation_id}/resolve", json=said)


def test_a_person_decides(passel: Installation) -> None:
    verification_id, escalation_id = escalated(passel, "the sea is patient")
    before = get(passel, f"/v1/verify/{verification_id}")
    read = get(passel, f"/v1/escalations/{escalation_id}")
    assert read["verificationId"] == verification_id and read["content"] == "the sea is patient" and read["review"] is None
    assert {name: read[name] for name in before["escalation"]} == before["escalation"] and read["status"] == "pending"
    assert read["reason"] == "no_applicable_method" and read["priority"] == "high"
    done = resolve(passel, escalation_id, resolution="accept", note="It is.")
    assert done.status_code == 200
    body = done.json()
    assert (body["status"], body["decision"], body["verdict"]) == ("resolved", "accept", "true")
    assert body["review"]["note"] == "It is." and body["review"]["resolvedBy"].startswith("key_")
    after = get(passel, f"/v1/verify/{verification_id}")
    assert after["status"] == "completed" and after["reviewed"] is True and after["review"] == body["review"]
    assert (after["verdict"], after["decision"], after["confidence"]) == ("true", "accept", before["confidence"])
    assert after["paradigmResults"] == before["paradigmResults"] and after["escalation"]["status"] == "resolved"
    again = resolve(passel, escalation_id, resolution="reject")
    assert again.status_code == 409 and again.json()["error"]["code"] == "conflict"
    assert again.json()["error"]["message"] == "Escalation is already resolved"
    assert get(passel, f"/v1/verify/{verification_id}") == after


def test_the_decision_shows_in_the_batch(passel: Installation) -> None:
    made = make(passel, ["1 = 1", "winter is a mood"])
    ended(passel, made["id"])
    path = f"/v1/batch/{made['id']}/results"
    [item] = get(passel, path, decision="escalate")["items"]
    escalation = service.id_of(item["verificationId"])
    assert get(passel, f"/v1/escalations/{escalation}")["batchId"] == made["id"]
    assert resolve(passel, escalation, resolution="reject", verdict="uncertain").status_code == 200
    assert get(passel, path, decision="escalate")["items"] == []
    [found] = get(passel, path, decision="reject")["items"]
    assert found["id"] == item["id"] and found["verdict"] == "uncertain" and found["status"] == "completed"
    batch = get(passel, f"/v1/batch/{made['id']}")
    assert (batch["successCount"], batch["failureCount"], batch["status"]) == (2, 0, "completed")


def test_an_item_that_took_a_result_over_has_its_decision_too(passel: Installation) -> None:
    item = {"content": "noon is noble", "idempotencyKey": "noon"}
    batches = [make(passel, [item]) for _ in range(2)]
    pages = []
    for batch in batches:
        ended(passel, batch["id"])
        pages += get(passel, f"/v1/batch/{batch['id']}/results")["items"]
    assert pages[0]["verificationId"] == pages[1]["verificationId"]
    escalation_id = service.id_of(pages[0]["verificationId"])
    listed = [one["content"] for one in get(passel, "/v1/escalations", limit=100)["data"]]
    assert listed.count("noon is noble") == 1
    assert resolve(passel, escalation_id, resolution="accept").status_code == 200
    for batch in batches:
        [told] = get(passel, f"/v1/batch/{batch['id']}/results")["items"]
        assert (told["decision"], told["verdict"]) == ("accept", "true")


def test_escalations_are_listed(passel: Installation, stranger: str) -> None:
    mine = [escalated(passel, f"hope is number {n} of the virtues of May")[1] for n in range(3)]
    assert resolve(passel, mine[0], resolution="accept").status_code == 200
    page = get(passel, "/v1/escalations", limit=2)
    assert [one["id"] for one in page["data"]] == [mine[2], mine[1]] and page["pagination"]["hasMore"] is True
    rest = get(passel, "/v1/escalations", limit=1, offset=2)
    assert rest["data"][0]["id"] == mine[0] and rest["pagination"]["total"] == page["pagination"]["total"]
    pending = get(passel, "/v1/escalations", status="pending,expired", limit=100)["data"]
    assert mine[0] not in [one["id"] for one in pending] and {one["status"] for one in pending} == {"pending"}
    assert get(passel, "/v1/escalations", status="resolved")["data"][0]["id"] == mine[0]
    for name, wanted, other in (("priority", "low,medium", "high"), ("reason", "conflict", "no_applicable_method")):
        shown = get(passel, "/v1/escalations", **{name: wanted}, limit=100)["data"]
        assert not {one["id"] for one in shown} & set(mine) and other not in {one[name] for one in shown}
    assert get(passel, "/v1/escalations", reason="no_applicable_method", limit=1)["data"]
    for bad in ({"status": "open"}, {"priority": "urgent"}, {"reason": "mood"}, {"limit": "0"}):
        assert passel.http().get("/v1/escalations", params=bad).json()["error"]["code"] == "bad_request"
    assert passel.http(stranger).get("/v1/escalations").json()["data"] == []


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "resolution"),
        ({"resolution": "maybe"}, "resolution"),
        ({"resolution": "accept", "verdict": True}, "verdict"),
        ({"resolution": "accept", "note": "x" * 10_001}, "note"),
        ({"resolution": "accept", "note": "\0"}, "note"),
    ],
)
def test_a_wrong_decision_is_refused(passel: Installation, body: Any, field: str) -> None:
    answer = resolve(passel, "esc_anything", **body)
    assert answer.status_code == 422 and answer.json()["error"]["details"][0]["field"] == field


def test_there_is_no_such_escalation(passel: Installation) -> None:
    decided = verify(passel, "1 = 1").json()["id"]
    for wrong in ("esc_nothing", service.id_of(decided), decided):
        answer = resolve(passel, wrong, resolution="accept")
        assert answer.status_code == 404 and answer.json()["error"]["message"] == "Escalation not found"


def test_of_two_who_decide_one_wins(passel: Installation) -> None:
    for n in range(5):
        _, escalation_id = escalated(passel, f"it is the {n}th of many moods")

        def decide(resolution: str, escalation_id: str = escalation_id) -> int:
            return resolve(passel, escalation_id, resolution=resolution).status_code

        with ThreadPoolExecutor(4) as pool:
            statuses = list(pool.map(decide, ["accept", "reject"] * 2))
        assert sorted(statuses) == [200, 409, 409, 409]


def result(confidence: float) -> dict[str, Any]:
    return {"verdict": "uncertain", "confidence": confidence, "decision": "escalate", "escalation": "low_confidence", "reasoning": ""}


def test_the_statement_says_what_the_rules_say(with_db: Any) -> None:
    """Priorities and statuses, at their borders; what is too late is not decided."""

    async def scenario(db: Database) -> None:
        world = await World(db, kind="verification").start()
        confidences = [0.0, 0.4999, 0.5, 0.7999, 0.8, 1.0]
        await world.batch(len(confidences))
        for claim, confidence in zip(await world.claim(), confidences, strict=True):
            await world.finish(claim.lease, Done(result(confidence)))

        async def found(at: Any, **filters: Any) -> list[store.Escalation]:
            every = {"statuses": None, "reasons": None, "priorities": None} | filters
            async with db.read() as c:
                return (
                    await store.list_escalations(c, world.org_id, **every, expired_before=at - core.TIME_TO_DECIDE, limit=100, offset=0)
                )[0]

        every = await found(world.now)
        assert sorted(one.result["confidence"] for one in every) == confidences
        for priority in core.PRIORITIES:
            of_it = {one.result["confidence"] for one in await found(world.now, priorities=[priority])}
            assert of_it == {confidence for confidence in confidences if core.priority(confidence) == priority}
        ended_at = every[0].escalated_at
        for at in (ended_at, ended_at + core.TIME_TO_DECIDE - timedelta(seconds=1), ended_at + core.TIME_TO_DECIDE):
            for status in core.STATUSES:
                told = await found(at, statuses=[status])
                assert len(told) == sum(core.status(one.result, one.escalated_at, at) == status for one in every)
        caller = Caller(world.org_id, KeyId("key_1"))
        world.tick(core.TIME_TO_DECIDE.total_seconds())
        async with db.write() as c:  # the ids that this face gives
            await c.raw.execute(
                "update session set id = 'ver_1', last_message_id = $2 where id = $1", every[0].session_id, every[0].message_id
            )
            await c.raw.execute("update event set session_id = 'ver_1' where session_id = $1", every[0].session_id)
            await c.raw.execute("update message set session_id = 'ver_1' where id = $1", every[0].message_id)
        with pytest.raises(Conflict, match="expired"):
            await service.resolve(deps_of(world), caller, "esc_1", "accept", None, None)
        world.tick(-1)
        assert (await service.resolve(deps_of(world), caller, "esc_1", "accept", None, None)).result["decision"] == "accept"
        assert await world.value(
            "select last_seq = (select max(seq) from event where session_id = 'ver_1') from session where id = 'ver_1'"
        )

    with_db(scenario)
