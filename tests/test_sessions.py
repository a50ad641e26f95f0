"""Sessions, messages, events and transcripts over HTTP."""

import base64
import concurrent.futures
from typing import Any

from tests.support.installation import Installation, PlayedModel, wait_until

PIXEL = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==")


def text(value: str) -> list[dict[str, str]]:
    return [{"type": "text", "text": value}]


def ended(passel: Installation, message_id: str) -> Any:
    def check() -> Any:
        message = passel.client.get(f"/v1/messages/{message_id}")
        return message if message["status"] in ("completed", "failed") else None

    return wait_until(check)


def test_a_conversation_with_everything_that_is_told_of_it(passel: Installation, agent: str) -> None:
    session = passel.client.post(f"/v1/agents/{agent}/sessions", {"name": "talk", "metadata": {"run": "r1"}, "llm_id": "count"})
    assert session == passel.client.get(f"/v1/sessions/{session['id']}")
    assert session["status"] == "idle" and session["last_message_id"] is None and session["llm_id"] == "count"
    assert set(session) == {
        "id", "name", "agent_id", "version_id", "llm_id", "storage_binding_id", "internet_access", "status",
        "last_message_id", "last_message_status", "created_at", "metadata",
    }  # fmt: skip
    sent = passel.client.post(
        f"/v1/sessions/{session['id']}/events", {"type": "user.message", "content": text("one"), "metadata": {"a": 1}}
    )
    assert sent["event"]["id"] == f"{session['id']}:evt_1" and sent["event"]["sequence_number"] == 1
    assert sent["session"]["status"] == "running" and sent["session"]["last_message_status"] == "queued"
    assert sent["message"] == {"id": sent["event"]["message_id"], "status": "queued"}
    first = ended(passel, sent["message"]["id"])
    assert first["status"] == "completed" and first["parts"] == text("one") and first["metadata"] == {"a": 1} and first["attempt"] == 1
    assert first["output"]["parts"][0]["text"] == '{"messages": 2, "kinds": [], "roles": ["system", "user"]}'
    second = passel.client.post(f"/v1/sessions/{session['id']}/events", {"type": "user.message", "content": text("two")})
    answer = ended(passel, second["message"]["id"])
    assert '"roles": ["system", "user", "assistant", "user"]' in answer["output"]["parts"][0]["text"]

    listed = passel.client.get(f"/v1/sessions/{session['id']}/messages")["messages"]
    assert [m["sequence_number"] for m in listed] == [1, 2] and listed[0] == first
    events = passel.client.get(f"/v1/sessions/{session['id']}/events")["events"]
    assert [e["sequence_number"] for e in events] == list(range(1, len(events) + 1))
    assert events[0]["actor"]["type"] == "user" and events[0]["actor"]["id"].startswith("org_")
    said = next(e for e in events if e["type"] == "assistant.message_completed")
    assert said["source"] == "agent" and said["actor"] == {"type": "agent", "id": agent} and said["data"]["call"]["input_tokens"] == 11
    transcript = passel.client.get(f"/v1/sessions/{session['id']}/transcript")
    assert [i["type"] for i in transcript["timeline"]["items"]] == ["user_message", "assistant_message"] * 2
    assert transcript["agent"]["id"] == agent and transcript["session"]["status"] == "idle"
    bill = passel.client.get(f"/v1/costs/sessions/{session['id']}")
    assert bill["event_count"] == 0 and bill["calls"] == 2 and bill["total_cost_usd"] == "0" and bill["unpriced_calls"] == 2


def test_events_page_both_ways(passel: Installation, agent: str) -> None:
    sent = passel.client.post(f"/v1/agents/{agent}/messages", {"type": "user.message", "content": text("paged")})
    ended(passel, sent["message"]["id"])
    path = f"/v1/sessions/{sent['session']['id']}/events"
    every = passel.client.get(path)
    assert not every["has_more"]
    first = passel.client.get(path, limit=2)
    rest = passel.client.get(path, after=first["events"][-1]["id"])
    assert first["events"] + rest["events"] == every["events"] and first["has_more"]
    assert passel.client.get(path, order="desc")["events"] == every["events"][::-1]
    older = passel.client.get(path, order="desc", after=3)["events"]
    assert [e["sequence_number"] for e in older] == [2, 1]
    for wrong in ("sess_other:evt_1", "evt_x", "99999999999"):
        assert passel.http().get(path, params={"after": wrong}).status_code == 400


def test_an_idempotency_key_gives_the_original_event(passel: Installation, model: PlayedModel, agent: str) -> None:
    session = passel.client.post(f"/v1/agents/{agent}/sessions", {})
    body = {"type": "user.message", "content": text("only once")}

    def send(_: int) -> Any:
        return passel.http().post(f"/v1/sessions/{session['id']}/events", json=body, headers={"Idempotency-Key": "k1"})

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(send, range(8)))
    assert {a.status_code for a in answers} == {202}
    assert len({a.json()["event"]["id"] for a in answers}) == 1
    assert sum("idempotency-replayed" in a.headers for a in answers) == 7
    ended(passel, answers[0].json()["message"]["id"])
    assert model.calls()["only once"] == 1

    start = {"type": "user.message", "content": text("one session"), "session": {"name": "s"}}
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        started = list(
            pool.map(lambda _: passel.http().post(f"/v1/agents/{agent}/messages", json=start, headers={"Idempotency-Key": "k2"}), range(8))
        )
    assert len({a.json()["session"]["id"] for a in started}) == 1


