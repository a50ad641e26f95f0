"""Failed items tried again, and batches that grow under their own key, over HTTP and from the command line."""

import json
from pathlib import Path
from typing import Any

from passel.cli.deploy import publish
from tests.support.installation import Installation, PlayedModel, item, wait_for_batch, wait_until, write_agent
from tests.test_cli import output, passel_command


def results(passel: Installation, batch_id: str) -> list[Any]:
    with passel.client.lines(f"/v1/session-batches/{batch_id}/results") as lines:
        return list(lines)


def submit(passel: Installation, items: list[Any], **fields: Any) -> Any:
    made = passel.client.post("/v1/session-batches", {"items": items, **fields})
    return wait_for_batch(passel.client, made["batch_id"])


def test_failed_items_run_again_as_new_tries(passel: Installation, model: PlayedModel, agent: str) -> None:
    items = [
        item(agent, "fine", llm_id="echo"),
        item(agent, "refused once", llm_id="status-400", metadata={"group": "a"}, secrets={"A_SECRET": "kept"}),
        item(agent, "refused twice", llm_id="status-400", metadata={"group": "b"}),
        item(agent, "no option", llm_id="nope"),
    ]
    first = submit(passel, items)
    assert first["counts"]["failed"] == 3 and first["status"] == "partial_failed"
    path = f"/v1/session-batches/{first['batch_id']}"
    again = passel.client.post(
        f"{path}/retry", {"errors": ["HTTP 400", "never said"], "llm_ids": ["status-400"], "metadata": {"group": "a"}}
    )
    assert again["retried"] == 1 and again["size"] == 4 and again["finished_at"] is None and again["status"] == "running"
    assert wait_for_batch(passel.client, first["batch_id"])["counts"]["failed"] == 3
    assert model.calls()["refused once"] == 2 and model.calls()["refused twice"] == 1
    sessions = passel.client.get(path)["sessions"]
    assert [s["try"] for s in sessions] == [1, 2, 1, 1]
    tries = passel.client.get(f"{path}/items/1/tries")["tries"]
    assert [t["try"] for t in tries] == [1, 2] and len({t["session_id"] for t in tries}) == 2
    assert all("HTTP 400" in t["error"] and t["usage"]["calls"] == 1 for t in tries)
    assert passel.client.get(f"/v1/sessions/{tries[0]['session_id']}/transcript")["timeline"]["items"]
    every = passel.client.post(f"{path}/retry")
    assert every["retried"] == 3
    done = wait_for_batch(passel.client, first["batch_id"])
    assert done["counts"] == {"queued": 0, "running": 0, "completed": 1, "failed": 3} and done["usage"]["calls"] == 6
    assert passel.http().get(f"{path}/items/9/tries").status_code == 404
    assert passel.http().post(f"{path}/retry", json={"error": ["typo"]}).status_code == 422
    assert passel.client.post(f"{path}/retry", {"errors": ["nothing like this"]})["retried"] == 0


def test_cancelled_items_are_tried_again_only_by_name(passel: Installation, agent: str) -> None:
    made = passel.client.post("/v1/session-batches", {"items": [item(agent, f"late {n}", llm_id="wait-0.3") for n in range(3)]})
    path = f"/v1/session-batches/{made['batch_id']}"
    cancelled = passel.client.post(f"{path}/cancel")
    assert cancelled["cancelled"] >= 1
    assert passel.client.post(f"{path}/retry")["retried"] == 0
    again = passel.client.post(f"{path}/retry", {"errors": ["cancelled"]})
    assert again["retried"] == cancelled["cancelled"] and again["cancelled"] == 0
    assert wait_for_batch(passel.client, made["batch_id"])["status"] == "completed"


def test_an_item_that_could_not_be_made_is_planned_anew(passel: Installation, model: PlayedModel, tmp_path: Path) -> None:
    options = {"echo": {"provider": "openai", "model": "echo", "base_url": f"{model.url}/v1"}}
    write_agent(tmp_path, "grows", options)
    agent = publish(passel.client, tmp_path)["agent_id"]
    first = submit(passel, [item(agent, "later", llm_id="count", secrets={"KEY": "s3cret"})])
    assert first["status"] == "failed"
    write_agent(tmp_path, "grows", {**options, "count": {"provider": "openai", "model": "count", "base_url": f"{model.url}/v1"}})
    publish(passel.client, tmp_path)
    assert passel.client.post(f"/v1/session-batches/{first['batch_id']}/retry")["retried"] == 1
    assert wait_for_batch(passel.client, first["batch_id"])["status"] == "completed"
    passel.client.delete(f"/v1/agents/{agent}")
    assert passel.http().post(f"/v1/session-batches/{first['batch_id']}/retry").status_code == 404


