"""Webhooks as users meet them: over HTTP, from the command line, with real workers that are killed."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2
import psutil
import pytest

from passel.faces.dari.requests import ToolResultEvent
from passel.faces.dari.signatures import SIGNATURE, sign, verify
from tests.support.installation import Installation, PlayedModel, Program, item, scratch_dir, wait_for_batch, wait_until
from tests.support.offices import ALL
from tests.support.receiver import Receiver, Reply, receiver
from tests.support.worlds import INVARIANTS
from tests.test_chaos import rows
from tests.test_cli import output, passel_command


@pytest.fixture(scope="module")
def hooked(passel: Installation, model: PlayedModel) -> str:
    """An agent of its own, so that nobody else's sessions are announced."""
    return passel.deploy(model.url, ["echo", "wait-0.3", "status-400"], name="hooked")


@pytest.fixture
def got(passel: Installation, hooked: str) -> Iterator[Receiver]:
    with receiver() as opened:
        yield opened
        passel.http().delete(f"/v1/agents/{hooked}/webhook")


def submit(passel: Installation, agent: str, count: int, **fields: Any) -> str:
    made = passel.client.post("/v1/session-batches", {"items": [item(agent, f"hook {n}", **fields) for n in range(count)]})
    wait_for_batch(passel.client, made["batch_id"])
    return made["batch_id"]


def test_from_configuration_to_redelivery(passel: Installation, hooked: str, got: Receiver) -> None:
    http, path = passel.http(), f"/v1/agents/{hooked}/webhook"
    nothing = {"webhook_url": None, "signing_enabled": False, "event_types": [], "signing_secret": None}
    assert http.get(path).json() == nothing and http.post(f"{path}/rotate-secret").status_code == 409
    first = http.put(path, json={"webhook_url": got.url}).json()
    assert first["event_types"] == ["tool.call_requested"] and first["signing_enabled"] and first["signing_secret"].startswith("whsec_")
    changed = http.put(path, json={"webhook_url": got.url, "event_types": ALL}).json()
    assert changed["signing_secret"] is None and changed["event_types"] == ALL
    assert http.get(path).json() == changed
    secret = http.post(f"{path}/rotate-secret").json()["signing_secret"]
    assert secret != first["signing_secret"]

    since = datetime.now(UTC).isoformat()
    batch_id = submit(passel, hooked, 3, metadata={"run": "seven"})
    got.wait_for(4)
    assert sorted(one.body["type"] for one in got.got) == ["batch.completed", *["session.completed"] * 3]
    assert all(verify(secret, one.headers[SIGNATURE], one.raw) for one in got.got)
    session = next(one.body for one in got.got if one.body["type"] == "session.completed")
    assert session["data"]["metadata"] == {"run": "seven"} and session["data"]["llm_id"] is None
    assert session["data"]["last_message_id"] == passel.client.get(f"/v1/sessions/{session['session_id']}")["last_message_id"]
    batch = next(one.body for one in got.got if one.body["type"] == "batch.completed")
    assert batch["batch_id"] == batch_id and len(batch["data"]["sessions"]) == 3 and batch["data"]["sessions_complete"]
    shown = passel.client.get(f"/v1/session-batches/{batch_id}")
    assert batch["data"]["sessions"] == shown["sessions"] and batch["data"]["counts"] == shown["counts"]

    def delivered() -> Any:
        found = http.get(f"{path}/deliveries").json()["deliveries"]
        return found if [d["status"] for d in found] == ["delivered"] * 4 else None

    listed = wait_until(delivered)
    assert {d["id"] for d in listed} == {one.id for one in got.got} and all(d["tries"][0]["status_code"] == 200 for d in listed)
    page = http.get(f"{path}/deliveries", params={"limit": 2, "type": "session.completed"}).json()
    rest = http.get(f"{path}/deliveries", params={"limit": 2, "type": "session.completed", "after": page["next_after"]}).json()
    assert page["has_more"] and not rest["has_more"] and len(page["deliveries"] + rest["deliveries"]) == 3
    assert http.get(f"{path}/deliveries", params={"status": "failed"}).json()["deliveries"] == []

    again = http.post(f"{path}/deliveries/{batch['id']}/redeliver")
    assert again.status_code == 202 and again.json()["id"] == batch["id"]
    assert got.wait_for(5)[4].body == batch | {"watermark": 1}
    wait_until(lambda: sum(len(d["tries"]) for d in delivered()) == 5)  # what is being delivered just now is not taken up
    spanned = http.post(f"{path}/redeliver", json={"since": since})
    assert spanned.status_code == 202 and spanned.json() == {"redelivered": 4, "has_more": False, "next_after": None}
    assert {one.id for one in got.wait_for(9)[5:]} == {d["id"] for d in listed}
    assert http.delete(path).json() == http.delete(path).json() == {k: v for k, v in nothing.items() if k != "event_types"}
    assert http.get(f"/v1/sessions/{batch['id']}").status_code == 404  # deliveries are no agent's sessions
    found = http.get(f"/v1/agents/{hooked}/sessions").json()["sessions"]
    assert found and all(one["id"].startswith("sess_") for one in found)


