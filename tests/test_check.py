"""The `check` face over HTTP: verifications, batches of them, their errors byte for byte."""

import json
import re
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx2
import pytest

from passel.core.endings import Done
from passel.core.errors import NotFound
from passel.core.ids import KeyId
from passel.core.verification.claims import Claim
from passel.services.deps import Caller
from passel.services.retention import OldBatches
from passel.services.verification import batches, verifications
from passel.services.verification.batches import BatchHead
from passel.services.verification.items import ItemRequest
from passel.store import deleting
from passel.store.database import Database
from tests.support.installation import Installation, scratch_dir, wait_until
from tests.support.worlds import World
from tests.test_cli import passel_command
from tests.test_deleting import deps_of
from tests.test_streams import first, stream
from tests.test_tenancy import stranger

__all__ = ["stranger"]

FORMAL = {"formal": 1}
MOMENT = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"


@pytest.fixture(scope="module")
def roomy() -> Iterator[Installation]:
    """One for large batches, with two workers."""
    with scratch_dir() as data:
        passel = Installation(data, 2).start()
        yield passel
        passel.stop()


def verify(passel: Installation, content: str, **fields: Any) -> httpx2.Response:
    return passel.http().post("/v1/verify", json={"content": content, "methods": FORMAL, **fields})


def make(passel: Installation, contents: list[Any], **fields: Any) -> Any:
    items = [one if isinstance(one, dict) else {"content": one} for one in contents]
    answer = passel.http().post("/v1/batch", json={"items": items, "methods": FORMAL, **fields})
    assert answer.status_code == 202, answer.text
    assert answer.headers["Location"] == f"/v1/batch/{answer.json()['id']}"
    return answer.json()


def get(passel: Installation, path: str, **params: Any) -> Any:
    answer = passel.http().get(path, params=params)
    assert answer.status_code == 200, answer.text
    return answer.json()


def ended(passel: Installation, batch_id: str) -> Any:
    def over() -> Any:
        batch = get(passel, f"/v1/batch/{batch_id}")
        assert batch["processedItems"] == batch["successCount"] + batch["failureCount"] <= batch["totalItems"]
        return batch if batch["completedAt"] else None

    return wait_until(over)


def test_a_claim_is_verified(passel: Installation) -> None:
    answer = verify(passel, "7 times 8 is 56", metadata={"ticket": 7})
    assert answer.status_code == 200
    body = answer.json()
    assert body["id"].startswith("ver_") and body["status"] == "completed" and body["content"] == "7 times 8 is 56"
    assert (body["verdict"], body["confidence"], body["decision"]) == ("true", 1.0, "accept")
    assert body["metadata"] == {"ticket": 7} and body["costCents"] == 0 and body["processingTimeMs"] >= 0 and body["reasoning"]
    assert re.fullmatch(MOMENT, body["createdAt"]) and re.fullmatch(MOMENT, body["completedAt"])
    [found] = body["paradigmResults"]
    assert found["id"].startswith("pr_") and found["paradigm"] == "formal" and found["verdict"] == "true" and found["confidence"] == 1.0
    assert found["applicable"] is True and found["reasoning"] and "provider" not in found
    assert get(passel, f"/v1/verify/{body['id']}") == body


def test_what_is_false_is_rejected_and_what_nobody_can_say_goes_to_a_person(passel: Installation) -> None:
    wrong = verify(passel, "7 times 8 is 54").json()
    assert (wrong["status"], wrong["verdict"], wrong["decision"]) == ("completed", "false", "reject")
    unknown = verify(passel, "The moon is made of cheese").json()
    assert (unknown["status"], unknown["verdict"], unknown["confidence"], unknown["decision"]) == ("escalated", "uncertain", 0, "escalate")
    escalation = unknown["escalation"]
    assert escalation["id"].startswith("esc_") and escalation["reason"] == "no_applicable_method" and escalation["priority"] == "high"
    assert escalation["status"] == "pending" and escalation["deadline"] > unknown["completedAt"]
    assert unknown["paradigmResults"][0]["applicable"] is False
    logical = verify(passel, "Socrates is mortal", context={"premises": ["All men are mortal", "Socrates is a man"]}).json()
    assert (logical["verdict"], logical["decision"]) == ("true", "accept")


