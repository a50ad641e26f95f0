"""Webhooks of verifications, with a real receiver: several for an organisation, signed, each with what it asked for."""

import hashlib
import hmac
import time
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from tests.support.installation import Installation, wait_until
from tests.support.receiver import Got, Receiver, Reply, receiver
from tests.test_check import ended, make, verify
from tests.test_tenancy import stranger

__all__ = ["stranger"]

ONE_BY_ONE = ["verification.completed", "verification.failed", "verification.escalated"]
BATCHES = ["batch.completed", "batch.failed", "batch.cancelled"]


@pytest.fixture
def got() -> Iterator[Receiver]:
    with receiver() as one:
        yield one


@pytest.fixture(autouse=True)
def _no_webhooks(passel: Installation) -> Iterator[None]:
    yield
    for one in passel.http().get("/v1/webhooks").json()["data"]:
        assert passel.http().delete(f"/v1/webhooks/{one['id']}").status_code == 204


def hook(passel: Installation, url: str, events: list[str], **fields: Any) -> Any:
    made = passel.http().post("/v1/webhooks", json={"url": url, "events": events, **fields})
    assert made.status_code == 201, made.text
    assert made.headers["Location"] == f"/v1/webhooks/{made.json()['id']}"
    return made.json()


def signatures(one: Got) -> tuple[int, list[str]]:
    t, *rest = one.headers["X-Check-Signature"].split(",")
    assert all(part.startswith("v1=") for part in rest)
    return int(t.removeprefix("t=")), [part.removeprefix("v1=") for part in rest]


def signed(secret: str, one: Got) -> str:
    """As a receiver computes it, from the contract's words (D20)."""
    at, _ = signatures(one)
    return hmac.new(secret.encode(), f"{at}.".encode() + one.raw, hashlib.sha256).hexdigest()


def test_a_verification_is_announced_and_signed(passel: Installation, got: Receiver) -> None:
    made = hook(passel, got.url, ONE_BY_ONE, description="ours")
    assert made["secret"].startswith("whsec_") and made["status"] == "enabled" and made["includeBatchItems"] is False
    read = passel.http().get(f"/v1/webhooks/{made['id']}").json()
    assert "secret" not in read and read == {name: value for name, value in made.items() if name != "secret"}
    done = verify(passel, "7 times 8 is 56").json()
    [one] = got.wait_for(1)
    assert one.body["id"].startswith("evt_") and one.body["type"] == "verification.completed" and one.body["createdAt"].endswith("Z")
    data = one.body["data"]
    assert data["verificationId"] == done["id"] and data["status"] == "completed"
    for name in ("verdict", "confidence", "decision", "reasoning", "paradigmResults"):
        assert data[name] == done[name]
    at, signs = signatures(one)
    assert abs(at - time.time()) < 60 and signs == [signed(made["secret"], one)]


def test_what_goes_to_a_person_and_what_the_person_says(passel: Installation, got: Receiver) -> None:
    hook(passel, got.url, ["verification.escalated", "escalation.resolved"])
    body = verify(passel, "dusk is a colour").json()
    [first] = got.wait_for(1)
    assert first.body["type"] == "verification.escalated" and first.body["data"]["decision"] == "escalate"
    assert first.body["data"]["escalation"] == body["escalation"]
    said = {"resolution": "reject", "note": "a time"}
    assert passel.http().post(f"/v1/escalations/{body['escalation']['id']}/resolve", json=said).status_code == 200
    second = got.wait_for(2)[1].body
    data = second["data"]
    assert second["type"] == "escalation.resolved" and data["resolvedAt"] and data["resolvedBy"].startswith("key_")
    assert data["escalationId"] == body["escalation"]["id"] and data["verificationId"] == body["id"]
    assert (data["resolution"], data["verdict"], data["note"]) == ("reject", "false", "a time")


def test_batches_are_announced_and_their_items_for_those_who_want_them(passel: Installation, got: Receiver) -> None:
    with receiver() as every:
        hook(passel, got.url, BATCHES + ONE_BY_ONE)
        hook(passel, every.url, BATCHES + ONE_BY_ONE, includeBatchItems=True)
        made = make(passel, ["1 = 1", "2 = 3", "noon is nice"], name="three")
        batch = ended(passel, made["id"])
        [one] = got.wait_for(1)
        assert one.body["type"] == "batch.completed"
        names = ["name", "status", "totalItems", "processedItems", "successCount", "failureCount", "totalCostCents"]
        names += ["errorMessage", "validationErrors", "createdAt", "completedAt"]
        assert one.body["data"] == {"batchId": made["id"], **{name: batch[name] for name in names}}
        types = sorted(told.body["type"] for told in every.wait_for(4))
        assert types == ["batch.completed", "verification.completed", "verification.completed", "verification.escalated"]
        items = [told.body["data"] for told in every.got if told.body["type"] != "batch.completed"]
        assert {item["batchId"] for item in items} == {made["id"]} and all(item["itemId"].startswith("item_") for item in items)
        refused = make(passel, [" "])
        failed = got.wait_for(2)[1].body
        assert failed["type"] == "batch.failed" and failed["data"]["batchId"] == refused["id"] and failed["data"]["status"] == "failed"
        assert failed["data"]["errorMessage"] == "1 validation error(s)" and failed["data"]["validationErrors"][0]["row"] == 1
        slow = make(passel, [f"the {n}th prime is odd" for n in range(150)])
        assert passel.http().post(f"/v1/batch/{slow['id']}/cancel").status_code == 200
        cancelled = got.wait_for(3)[2].body
        assert cancelled["type"] == "batch.cancelled" and cancelled["data"]["status"] == "cancelled"