BAD: list[tuple[dict[str, Any], str]] = [
    ({}, "webhook_url"),
    ({"webhook_url": 5}, "webhook_url"),
    ({"webhook_url": "example.com/hook"}, "absolute URL"),
    ({"webhook_url": "ftp://example.com/hook"}, "absolute URL"),
    ({"webhook_url": "https:///nohost"}, "absolute URL"),
    ({"webhook_url": "https://example.com:99999/"}, "webhook_url"),
    ({"webhook_url": "https://user:pw@example.com/"}, "user name"),
    ({"webhook_url": "https://example.com/a b"}, "absolute URL"),
    ({"webhook_url": "https://example.com/" + "x" * 3000}, "2048"),
    ({"webhook_url": "https://example.com/", "event_types": []}, "event_types is empty"),
    ({"webhook_url": "https://example.com/", "event_types": ["session.completed", "nope"]}, "nope"),
    ({"webhook_url": "https://example.com/", "event_type": ["session.completed"]}, "event_type"),
]


def test_bad_input_is_named(passel: Installation, hooked: str) -> None:
    http, path = passel.http(), f"/v1/agents/{hooked}/webhook"
    for body, said in BAD:
        answer = http.put(path, json=body)
        assert answer.status_code == 422 and said in answer.json()["detail"], (body, answer.text)
    assert http.put(path, json=BAD[10][0]).json()["errors"][0]["loc"] == "event_types[1]"
    http.put(path, json={"webhook_url": "http://127.0.0.1:9/"})
    for since in ({}, {"since": "yesterday"}, {"since": "2026-11-24T18:00:00Z", "until": "2026-11-24T17:00:00Z"}, {"since": 5}):
        assert http.post(f"{path}/redeliver", json=since).status_code == 422, since
    assert http.post(f"{path}/deliveries/whk_nothing/redeliver").status_code == 404
    assert http.get(f"{path}/deliveries", params={"status": "lost"}).status_code == 422
    assert "session.completed" in http.get(f"{path}/deliveries", params={"type": "lost"}).json()["detail"]
    http.delete(path)


def test_killed_workers_lose_no_delivery(model: PlayedModel) -> None:
    with scratch_dir() as directory, receiver() as got:
        passel = Installation(directory, 2, {"PASSEL_WEBHOOK_CONCURRENCY": "8"}).start()
        agent = passel.deploy(model.url, ["echo"])
        path = f"/v1/agents/{agent}/webhook"
        passel.client.put(path, {"webhook_url": got.url, "event_types": ALL})
        got.reply = lambda one: Reply(wait=0.1)
        made = passel.client.post("/v1/session-batches", {"items": [item(agent, f"kill {n}") for n in range(40)]})
        for count, victims in ((5, 2), (25, 1)):
            got.wait_for(count)
            for worker in passel.children("worker")[:victims]:
                with contextlib.suppress(psutil.Error):
                    worker.kill()
        wait_for_batch(passel.client, made["batch_id"])
        pending = "select count(*) as n from message where kind = 'webhook' and ended_at is null"
        wait_until(lambda: rows(passel, pending)[0]["n"] == 0)
        listed = passel.client.get(f"{path}/deliveries", limit=1000)["deliveries"]
        assert len(listed) == 41 and {d["status"] for d in listed} == {"delivered"}
        assert {one.id for one in got.got} == {d["id"] for d in listed}
        by_id: dict[str, set[bytes]] = {}
        for one in got.got:
            by_id.setdefault(one.id, set()).add(one.raw)
        assert all(len(raw) == 1 for raw in by_id.values()) and len(got.got) > 41
        assert rows(passel, INVARIANTS) == []
        assert passel.stop() == 0


