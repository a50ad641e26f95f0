"""Sessions that begin with the history of another one."""

import json
from typing import Any

from tests.support.installation import Installation, PlayedModel, item, wait_for_batch
from tests.test_bad_input import readable
from tests.test_cancelling import asked
from tests.test_sessions import ended, text


def talk(passel: Installation, agent: str, *words: str, **fields: Any) -> str:
    """A session in which these messages were sent and answered, one after the other."""
    session_id = passel.client.post(f"/v1/agents/{agent}/sessions", fields)["id"]
    for said in words:
        ended(passel, asked(passel, session_id, said))
    return session_id


def events_of(passel: Installation, session_id: str) -> list[Any]:
    return passel.client.get(f"/v1/sessions/{session_id}/events")["events"]


def test_a_fork_goes_on_with_the_history(passel: Installation, agent: str) -> None:
    given = {"name": "first", "metadata": {"run": "1"}, "llm_id": "count", "secrets": {"A_KEY": "kept"}}
    session_id = talk(passel, agent, "one", "two", "three", **given)
    original, told = passel.client.get(f"/v1/sessions/{session_id}"), events_of(passel, session_id)
    place = [e for e in told if e["data"].get("status") == "idle"][1]
    fork = passel.client.post(f"/v1/sessions/{session_id}/fork", {"after": place["id"], "name": "second"})
    assert fork == passel.client.get(f"/v1/sessions/{fork['id']}")
    assert fork["forked_from"] == {"session_id": session_id, "event_id": place["id"]} and "forked_from" not in original
    same = ("agent_id", "version_id", "llm_id", "internet_access", "metadata")
    assert {name: fork[name] for name in same} == {name: original[name] for name in same}
    assert fork["name"] == "second" and fork["status"] == "idle" and fork["last_message_status"] == "completed"

    history = events_of(passel, fork["id"])
    assert [e["sequence_number"] for e in history] == list(range(1, place["sequence_number"] + 1))
    assert [(e["type"], e["created_at"]) for e in history] == [(e["type"], e["created_at"]) for e in told[: len(history)]]
    messages = passel.client.get(f"/v1/sessions/{fork['id']}/messages")["messages"]
    assert [m["sequence_number"] for m in messages] == [1, 2] and {m["session_id"] for m in messages} == {fork["id"]}
    assert {e["message_id"] for e in history if e["message_id"]} == {m["id"] for m in messages}
    assert not any(e["message_id"] and e["message_id"] in json.dumps(history) for e in told)
    assert passel.client.get(f"/v1/costs/sessions/{fork['id']}")["calls"] == 0
    items = passel.client.get(f"/v1/sessions/{fork['id']}/transcript")["timeline"]["items"]
    assert [i["content"] for i in items if i["type"] == "user_message"] == [text("one"), text("two")]

    answer = ended(passel, asked(passel, fork["id"], "another three"))["output"]["parts"][0]["text"]
    assert json.loads(answer)["roles"] == ["system", *["user", "assistant"] * 2, "user"]
    assert passel.client.get(f"/v1/costs/sessions/{fork['id']}")["calls"] == 1
    assert passel.client.get(f"/v1/sessions/{session_id}") == original and events_of(passel, session_id) == told
    of_a_fork = passel.client.post(f"/v1/sessions/{fork['id']}/fork", {"metadata": {"run": "2"}})
    assert of_a_fork["name"] == "second" and of_a_fork["metadata"] == {"run": "2"}
    assert len(events_of(passel, of_a_fork["id"])) == len(events_of(passel, fork["id"]))


def test_a_forks_secrets_open(passel: Installation, model: PlayedModel, agent: str) -> None:
    session_id = talk(passel, agent, "with a key", llm_api_key="sk-of-the-original")
    fork = passel.client.post(f"/v1/sessions/{session_id}/fork")
    passel.client.delete(f"/v1/sessions/{session_id}")
    assert ended(passel, asked(passel, fork["id"], "with the same key"))["status"] == "completed"
    assert "sk-of-the-original" in model.state()["keys"]
    assert passel.client.get(f"/v1/sessions/{fork['id']}")["forked_from"]["session_id"] == session_id  # though it has gone


