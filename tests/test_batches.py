"""Batches over HTTP, against the whole of Passel and a played model."""

import concurrent.futures
import json
from typing import Any

import pytest

from passel.cli.output import CommandError
from tests.support.installation import Installation, PlayedModel, item, wait_for_batch, wait_until

COUNTS = {"queued", "running", "completed", "failed"}


def test_items_come_back_in_input_order_with_results(passel: Installation, model: PlayedModel, agent: str) -> None:
    items = [item(agent, f"order {n}", metadata={"n": str(n)}, llm_id="echo") for n in range(40)]
    made = passel.client.post("/v1/session-batches", {"items": items})
    assert [s["index"] for s in made["sessions"]] == list(range(40))
    assert {s["status"] for s in made["sessions"]} == {"queued"} and set(made["counts"]) == COUNTS
    done = wait_for_batch(passel.client, made["batch_id"])
    assert done["status"] == "completed" and done["counts"] == {"queued": 0, "running": 0, "completed": 40, "failed": 0}
    full = passel.client.get(f"/v1/session-batches/{made['batch_id']}")
    assert [s["session_id"] for s in full["sessions"]] == [s["session_id"] for s in made["sessions"]]
    assert all(
        s["last_message_status"] == "completed" and s["transcript_url"] == f"/v1/sessions/{s['session_id']}/transcript"
        for s in full["sessions"]
    )
    with passel.client.lines(f"/v1/session-batches/{made['batch_id']}/results") as results:
        lines = list(results)
    assert [line["text"] for line in lines] == [f"echo: order {n}" for n in range(40)]
    assert [line["metadata"] for line in lines] == [{"n": str(n)} for n in range(40)]
    assert all(line["usage"]["input_tokens"] == 11 and line["usage"]["calls"] == 1 for line in lines)
    assert full["usage"]["input_tokens"] == 440 and full["usage"]["unpriced_calls"] == 40
    asked = model.calls()
    assert all(asked[f"order {n}"] == 1 for n in range(40))


def test_an_item_that_cannot_be_made_fails_alone(passel: Installation, agent: str) -> None:
    items = [
        item(agent, "fine"),
        item(agent, "bad option", llm_id="nope"),
        item(agent, "bad version", version_id="ver_nope"),
        item(agent, "bad secret", secrets={"lower case": "x"}),
        {"agent_id": agent, "message": {"content": [{"type": "file", "file_id": "file_nope"}]}},
        item(agent, "fine too"),
    ]
    made = passel.client.post("/v1/session-batches", {"items": items})
    failed = [s for s in made["sessions"] if s["status"] == "failed"]
    assert [s["index"] for s in failed] == [1, 2, 3, 4]
    assert all(s["session_id"] is None and s["transcript_url"] is None and s["error"] for s in failed)
    assert failed[0]["llm_id"] == "nope" and "echo" in failed[0]["error"]
    assert failed[1]["version_id"] == "ver_nope"
    done = wait_for_batch(passel.client, made["batch_id"])
    assert done["status"] == "partial_failed" and done["counts"]["completed"] == 2 and sum(done["counts"].values()) == 6


def test_a_batch_of_nothing_but_failures_is_failed_at_once(passel: Installation, agent: str) -> None:
    made = passel.client.post("/v1/session-batches", {"items": [item(agent, "x", llm_id="nope")] * 2})
    assert made["status"] == "failed" and made["finished_at"]


def test_one_key_is_one_batch_however_often_and_at_once(passel: Installation, agent: str) -> None:
    body = {"idempotency_key": "twice", "items": [item(agent, f"twice {n}") for n in range(20)]}
    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda _: passel.http().post("/v1/session-batches", json=body), range(12)))
    assert {a.status_code for a in answers} == {201}
    assert len({a.json()["batch_id"] for a in answers}) == 1
    assert sum("idempotency-replayed" not in a.headers for a in answers) == 1
    sessions = {tuple(s["session_id"] for s in a.json()["sessions"]) for a in answers}
    assert len(sessions) == 1


def test_a_stream_of_items_is_a_batch_too(passel: Installation, agent: str) -> None:
    lines = [json.dumps(item(agent, f"line {n}")).encode() for n in range(1500)]
    body = b"\n".join(lines[:700]) + b"\r\n\n" + b"\n".join(lines[700:])  # blank lines, CRLF, no newline at the end

    def pieces() -> Any:
        for start in range(0, len(body), 1000):
            yield body[start : start + 1000]

    made = passel.client.post_lines("/v1/session-batches", pieces, idempotency_key="stream", max_concurrency=50)
    assert made["size"] == 1500 and made["max_concurrency"] == 50 and "sessions" not in made
    again = passel.client.post_lines("/v1/session-batches", pieces, idempotency_key="stream")
    assert again["batch_id"] == made["batch_id"]
    done = wait_for_batch(passel.client, made["batch_id"])
    assert done["counts"]["completed"] == 1500
    with passel.client.lines(f"/v1/session-batches/{made['batch_id']}/results") as results:
        assert [line["text"] for line in results] == [f"echo: line {n}" for n in range(1500)]