def test_from_the_command_line(passel: Installation, hooked: str) -> None:
    command = [sys.executable, "-m", "passel", "webhooks", "listen", "--port", "0", "--json"]
    made = output(passel, "webhooks", "set", "hooked", "http://127.0.0.1:9/", "--event", "all", "--json")
    assert made["event_types"] == ALL
    listener = subprocess.Popen(
        [*command, "--secret", made["signing_secret"]], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    assert listener.stderr and listener.stdout
    url = listener.stderr.readline().split()[1].rstrip(";")
    assert output(passel, "webhooks", "set", "hooked", url, "--event", "session.completed", "--event", "batch.completed", "--json")
    assert url in passel_command(passel, "webhooks", "show", "hooked").stdout
    submit(passel, hooked, 1)
    heard = [json.loads(listener.stdout.readline()) for _ in range(2)]
    assert all(one["verified"] for one in heard) and {one["body"]["type"] for one in heard} == {"session.completed", "batch.completed"}
    [delivery] = wait_until(
        lambda: output(passel, "webhooks", "deliveries", hooked, "--event", "batch.completed", "--limit", "1", "--json")
    )
    wait_until(lambda: "HTTP 200" in passel_command(passel, "webhooks", "deliveries", "hooked", "--status", "delivered").stdout)
    assert passel_command(passel, "webhooks", "redeliver", "hooked", delivery["id"]).returncode == 0
    assert json.loads(listener.stdout.readline())["body"]["id"] == delivery["id"]
    spanned = passel_command(passel, "webhooks", "redeliver", "hooked", "--since", delivery["created_at"])
    assert spanned.returncode == 0 and "again" in spanned.stdout, spanned.stderr
    rotated = output(passel, "webhooks", "rotate", "hooked", "--json")
    assert rotated["signing_secret"] != made["signing_secret"]
    for wrong in (["redeliver", "hooked"], ["redeliver", "hooked", "whk_1", "--since", "2026-01-01T00:00:00Z"]):
        assert passel_command(passel, "webhooks", *wrong).returncode == 2
    assert passel_command(passel, "webhooks", "delete", "hooked").returncode == 1
    assert passel_command(passel, "webhooks", "delete", "hooked", "--yes").returncode == 0
    assert "no webhook" in passel_command(passel, "webhooks", "show", "hooked").stdout
    listener.send_signal(signal.SIGINT)
    assert listener.wait(10) == 0
    listener.stdout.close()
    listener.stderr.close()


def test_a_delivery_that_is_refused_shows_in_the_session(passel: Installation, hooked: str, got: Receiver) -> None:
    got.reply = lambda one: Reply(410)
    passel.client.put(f"/v1/agents/{hooked}/webhook", {"webhook_url": got.url, "event_types": ["session.failed"]})
    batch_id = submit(passel, hooked, 1, llm_id="status-400")
    session = passel.client.get(f"/v1/session-batches/{batch_id}")["sessions"][0]["session_id"]

    def told() -> Any:
        return [e for e in passel.client.get(f"/v1/sessions/{session}/events")["events"] if e["type"] == "webhook.delivery_failed"]

    [event] = wait_until(told)
    assert event["source"] == "system" and event["data"]["status_code"] == 410 and event["data"]["webhook_id"] == got.got[0].id
    assert event["message_id"] is None


def test_the_example_verifies_and_answers(tmp_path: Path) -> None:
    """`examples/webhook_receiver.py` against a played API, since its tool calls are what it is about."""
    secret = "whsec_example"
    with receiver() as api, socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        environment = {
            **os.environ,
            "PASSEL_URL": api.url.removesuffix("/hook"),
            "PASSEL_API_KEY": "dari_x",
            "PASSEL_WEBHOOK_SECRET": secret,
        }
        example = Program([sys.executable, "examples/webhook_receiver.py"], environment | {"PORT": str(port)}, stderr_path=tmp_path / "err")
        url = example.start("listening").split()[1]

        def deliver(delivery_id: str, secret: str, **call: Any) -> int:
            data = {"session_id": "sess_1", "message_id": "msg_1", "tool_call_id": delivery_id, "tool_name": "get_weather", **call}
            raw = json.dumps({"id": delivery_id, "type": "tool.call_requested", "data": data}).encode()
            headers = sign([secret, "whsec_older"], delivery_id, "tool.call_requested", raw, datetime.now(UTC))
            return httpx2.post(url, content=raw, headers=headers).status_code

        assert deliver("call_1", "whsec_forged", arguments={"city": "Bern"}) == 401
        assert [deliver("call_1", secret, arguments={"city": "Bern"}) for _ in range(2)] == [204, 204]
        [answer] = api.wait_for(1)
        assert answer.path == "/v1/sessions/sess_1/events" and answer.headers["Authorization"] == "Bearer dari_x"
        assert ToolResultEvent.model_validate_json(answer.raw).tool_call_id == "call_1" and answer.body["result"]["city"] == "Bern"
        assert deliver("call_2", secret, arguments="no object") == 204
        assert api.wait_for(2)[1].body["is_error"] is True
        example.stop()