def test_a_rotated_secret_signs_beside_the_old_one(passel: Installation, got: Receiver) -> None:
    made = hook(passel, got.url, ONE_BY_ONE)
    fresh = passel.http().post(f"/v1/webhooks/{made['id']}/rotate-secret").json()["secret"]
    verify(passel, "2 = 2")
    [one] = got.wait_for(1)
    _, signs = signatures(one)
    assert fresh != made["secret"] and signs == [signed(fresh, one), signed(made["secret"], one)]


def test_deliveries_are_listed_and_made_again(passel: Installation, got: Receiver) -> None:
    made = hook(passel, got.url, ONE_BY_ONE)
    for n in range(3):
        verify(passel, f"{n} = {n}")
    got.wait_for(3)
    path = f"/v1/webhooks/{made['id']}/deliveries"

    def all_delivered() -> Any:
        page = passel.http().get(path).json()
        return page if all(one["status"] == "delivered" for one in page["data"]) else None

    done = wait_until(all_delivered)
    assert len(done["data"]) == 3 and done["hasMore"] is False
    newest, *older = done["data"]
    assert newest["attempts"][0]["statusCode"] == 200 and newest["errorMessage"] is None
    page = passel.http().get(path, params={"limit": 1, "after": newest["id"]}).json()
    assert [one["id"] for one in page["data"]] == [older[0]["id"]] and page["hasMore"] is True
    assert passel.http().post(f"{path}/{newest['id']}/redeliver").status_code == 202
    again = got.wait_for(4)[3]
    assert again.body["id"] == newest["eventId"] and again.raw in [one.raw for one in got.got[:3]]
    assert passel.http().post(f"{path}/whk_nothing/redeliver").json()["error"]["code"] == "not_found"


def test_a_receiver_that_is_gone_is_told_nothing_more(passel: Installation, got: Receiver) -> None:
    made = hook(passel, got.url, ONE_BY_ONE)
    got.reply = lambda one: Reply(410)
    verify(passel, "3 = 3")
    path = f"/v1/webhooks/{made['id']}"
    wait_until(lambda: passel.http().get(path).json()["status"] == "disabled")
    verify(passel, "4 = 4")
    assert len(passel.http().get(f"{path}/deliveries").json()["data"]) == 1
    got.reply = lambda one: Reply()
    changed = passel.http().patch(path, json={"description": "back"}).json()
    assert changed["status"] == "enabled" and changed["description"] == "back" and changed["events"] == sorted(ONE_BY_ONE)
    verify(passel, "5 = 5")
    assert got.wait_for(2)[1].body["data"]["status"] == "completed"


def test_several_webhooks_hear_of_what_each_asked_for(passel: Installation, got: Receiver) -> None:
    with receiver() as other:
        first = hook(passel, got.url, ["verification.completed"])
        hook(passel, other.url, ["verification.completed", "verification.escalated"])
        verify(passel, "6 = 6")
        verify(passel, "spring is shy")
        assert sorted(one.body["type"] for one in other.wait_for(2)) == ["verification.completed", "verification.escalated"]
        assert got.wait_for(1)[0].body["type"] == "verification.completed"
        assert got.wait_for(1)[0].body["id"] not in [one.body["id"] for one in other.got]
        passel.http().delete(f"/v1/webhooks/{first['id']}")
        verify(passel, "8 = 8")
        other.wait_for(3)
        assert len(got.got) == 1


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"events": ["batch.completed"]}, "url"),
        ({"url": "ftp://example.com", "events": ["batch.completed"]}, "url"),
        ({"url": "http://x:y@127.0.0.1/", "events": ["batch.completed"]}, "url"),
        ({"url": "http://127.0.0.1/"}, "events"),
        ({"url": "http://127.0.0.1/", "events": []}, "events"),
        ({"url": "http://127.0.0.1/", "events": ["batch.done"]}, "events[0]"),
        ({"url": "http://127.0.0.1/", "events": ["session.completed"]}, "events[0]"),
        ({"url": "http://127.0.0.1/", "events": ["batch.completed"], "includeBatchItems": 1}, "includeBatchItems"),
        ({"url": "http://127.0.0.1/", "events": ["batch.completed"], "description": "x\0"}, "description"),
    ],
)
def test_bad_webhooks_are_refused(passel: Installation, body: Any, field: str) -> None:
    answer = passel.http().post("/v1/webhooks", json=body)
    assert answer.status_code == 422 and answer.json()["error"]["details"][0]["field"] == field, answer.text


def test_webhooks_are_their_organisations_own(passel: Installation, got: Receiver, agent: str, stranger: str) -> None:
    made = hook(passel, got.url, ONE_BY_ONE)
    theirs = passel.http(stranger)
    path = f"/v1/webhooks/{made['id']}"

    def code(answer: httpx2.Response) -> tuple[int, str]:
        return answer.status_code, answer.json()["error"]["code"]

    assert theirs.get("/v1/webhooks").json() == {"data": []}
    assert code(theirs.get(path)) == code(theirs.patch(path, json={})) == code(theirs.delete(path)) == (404, "not_found")
    assert theirs.post("/v1/verify", json={"content": "1 = 1", "methods": {"formal": 1}}).status_code == 200
    passel.http().put(f"/v1/agents/{agent}/webhook", json={"webhook_url": got.url})
    assert code(passel.http().get(f"/v1/webhooks/{agent}")) == (404, "not_found")
    passel.http().delete(f"/v1/agents/{agent}/webhook")
    verify(passel, "9 = 9")
    assert got.wait_for(1)[0].body["type"] == "verification.completed"
    assert len(got.got) == 1