def test_a_batch_grows_under_its_own_key(passel: Installation, model: PlayedModel, agent: str) -> None:
    items = [item(agent, "done", llm_id="echo"), item(agent, "broken", llm_id="status-400")]
    first = submit(passel, items, idempotency_key="grows")
    more = [item(agent, "done otherwise", llm_id="echo"), item(agent, "mended", llm_id="echo"), item(agent, "new", llm_id="echo")]
    body = {"idempotency_key": "grows", "mode": "complete_missing", "items": more}
    grown = passel.client.post("/v1/session-batches", body)
    assert grown["batch_id"] == first["batch_id"] and grown["unchanged"] == [0] and grown["size"] == 3
    done = wait_for_batch(passel.client, first["batch_id"])
    assert done["status"] == "completed"
    assert [line["text"] for line in results(passel, first["batch_id"])] == ["echo: done", "echo: mended", "echo: new"]
    assert [line["try"] for line in results(passel, first["batch_id"])] == [1, 2, 1]
    assert model.calls().get("done otherwise") is None
    fewer = passel.http().post("/v1/session-batches", json={**body, "items": more[:2]})
    assert fewer.status_code == 422 and "3 items" in fewer.json()["detail"]
    nothing = passel.client.post("/v1/session-batches", body)
    assert nothing["unchanged"] == [0, 1, 2] and nothing["finished_at"]
    keyless = passel.http().post("/v1/session-batches", json={"mode": "complete_missing", "items": more})
    assert keyless.status_code == 422 and "idempotency_key" in keyless.json()["detail"]
    new = passel.client.post("/v1/session-batches", {**body, "idempotency_key": "grows-from-nothing"})
    assert new["size"] == 3 and new["batch_id"] != first["batch_id"]


def test_two_that_grow_at_once_add_each_item_once(passel: Installation, agent: str) -> None:
    import concurrent.futures

    first = submit(passel, [item(agent, "seed", llm_id="echo")], idempotency_key="race")
    body = {
        "idempotency_key": "race",
        "mode": "complete_missing",
        "items": [item(agent, "seed", llm_id="echo"), *(item(agent, f"race {n}", llm_id="echo") for n in range(20))],
    }
    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda _: passel.http().post("/v1/session-batches", json=body), range(6)))
    assert {a.status_code for a in answers} == {201} and {a.json()["size"] for a in answers} == {21}
    assert wait_for_batch(passel.client, first["batch_id"])["counts"]["completed"] == 21


def test_a_key_in_the_header_counts(passel: Installation, agent: str) -> None:
    body = {"items": [item(agent, "headed", llm_id="echo")]}
    answers = [passel.http().post("/v1/session-batches", json=body, headers={"Idempotency-Key": "in-header"}).json() for _ in range(2)]
    assert answers[0]["batch_id"] == answers[1]["batch_id"] and answers[0]["idempotency_key"] == "in-header"
    typo = passel.http().post("/v1/session-batches", json={**body, "idempotencyKey": "x"})
    assert typo.status_code == 422 and "idempotencyKey" in typo.json()["detail"]


def test_the_command_line_tries_again_and_grows(passel: Installation, agent: str, tmp_path: Path) -> None:
    tasks = tmp_path / "tasks.jsonl"
    tasks.write_text('{"task": "one", "prompt": "one"}\n')
    run = ("run", str(tasks), "--agent", agent, "--llm", "status-400", "--idempotency-key", "cli-grows", "--json")
    first = passel_command(passel, *run)
    assert first.returncode == 1
    batch_id = json.loads(first.stdout)["batch_id"]
    again = output(passel, "batch", "retry", batch_id, "--error", "HTTP 400", "--json")
    assert again["retried"] == 1
    wait_until(lambda: passel.client.get(f"/v1/session-batches/{batch_id}", include_sessions=False)["finished_at"])
    assert [t["try"] for t in output(passel, "batch", "tries", batch_id, "0", "--json")] == [1, 2]
    tasks.write_text('{"task": "one", "prompt": "one"}\n{"task": "two", "prompt": "two"}\n')
    grown = passel_command(passel, *run[:4], "--llm", "echo", *run[6:], "--complete-missing")
    assert grown.returncode == 0 and json.loads(grown.stdout)["counts"]["completed"] == 2, grown.stderr