def test_where_a_session_can_be_forked(passel: Installation, agent: str) -> None:
    session_id = talk(passel, agent, "a", "b")
    told, path = events_of(passel, session_id), f"/v1/sessions/{session_id}/fork"
    idle = [e["sequence_number"] for e in told if e["data"].get("status") == "idle"]
    for number in range(1, len(told) + 1):
        answer = passel.http().post(path, json={"after": number})
        nearest = max([n for n in (*idle, *(n - 1 for n in idle)) if n <= number], default=0)
        if nearest == number:
            # between a message's end and the session's word that it is idle: the fork says so itself
            assert answer.status_code == 201, answer.text
            events = events_of(passel, answer.json()["id"])
            assert len(events) == number + (number not in idle) and events[-1]["data"]["status"] == "idle"
        else:
            assert answer.status_code == 409, answer.text
            assert (f"{session_id}:evt_{nearest}" if nearest else "no earlier") in readable(answer)
            assert answer.json()["errors"][0]["loc"] == "after"
    for after in (0, -1, len(told) + 1, "evt_x", "sess_other:evt_1", f"{session_id}:evt_99", "9" * 5000, True, 1.5, []):
        answer = passel.http().post(path, json={"after": after})
        assert answer.status_code == 422 and "after" in readable(answer) and answer.json()["errors"][0]["loc"] == "after", after
    assert passel.http().post(path, json={"afer": 1}).status_code == 422
    assert passel.http().post(path, json={"metadata": {"k" * 65: "x"}}).json()["errors"][0]["loc"] == f"metadata.{'k' * 65}"


def test_a_session_that_runs_is_forked_where_it_was_idle(passel: Installation, agent: str) -> None:
    session_id = talk(passel, agent, "done", llm_id="wait-0.3")
    rest = events_of(passel, session_id)[-1]["id"]
    asked(passel, session_id, "under way")
    refused = passel.http().post(f"/v1/sessions/{session_id}/fork")
    assert refused.status_code == 409 and rest in readable(refused)
    assert passel.client.post(f"/v1/sessions/{session_id}/fork", {"after": rest})["status"] == "idle"
    passel.client.post(f"/v1/sessions/{session_id}/cancel")
    fork = passel.client.post(f"/v1/sessions/{session_id}/fork")
    messages = passel.client.get(f"/v1/sessions/{fork['id']}/messages")["messages"]
    assert [m["status"] for m in messages] == ["completed", "failed"] and messages[1]["output"]["error"] == "cancelled"


def test_forks_of_nothing_and_of_items(passel: Installation, model: PlayedModel, agent: str) -> None:
    empty = passel.client.post(f"/v1/agents/{agent}/sessions", {})["id"]
    fork = passel.client.post(f"/v1/sessions/{empty}/fork")
    assert fork["forked_from"] == {"session_id": empty, "event_id": None} and fork["last_message_id"] is None
    assert ended(passel, asked(passel, fork["id"], "first words"))["sequence_number"] == 1

    made = passel.client.post("/v1/session-batches", {"items": [item(agent, "of a batch")]})
    before = wait_for_batch(passel.client, made["batch_id"])
    fork = passel.client.post(f"/v1/sessions/{made['sessions'][0]['session_id']}/fork")
    ended(passel, asked(passel, fork["id"], "on its own"))
    assert wait_for_batch(passel.client, made["batch_id"]) == before
    assert passel.client.delete(f"/v1/sessions/{fork['id']}")["deleted"]  # it is no item's

    other = passel.deploy(model.url, ["echo"], name="to-delete-too")
    session_id = talk(passel, other, "x")
    passel.client.delete(f"/v1/agents/{other}")
    assert passel.http().post(f"/v1/sessions/{session_id}/fork").status_code == 409
    assert passel.http().post("/v1/sessions/sess_none/fork").status_code == 404