def test_async_is_pending_and_then_the_same(passel: Installation) -> None:
    answer = verify(passel, "2 + 2 = 4", **{"async": True})
    assert answer.status_code == 202
    body = answer.json()
    assert {"id", "status", "content", "createdAt"} == set(body) and body["status"] == "processing"
    done = wait_until(lambda: (read := get(passel, f"/v1/verify/{body['id']}"))["status"] != "processing" and read)
    assert done["verdict"] == "true" and done["createdAt"] == body["createdAt"]


def test_a_batch_from_its_creation_to_its_results(passel: Installation) -> None:
    contents = [f"{n} + {n} = {2 * n + n % 2}" for n in range(30)] + [
        {"content": "x", "context": {"source": "a book"}, "idempotencyKey": "k-1"}
    ]
    made = make(passel, contents, name="sums", context={"topic": "numbers"})
    assert made["status"] == "processing" and made["totalItems"] == 31 and made["methods"] == {"formal": 1.0}
    assert made["message"] == "Batch created successfully. Items are being processed."
    batch = ended(passel, made["id"])
    assert list(batch) == [
        "id", "name", "inputFormat", "originalFileName", "status", "totalItems", "processedItems", "successCount", "failureCount",
        "methodsConfig", "context", "totalCostCents", "totalInputTokens", "totalOutputTokens", "errorMessage", "validationErrors",
        "createdAt", "startedAt", "completedAt", "expiresAt", "skippedCount",
    ]  # fmt: skip
    assert batch["status"] == "completed" and batch["successCount"] == 31 and batch["failureCount"] == batch["skippedCount"] == 0
    assert batch["context"] == {"topic": "numbers"} and batch["name"] == "sums" and batch["errorMessage"] is None
    first = get(passel, f"/v1/batch/{made['id']}/results")
    assert first["pagination"] == {"total": 31, "limit": 20, "offset": 0, "hasMore": True} and len(first["items"]) == 20
    rest = get(passel, f"/v1/batch/{made['id']}/results", limit=20, offset=20)
    assert rest["pagination"]["hasMore"] is False and rest["batch"]["processedItems"] == 31
    items = [*first["items"], *rest["items"]]
    assert [item["itemIndex"] for item in items] == list(range(31))
    assert [item["verdict"] for item in items[:30]] == ["true" if n % 2 == 0 else "false" for n in range(30)]
    assert items[30]["itemContext"] == {"source": "a book"} and items[30]["idempotencyKey"] == "k-1" and items[30]["decision"] == "escalate"
    assert get(passel, f"/v1/verify/{items[0]['verificationId']}")["content"] == "0 + 0 = 0"
    filtered = get(passel, f"/v1/batch/{made['id']}/results", decision="reject,escalate", limit=100)
    assert filtered["pagination"]["total"] == 16 and {item["decision"] for item in filtered["items"]} == {"reject", "escalate"}
    assert (
        get(passel, f"/v1/batch/{made['id']}/results", verdict="true", status="completed", limit=1, offset=14)["pagination"]["hasMore"]
        is False
    )
    assert get(passel, f"/v1/batch/{made['id']}/results", status="failed,skipped")["items"] == []
    listed = get(passel, "/v1/batch", limit=1, status="completed")
    assert listed["data"][0]["id"] == made["id"] and listed["pagination"]["total"] >= 1
    assert set(listed["data"][0]) == {
        "id", "name", "status", "totalItems", "processedItems", "successCount", "failureCount", "totalCostCents",
        "createdAt", "startedAt", "completedAt",
    }  # fmt: skip