def test_queued_messages_wait_their_turn(passel: Installation, agent: str) -> None:
    session = passel.client.post(f"/v1/agents/{agent}/sessions", {"llm_id": "wait-0.3"})
    path = f"/v1/sessions/{session['id']}/events"
    ids = [passel.client.post(path, {"type": "user.message", "content": text(f"turn {n}")})["message"]["id"] for n in range(4)]
    assert passel.client.get(f"/v1/messages/{ids[-1]}")["status"] == "queued"
    assert [ended(passel, i)["output"]["parts"][0]["text"] for i in ids] == [f"echo: turn {n}" for n in range(4)]
    events = passel.client.get(path)["events"]
    running = [e["message_id"] for e in events if e["data"].get("status") == "running" and e["message_id"]]
    assert running == ids


def test_sessions_are_found_by_metadata(passel: Installation, agent: str) -> None:
    made = [passel.client.post(f"/v1/agents/{agent}/sessions", {"metadata": {"find": "me", "n": str(n)}})["id"] for n in range(3)]
    found = passel.client.get("/v1/sessions", **{"metadata.find": "me"})["sessions"]
    assert [s["id"] for s in found] == made[::-1]
    one = passel.client.get("/v1/sessions", **{"metadata.find": "me", "metadata.n": "1"})["sessions"]
    assert [s["id"] for s in one] == [made[1]]
    assert passel.client.get("/v1/sessions", **{"metadata.find": "m"})["sessions"] == []
    assert [s["id"] for s in passel.client.get(f"/v1/agents/{agent}/sessions", limit=1)["sessions"]] == [made[2]]


def test_old_forms_are_understood(passel: Installation, agent: str) -> None:
    session = passel.client.post(f"/v1/agents/{agent}/sessions", {})
    old = passel.client.post(
        f"/v1/sessions/{session['id']}/events", {"events": [{"type": "user.message", "content": text("May"), "metadata": {}}]}
    )
    assert old["events"] == [old["event"]]
    older = passel.client.post(f"/v1/sessions/{session['id']}/messages", {"parts": text("March")})
    assert older["session_id"] == session["id"] and older["attempt"] == 1
    assert ended(passel, older["id"])["output"]["parts"] == text("echo: March")
    empty_body = passel.http().post(f"/v1/agents/{agent}/sessions", headers={"Content-Type": "application/json"})
    assert empty_body.status_code == 201


def test_files_and_images_reach_the_model(passel: Installation, agent: str) -> None:
    note = passel.http().post("/v1/files", files={"file": ("../notes/plan.txt", b"the plan is simple")}).json()
    assert note["filename"] == "plan.txt" and note["size_bytes"] == 18
    picture = passel.http().post("/v1/files", files={"file": ("p.png", PIXEL)}).json()
    blocks = [*text("look"), {"type": "file", "file_id": note["id"]}, {"type": "image", "file_id": picture["id"]}]
    sent = passel.client.post(f"/v1/agents/{agent}/messages", {"type": "user.message", "content": blocks, "session": {"llm_id": "count"}})
    answer = ended(passel, sent["message"]["id"])["output"]["parts"][0]["text"]
    assert '"kinds": ["text", "text", "image_url"]' in answer

    archive = passel.http().post("/v1/files", files={"file": ("src.tar.gz", b"\x1f\x8b\x08\x00binary")}).json()
    blocks = [*text("what is it?"), {"type": "file", "file_id": archive["id"]}]
    sent = passel.client.post(f"/v1/agents/{agent}/messages", {"type": "user.message", "content": blocks})
    shown = ended(passel, sent["message"]["id"])["output"]["parts"][0]["text"]
    assert "src.tar.gz" in shown and "10 bytes" in shown  # a model is told of what it cannot be shown

    for block, status in (
        ({"type": "image", "file_id": note["id"]}, 422),
        ({"type": "file", "file_id": "file_none"}, 404),
    ):
        wrong = passel.http().post(f"/v1/agents/{agent}/messages", json={"type": "user.message", "content": [block]})
        assert wrong.status_code == status, wrong.text


def test_session_secrets_reach_only_the_provider(passel: Installation, model: PlayedModel, agent: str) -> None:
    body = {
        "type": "user.message",
        "content": text("keyed"),
        "session": {"llm_api_key": "sk-session-key", "secrets": {"A_SECRET": "hidden-value"}},
    }
    sent = passel.client.post(f"/v1/agents/{agent}/messages", body)
    ended(passel, sent["message"]["id"])
    assert "sk-session-key" in model.state()["keys"]
    told = [passel.http().get(f"/v1/sessions/{sent['session']['id']}{path}").text for path in ("", "/events", "/transcript", "/messages")]
    assert not any("hidden-value" in answer or "sk-session-key" in answer for answer in told)
    unknown = passel.http().post(f"/v1/agents/{agent}/sessions", json={"secret": {"A": "b"}})
    assert unknown.status_code == 422 and "secret" in unknown.json()["detail"]


def test_a_deleted_agent_leaves_its_sessions_readable(passel: Installation, model: PlayedModel) -> None:
    other = passel.deploy(model.url, ["echo"], name="to-delete")
    sent = passel.client.post(f"/v1/agents/{other}/messages", {"type": "user.message", "content": text("last words")})
    ended(passel, sent["message"]["id"])
    first = passel.client.delete(f"/v1/agents/{other}")
    assert first["deleted_at"] == passel.client.delete(f"/v1/agents/{other}")["deleted_at"]
    assert other not in [a["id"] for a in passel.client.get("/v1/agents")["agents"]]
    refused = passel.http().post(f"/v1/sessions/{sent['session']['id']}/events", json={"type": "user.message", "content": text("more")})
    assert refused.status_code == 409
    assert passel.http().post(f"/v1/agents/{other}/sessions", json={}).status_code == 404
    assert passel.client.get(f"/v1/sessions/{sent['session']['id']}/transcript")["agent"]["deleted_at"]
    assert passel.deploy(model.url, ["echo"], name="to-delete") != other