def test_a_bad_line_leaves_nothing_behind(passel: Installation, agent: str) -> None:
    before = passel.client.get("/v1/session-batches", limit=1000)["session_batches"]
    lines = [json.dumps(item(agent, f"gone {n}")).encode() for n in range(50)]
    for bad, said in ((b'{"agent_id": 3}', "items[50].agent_id"), (b"{not json", "items[50]"), (b"\xff\xfe", "items[50]")):
        with pytest.raises(CommandError, match="HTTP 422") as error:
            passel.client.post_lines("/v1/session-batches", lambda bad=bad: iter([b"\n".join([*lines, bad])]), idempotency_key="bad")
        assert said in str(error.value)
    assert passel.client.get("/v1/session-batches", limit=1000)["session_batches"] == before
    assert passel.client.post_lines("/v1/session-batches", lambda: iter([b"\n".join(lines)]), idempotency_key="bad")["size"] == 50


def test_a_json_batch_over_the_limit_points_to_the_stream(passel: Installation, agent: str) -> None:
    answer = passel.http().post("/v1/session-batches", json={"items": [item(agent, "x")] * 201})
    assert answer.status_code == 413 and "x-ndjson" in answer.json()["detail"]


def test_cancel_ends_a_batch_and_its_running_calls(passel: Installation, model: PlayedModel, agent: str) -> None:
    items = [item(agent, f"cancelled {n}", llm_id="wait-30") for n in range(30)]
    made = passel.client.post("/v1/session-batches", {"items": items, "max_concurrency": 5})
    wait_until(lambda: passel.client.get(f"/v1/session-batches/{made['batch_id']}")["counts"]["running"] == 5)
    cancelled = passel.client.post(f"/v1/session-batches/{made['batch_id']}/cancel")
    assert cancelled["status"] == "failed" and cancelled["cancelled"] == 30 and cancelled["cancel_requested_at"]
    again = passel.client.post(f"/v1/session-batches/{made['batch_id']}/cancel")
    assert again["counts"] == cancelled["counts"] == {"queued": 0, "running": 0, "completed": 0, "failed": 30}
    full = passel.client.get(f"/v1/session-batches/{made['batch_id']}")
    assert {s["error"] for s in full["sessions"]} == {"cancelled"}
    # their calls of half a minute are given up too, since nobody will read the answers
    wait_until(lambda: model.state()["in_flight"] == 0, 10)
    session = passel.client.get(f"/v1/sessions/{full['sessions'][0]['session_id']}")
    assert session["status"] == "idle" and session["last_message_status"] == "failed"


def test_max_concurrency_bounds_the_calls_in_flight(passel: Installation, model: PlayedModel, agent: str) -> None:
    items = [item(agent, f"capped {n}", llm_id="wait-0.3") for n in range(12)]
    made = passel.client.post("/v1/session-batches", {"items": items, "max_concurrency": 3})
    running = []
    while not (batch := passel.client.get(f"/v1/session-batches/{made['batch_id']}", include_sessions=False))["finished_at"]:
        running.append(batch["counts"]["running"])
        assert sum(batch["counts"].values()) == 12
    assert max(running) <= 3 and batch["counts"]["completed"] == 12


def test_lists_page_from_the_newest(passel: Installation, agent: str) -> None:
    ids = [passel.client.post("/v1/session-batches", {"items": [item(agent, "listed")]})["batch_id"] for _ in range(3)]
    first = passel.client.get("/v1/session-batches", limit=2)["session_batches"]
    assert [b["batch_id"] for b in first] == [ids[2], ids[1]]
    second = passel.client.get("/v1/session-batches", limit=1, after=first[-1]["batch_id"])["session_batches"]
    assert [b["batch_id"] for b in second] == [ids[0]]


def test_results_can_be_read_while_it_runs(passel: Installation, agent: str) -> None:
    items = [item(agent, f"early {n}", llm_id="echo" if n else "wait-30") for n in range(4)]
    made = passel.client.post("/v1/session-batches", {"items": items})

    def three_done() -> Any:
        with passel.client.lines(f"/v1/session-batches/{made['batch_id']}/results") as results:
            lines = list(results)
        return lines if [line["status"] for line in lines[1:]] == ["completed"] * 3 else None

    lines = wait_until(three_done)
    assert lines[0]["status"] in ("queued", "running") and lines[0]["text"] is None
    passel.client.post(f"/v1/session-batches/{made['batch_id']}/cancel")


def test_a_deleted_agent_takes_no_batches(passel: Installation, model: PlayedModel) -> None:
    other = passel.deploy(model.url, ["echo"], name="short-lived")
    passel.client.delete(f"/v1/agents/{other}")
    answer = passel.http().post("/v1/session-batches", json={"items": [item(other, "x")]})
    assert answer.status_code == 404 and "deleted" in answer.json()["detail"]