def test_one_bad_item_fails_the_batch(passel: Installation) -> None:
    bad = [
        {"content": "1 = 1", "idempotencyKey": "a"},
        {"content": "  "},
        {},
        {"content": "x" * 50_001},
        {"content": "2 = 2", "idempotencyKey": "a"},
        {"content": "y", "context": 3},
    ]
    made = make(passel, bad)
    assert made["status"] == "failed"
    batch = get(passel, f"/v1/batch/{made['id']}")
    assert batch["status"] == "failed" and batch["totalItems"] == 6 and batch["processedItems"] == 0 and batch["completedAt"]
    assert batch["errorMessage"] == "5 validation error(s)"
    assert batch["validationErrors"] == [
        {"row": 2, "error": "Content is required"},
        {"row": 3, "error": "Content is required"},
        {"row": 4, "error": "Content exceeds maximum length"},
        {"row": 5, "error": "Duplicate idempotencyKey"},
        {"row": 6, "error": "Context must be an object"},
    ]
    assert get(passel, f"/v1/batch/{made['id']}/results")["pagination"]["total"] == 0
    assert passel.http().post(f"/v1/batch/{made['id']}/cancel").json()["error"]["code"] == "CANNOT_CANCEL"


def test_a_batch_is_cancelled_once(roomy: Installation) -> None:
    made = make(roomy, [f"the {n}th prime is odd" for n in range(3000)])
    answer = roomy.http().post(f"/v1/batch/{made['id']}/cancel")
    assert answer.status_code == 200
    assert answer.json() == {"id": made["id"], "status": "cancelled", "message": "Batch cancelled successfully"}
    again = roomy.http().post(f"/v1/batch/{made['id']}/cancel")
    assert again.status_code == 400
    assert again.json()["error"]["message"] == "Cannot cancel batch. Batch not found or already completed/cancelled."

    def settled() -> Any:
        batch = get(roomy, f"/v1/batch/{made['id']}")
        assert batch["status"] == "cancelled" and batch["completedAt"]
        return batch if batch["successCount"] + batch["failureCount"] + batch["skippedCount"] == 3000 else None

    batch = wait_until(settled)
    skipped = get(roomy, f"/v1/batch/{made['id']}/results", status="skipped", limit=1)
    assert skipped["pagination"]["total"] == batch["skippedCount"]


@pytest.mark.parametrize(
    ("body", "status", "code", "message", "field"),
    [
        ({}, 422, "validation_error", "Content is required", "content"),
        ({"content": " "}, 422, "validation_error", "Content is required", "content"),
        ({"content": 7}, 422, "validation_error", None, "content"),
        ({"content": "x" * 50_001}, 422, "validation_error", None, "content"),
        ({"content": "x\0"}, 422, "validation_error", None, "content"),
        ({"content": "x", "methods": {}}, 422, "validation_error", None, "methods"),
        ({"content": "x", "methods": {"magic": 1}}, 422, "validation_error", None, "methods.magic"),
        ({"content": "x", "methods": {"formal": 0}}, 422, "validation_error", None, "methods"),
        ({"content": "x", "methods": {"formal": -1}}, 422, "validation_error", None, "methods.formal"),
        ({"content": "x", "methods": {"formal": True}}, 422, "validation_error", None, "methods.formal"),
        ({"content": "x", "methods": {"formal": 101}}, 422, "validation_error", None, "methods.formal"),
        ({"content": "x", "methods": {"ensemble": 1}}, 422, "validation_error", None, "methods.ensemble"),
        ({"content": "x"}, 422, "validation_error", None, "methods.reasoning"),
        ({"content": "x", "methods": FORMAL, "options": {"timeout": 999}}, 422, "validation_error", None, "options.timeout"),
        ({"content": "x", "methods": FORMAL, "options": {"maxRetries": 1.5}}, 422, "validation_error", None, "options.maxRetries"),
        ({"content": "x", "methods": FORMAL, "options": {"acceptThreshold": 0.4}}, 422, "validation_error",
         "options.acceptThreshold: acceptThreshold must be greater than escalateThreshold", "options.acceptThreshold"),
        ({"content": "x", "methods": FORMAL, "options": {"retryOnLowConfidence": True}}, 422, "validation_error",
         "options.minConfidence: minConfidence is required when retryOnLowConfidence is true", "options.minConfidence"),
        ({"content": "x", "methods": FORMAL, "options": {"model": "openai:x\0"}}, 422, "validation_error", None, "options.model"),
        ({"content": "x", "methods": FORMAL, "metadata": {"x": "y" * 20_000}}, 422, "validation_error", None, "metadata"),
    ],
)  # fmt: skip
def test_bad_requests(passel: Installation, body: Any, status: int, code: str, message: str | None, field: str) -> None:
    answer = passel.http().post("/v1/verify", json=body)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (status, code), answer.text
    assert message is None or error["message"] == message
    assert error["details"][0]["field"] == field and error["requestId"] == answer.headers["X-Request-Id"]
    assert error["requestId"].startswith("req_")


