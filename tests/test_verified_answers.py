"""Batches whose answers are verified as they end: over HTTP and from the command line, with real processes."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.installation import Installation, PlayedModel, item, wait_for_batch, wait_until
from tests.support.worlds import INVARIANTS
from tests.test_chaos import rows
from tests.test_cli import passel_command
from tests.test_growth import results

VERIFY = {"methods": {"formal": 1}}


@pytest.fixture(scope="module")
def scripted(passel: Installation, model: PlayedModel) -> str:
    """An agent that answers what it is told to, in JSON."""
    return passel.deploy(model.url, ["script", "wait-30", "status-400"], name="scripted")


def answers(*texts: str) -> str:
    return json.dumps(list(texts))


def submit(passel: Installation, items: list[Any], **fields: Any) -> Any:
    return passel.client.post("/v1/session-batches", {"items": items, "verify": VERIFY, **fields})


def wait_for_verifications(passel: Installation, batch_id: str) -> Any:
    wait_for_batch(passel.client, batch_id)

    def over() -> Any:
        batch = passel.client.get(f"/v1/session-batches/{batch_id}", include_sessions=False)
        return batch if batch["verifications"]["queued"] + batch["verifications"]["running"] == 0 else None

    return wait_until(over)


def test_each_answer_is_verified(passel: Installation, scripted: str) -> None:
    texts = ["2 + 2 = 4", "2 + 2 = 5", "The sea is deep.", "17 is a prime number."]
    items = [item(scripted, answers(text), metadata={"group": "a"}) for text in texts]
    items.append(item(scripted, answers("never"), llm_id="status-400"))
    items.append(item(scripted, answers("x" * 50_001)))
    made = submit(
        passel, items, verify={**VERIFY, "options": {"accept_threshold": 0.9}, "context": {"topic": "numbers"}}, max_concurrency=2
    )
    assert made["verify"]["methods"] == {"formal": 1.0} and made["verify"]["options"]["accept_threshold"] == 0.9
    batch = wait_for_verifications(passel, made["batch_id"])
    assert batch["counts"] == {"queued": 0, "running": 0, "completed": 5, "failed": 1}
    assert batch["verifications"] == {"queued": 0, "running": 0, "completed": 4, "failed": 0}
    told = [result["verification"] for result in results(passel, made["batch_id"])]
    assert [(v["status"], v["verdict"], v["decision"]) for v in told[:4]] == [
        ("completed", "true", "accept"),
        ("completed", "false", "reject"),
        ("completed", "uncertain", "escalate"),
        ("completed", "true", "accept"),
    ]
    assert told[4] is None
    assert told[5]["status"] == "skipped" and told[5]["id"] is None and "50001 characters" in told[5]["error"]
    assert passel.http().get(f"/v1/verify/{told[1]['id']}").json()["content"] == "2 + 2 = 5"
    [asked] = rows(passel, "select data from event where session_id = $1 and seq = 1", told[0]["id"])
    assert json.loads(asked["data"])["context"] == {"question": answers("2 + 2 = 4"), "topic": "numbers"}
    [session] = rows(passel, "select metadata, batch_id from session where id = $1", told[0]["id"])
    assert json.loads(session["metadata"]) == {"group": "a"} and session["batch_id"] == made["batch_id"]
    assert rows(passel, INVARIANTS) == []


def test_a_person_decides_what_methods_cannot(passel: Installation, scripted: str) -> None:
    made = submit(passel, [item(scripted, answers("The sea is deep."))])
    wait_for_verifications(passel, made["batch_id"])
    [result] = results(passel, made["batch_id"])
    waiting = passel.http().get("/v1/escalations", params={"status": "pending"}).json()["data"]
    [escalation] = [one for one in waiting if one["verificationId"] == result["verification"]["id"]]
    assert escalation["batchId"] == made["batch_id"]
    resolved = passel.http().post(f"/v1/escalations/{escalation['id']}/resolve", json={"resolution": "accept"})
    assert resolved.status_code == 200
    [after] = results(passel, made["batch_id"])
    assert after["verification"]["decision"] == "accept" and after["verification"]["reviewed"]


def test_tries_and_further_items_are_verified_too(passel: Installation, model: PlayedModel, scripted: str) -> None:
    first = [item(scripted, answers("1 + 1 = 2")), item(scripted, answers("1 + 1 = 3"), version_id="agv_none")]
    made = submit(passel, first, idempotency_key="verified grows")
    wait_for_verifications(passel, made["batch_id"])
    more = [first[0], item(scripted, answers("1 + 1 = 3")), item(scripted, answers("5 > 4"))]
    grown = passel.client.post("/v1/session-batches", {"items": more, "idempotency_key": "verified grows", "mode": "complete_missing"})
    assert grown["batch_id"] == made["batch_id"] and grown["unchanged"] == [0]
    batch = wait_for_verifications(passel, made["batch_id"])
    assert batch["verifications"]["completed"] == 3
    assert [r["verification"]["verdict"] for r in results(passel, made["batch_id"])] == ["true", "false", "true"]
    other = passel.http().post(
        "/v1/session-batches",
        json={"items": more, "idempotency_key": "verified grows", "mode": "complete_missing", "verify": {"methods": {"semantic": 1}}},
    )
    assert other.status_code == 422 and "verify" in other.text
    # what failed is tried again, and its new answer is verified
    failing = submit(passel, [item(scripted, answers("3 > 2"), llm_id="status-400")])
    wait_for_batch(passel.client, failing["batch_id"])
    again = passel.client.post(f"/v1/session-batches/{failing['batch_id']}/retry")
    assert again["retried"] == 1 and again["verifications"]["completed"] == 0


def test_it_goes_with_its_batch(passel: Installation, scripted: str) -> None:
    made = submit(passel, [item(scripted, answers(f"{n} + 1 = {n + 1}")) for n in range(3)])
    wait_for_verifications(passel, made["batch_id"])
    ids = [result["verification"]["id"] for result in results(passel, made["batch_id"])]
    assert passel.http().delete(f"/v1/session-batches/{made['batch_id']}").status_code == 200
    assert passel.http().get(f"/v1/verify/{ids[0]}").status_code == 404
    wait_until(lambda: rows(passel, "select count(*) as n from session where batch_id = $1", made["batch_id"])[0]["n"] == 0)
    assert rows(passel, "select id from message where session_id = any($1::text[])", ids) == []
    cancelled = submit(passel, [item(scripted, answers("1"), llm_id="wait-30")])
    passel.client.post(f"/v1/session-batches/{cancelled['batch_id']}/cancel")
    assert wait_for_verifications(passel, cancelled["batch_id"])["verifications"] == {
        "queued": 0,
        "running": 0,
        "completed": 0,
        "failed": 0,
    }


def test_later_messages_and_forks_are_not_verified(passel: Installation, scripted: str) -> None:
    made = submit(passel, [item(scripted, answers("1 + 1 = 2"))])
    wait_for_verifications(passel, made["batch_id"])
    [result] = results(passel, made["batch_id"])
    fork = passel.client.post(f"/v1/sessions/{result['session_id']}/fork")
    for session_id in (result["session_id"], fork["id"]):
        body = {"type": "user.message", "content": [{"type": "text", "text": answers("1 + 1 = 3")}]}
        assert passel.http().post(f"/v1/sessions/{session_id}/events", json=body).status_code in (200, 201, 202)
        wait_until(lambda id=session_id: passel.client.get(f"/v1/sessions/{id}")["status"] == "idle")
    assert wait_for_verifications(passel, made["batch_id"])["verifications"]["completed"] == 1
    assert rows(passel, "select count(*) as n from session where kind = 'verification' and batch_id = $1", made["batch_id"])[0]["n"] == 1


@pytest.mark.parametrize(
    ("verify", "field", "said"),
    [
        ({"methods": {"magic": 1}}, "verify.methods.magic", "Unknown method"),
        ({"methods": {}}, "verify.methods", "At least one method"),
        ({"methods": {"formal": -1}}, "verify.methods.formal", "from 0 to 100"),
        ({"methods": {"reasoning": 1}}, "verify.methods.reasoning", "needs a model"),
        ({"method": {"formal": 1}}, "verify.method", "is not a field here"),
        ({"methods": {"formal": 1}, "options": {"acceptThreshold": 1}}, "verify.options.acceptThreshold", "is not a field here"),
        (
            {"methods": {"formal": 1}, "options": {"accept_threshold": 0.4}},
            "verify.options.accept_threshold",
            "greater than escalate_threshold",
        ),
        ({"methods": {"formal": 1}, "context": {"x": "y" * 20_000}}, "verify.context", "at most"),
        ("formal", "verify", ""),
    ],
)
def test_what_cannot_be_asked_is_said(passel: Installation, scripted: str, verify: Any, field: str, said: str) -> None:
    items = [item(scripted, answers("1"))]
    lines = json.dumps(items[0]).encode()
    posted = passel.http().post("/v1/session-batches", json={"items": items, "verify": verify})
    streamed = passel.http().post(
        "/v1/session-batches", content=lines, params={"verify": json.dumps(verify)}, headers={"Content-Type": "application/x-ndjson"}
    )
    for refused in (posted, streamed):
        assert refused.status_code == 422, refused.text
        assert field in refused.text and said in refused.text, refused.text


def test_from_the_command_line(passel: Installation, scripted: str, tmp_path: Path) -> None:
    tasks = tmp_path / "tasks.jsonl"
    tasks.write_text("\n".join(json.dumps({"task": text, "prompt": answers(text)}) for text in ("2 * 3 = 6", "2 * 3 = 7", "It is late.")))
    told = tmp_path / "out.csv"
    ran = passel_command(
        passel, "run", str(tasks), "--agent", "scripted", "--verify", "formal", "--verify", "semantic=0.5", "-o", str(told)
    )
    assert ran.returncode == 0, ran.stderr
    assert "verified" in ran.stdout and "1 accepted" in ran.stdout and "1 rejected" in ran.stdout
    lines = list(csv.DictReader(told.read_text().splitlines()))
    assert [(line["verdict"], line["decision"]) for line in lines] == [("true", "accept"), ("false", "reject"), ("uncertain", "escalate")]
    wrong = passel_command(passel, "run", str(tasks), "--agent", "scripted", "--verify", "magic")
    assert wrong.returncode == 1 and "magic" in wrong.stderr