def test_a_number_that_cannot_be_kept_is_refused(passel: Installation) -> None:
    """More than 64 bits, or no number at all."""
    for number in (str(2**64), "NaN", "1e999"):
        body = '{"items": [{"content": "x", "context": {"a": ' + number + '}}], "methods": {"formal": 1}}'
        answer = passel.http().post("/v1/batch", content=body)
        assert answer.status_code == 422 and answer.json()["error"]["details"][0]["field"] == "items[0].context", answer.text


def test_errors_have_this_faces_form(passel: Installation, stranger: str) -> None:
    http = passel.http()

    def error(answer: httpx2.Response) -> tuple[int, str, str]:
        body = answer.json()["error"]
        assert body["requestId"]
        return answer.status_code, body["code"], body["message"]

    assert error(httpx2.get(f"{passel.url}/v1/batch"))[1:] == (
        "unauthorized",
        "API key is required. Include it in the Authorization header as 'Bearer vfy_...'",
    )
    assert error(httpx2.get(f"{passel.url}/v1/verify/ver_1", headers={"Authorization": "Bearer nonsense"})) == (
        401,
        "unauthorized",
        "Invalid API key",
    )
    assert error(http.get("/v1/verify/ver_nothing")) == (404, "not_found", "Verification not found")
    assert error(http.get("/v1/batch/batch_nothing")) == (404, "not_found", "Batch not found")
    assert error(http.post("/v1/batch/batch_nothing/cancel")) == (404, "not_found", "Batch not found")
    assert error(http.post("/v1/verify", content=b"{", headers={"Content-Type": "application/json"}))[:2] == (400, "bad_request")
    assert error(http.post("/v1/verify", content=b"x", headers={"Content-Type": "text/plain"}))[:2] == (400, "bad_request")
    assert error(http.post("/v1/verify", json=[]))[:2] == (422, "validation_error")
    assert error(http.get("/v1/batch", params={"limit": "0"}))[:2] == (400, "bad_request")
    assert error(http.get("/v1/batch", params={"status": "done"}))[:2] == (400, "bad_request")
    assert error(http.delete("/v1/batch"))[:2] == (405, "bad_request")
    assert error(http.post("/v1/batch", json={"methods": FORMAL})) == (422, "validation_error", "Provide either items or fileId")
    assert error(http.post("/v1/batch", json={"methods": FORMAL, "items": [3]}))[:2] == (422, "validation_error")
    assert error(http.post("/v1/batch", json={"methods": FORMAL, "items": []}))[:2] == (422, "validation_error")
    mine = verify(passel, "1 = 1").json()["id"]
    batch = make(passel, ["1 = 1"])["id"]
    theirs = passel.http(stranger)
    assert error(theirs.get(f"/v1/verify/{mine}")) == (403, "forbidden", "This verification belongs to a different organization")
    for path in (f"/v1/batch/{batch}", f"/v1/batch/{batch}/results"):
        assert error(theirs.get(path)) == (404, "not_found", "Batch not found")
    assert error(theirs.post(f"/v1/batch/{batch}/cancel"))[0] == 404
    assert theirs.get("/v1/batch").json()["data"] == []


def test_a_killed_worker_runs_no_method_twice(roomy: Installation) -> None:
    """Whatever is taken over goes on from the ledger, and every claim has one finding."""
    made = make(roomy, [f"{n} * {n} = {n * n}" for n in range(2000)])
    time.sleep(0.3)
    for worker in roomy.children("worker"):
        worker.kill()
    batch = ended(roomy, made["id"])
    assert batch["successCount"] == 2000
    shown = get(roomy, f"/v1/batch/{made['id']}/results", limit=100, offset=1900)["items"]
    assert {item["verdict"] for item in shown} == {"true"}
    for item in shown[:10]:
        assert len(get(roomy, f"/v1/verify/{item['verificationId']}")["paradigmResults"]) == 1


def test_anybody_may_ask_whether_the_service_is_well(passel: Installation) -> None:
    body = httpx2.get(f"{passel.url}/v1/status").json()
    assert body["status"] == "ok" and body["methods"]["formal"] == "available" and body["methods"]["ensemble"] == "unconfigured"
    assert re.fullmatch(MOMENT, body["time"]) and body["queue"] == {"depth": 0}


def test_the_command_says_why(passel: Installation) -> None:
    right = passel_command(passel, "verify", "7 times 8 is 56")
    assert right.returncode == 0 and right.stdout.startswith("true (1.00), accept\n") and "56" in right.stdout
    wrong = passel_command(passel, "verify", "7 times 8 is 54", "--method", "formal=0.5")
    assert wrong.returncode == 1 and wrong.stdout.startswith("false (1.00), reject\n")
    follows = passel_command(
        passel, "verify", "Socrates is mortal", "--premise", "All men are mortal", "--premise", "Socrates is a man", "--json"
    )
    assert json.loads(follows.stdout)["decision"] == "accept"
    unknown = passel_command(passel, "verify", "x", "--method", "magic")
    assert unknown.returncode == 1 and "Unknown method" in unknown.stderr


async def one_group(*items: ItemRequest) -> AsyncIterator[list[ItemRequest]]:
    yield list(items)


def test_a_batch_is_kept_for_so_long(with_db: Any) -> None:
    """Then it is not found any more, and what is left of it goes with its verifications."""

    async def scenario(db: Database) -> None:
        world = await World(db).start()
        deps = deps_of(world)
        caller = Caller(world.org_id, KeyId("key_1"))
        made = await batches.create(
            deps, caller, one_group(ItemRequest("1 = 1"), ItemRequest("2 = 2")), lambda: BatchHead(Claim("", {"formal": 1.0}))
        )
        world.kind = "verification"
        for claim in await world.claim():
            await world.finish(claim.lease, Done({"verdict": "true", "decision": "accept"}))
        await world.check()
        world.tick(89 * 86400)
        sweep = OldBatches(deps, None)
        async with db.write() as c:
            assert await sweep.doom(c, 10) == []
        assert (await batches.get(deps, caller, made.id)).counts.completed == 2
        [one, _] = (await batches.results(deps, caller, made.id, statuses=None, verdicts=None, decisions=None, limit=2, offset=0))[1]
        assert (await verifications.get(deps, caller, one.session_id)).claim.content == "1 = 1"
        world.tick(86400)
        with pytest.raises(NotFound):
            await batches.get(deps, caller, made.id)
        with pytest.raises(NotFound):
            await verifications.get(deps, caller, one.session_id)
        world.tick(86400)
        async with db.write() as c:
            assert await sweep.doom(c, 10) == [made.id]
        more = True
        while more:
            async with db.write() as c:
                more = await deleting.delete_some(c, made.id, 5, world.now, world.capacity, world.announcing)
        assert await world.value("select count(*) from session") == 0
        await world.check()

    with_db(scenario)


def test_the_stream_of_everything_tells_of_verifications(passel: Installation) -> None:
    with stream(passel, "/v1/events/stream", params={"kind": "verification"}) as events:
        made = make(passel, ["6 * 7 = 42"])
        told = first(events, 8)
    assert {event["data"]["kind"] for event in told} == {"verification"} and {event["data"]["batch_id"] for event in told} == {made["id"]}
    types = [event["event"] for event in told]
    assert types.count("item.status_changed") >= 1 and {"message.requested", "message.status_changed", "method.ended"} <= set(types)
    with stream(passel, "/v1/events/stream", params={"batch_id": made["id"], "after": "0"}) as events:
        assert first(events, 8) == told
