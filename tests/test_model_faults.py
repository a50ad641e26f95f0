"""Models that fail in every way: the session ends in a clear error or goes on, and the worker lives."""

from typing import Any

import pytest

from tests.support.installation import Installation, PlayedModel, item, played_model, scratch_dir, wait_for_batch
from tests.test_sessions import ended, text


def ask(passel: Installation, agent: str, rule: str, prompt: str) -> Any:
    body = {"type": "user.message", "content": text(prompt), "session": {"llm_id": rule}}
    sent = passel.client.post(f"/v1/agents/{agent}/messages", body)
    return ended(passel, sent["message"]["id"])


@pytest.mark.parametrize(
    ("rule", "said", "calls", "in_doubt"),
    [
        ("status-400", "HTTP 400", 1, 0),
        ("status-500", "upstream says 500", 2, 0),
        ("garbage", "<oh no/>", 2, 2),
        ("empty", "no chat completion", 2, 2),
        ("close", "disconnected", 2, 2),
        ("cut", "", 2, 2),
        ("hang", "did not answer within 3 s", 2, 2),
    ],
)
def test_what_fails_for_good_says_the_upstream_error(
    passel: Installation, model: PlayedModel, agent: str, rule: str, said: str, calls: int, in_doubt: int
) -> None:
    prompt = f"fault {rule}"
    message = ask(passel, agent, rule, prompt)
    assert message["status"] == "failed" and said.lower() in message["output"]["error"].lower()
    assert model.calls()[prompt] == calls
    bill = passel.client.get(f"/v1/costs/sessions/{message['session_id']}")
    assert bill["calls"] == calls and bill["event_count"] == 0 and bill["in_doubt_calls"] == in_doubt
    items = passel.client.get(f"/v1/sessions/{message['session_id']}/transcript")["timeline"]["items"]
    assert items[-1]["type"] == "assistant_message" and items[-1]["error_message"] == message["output"]["error"]
    session = passel.client.get(f"/v1/sessions/{message['session_id']}")
    assert session["status"] == "idle" and session["last_message_status"] == "failed"


def test_a_passing_fault_is_tried_again(passel: Installation, model: PlayedModel, agent: str) -> None:
    message = ask(passel, agent, "flaky-1-503", "comes back")
    assert message["status"] == "completed" and message["attempt"] == 1 and model.calls()["comes back"] == 2
    events = passel.client.get(f"/v1/sessions/{message['session_id']}/events")["events"]
    failed = [e for e in events if e["type"] == "model.call_failed"]
    assert len(failed) == 1 and failed[0]["data"]["call"]["fault"] == "overloaded"


def test_an_answer_that_no_ledger_can_hold_is_cleaned(passel: Installation, agent: str) -> None:
    message = ask(passel, agent, "nul", "nul bytes")
    assert message["status"] == "completed" and message["output"]["parts"][0]["text"].startswith("before\ufffdafter")


def test_an_answer_whose_usage_is_nonsense_counts(passel: Installation, model: PlayedModel, agent: str) -> None:
    """It was paid for: what it cost is not known."""
    message = ask(passel, agent, "odd", "odd usage")
    assert message["status"] == "completed" and model.calls()["odd usage"] == 1
    bill = passel.client.get(f"/v1/costs/sessions/{message['session_id']}")
    assert bill["calls"] == bill["unpriced_calls"] == 1 and bill["input_tokens"] == 0


def test_no_server_at_all(passel: Installation) -> None:
    agent = passel.deploy("http://127.0.0.1:9", ["echo"], name="nobody-home")
    message = ask(passel, agent, "echo", "hello?")
    assert message["status"] == "failed" and "127.0.0.1" in message["output"]["error"]
    assert passel.client.get(f"/v1/costs/sessions/{message['session_id']}")["in_doubt_calls"] == 0


def test_a_session_after_a_failed_turn_goes_on_without_it(passel: Installation, agent: str) -> None:
    message = ask(passel, agent, "status-400", "broken turn")
    sent = passel.client.post(f"/v1/sessions/{message['session_id']}/events", {"type": "user.message", "content": text("again")})
    assert ended(passel, sent["message"]["id"])["status"] == "failed"
    assert len(passel.client.get(f"/v1/sessions/{message['session_id']}/messages")["messages"]) == 2


def test_an_overloaded_provider_fails_no_turn_and_is_not_flooded() -> None:
    """A provider that takes 20 calls at once, and 200 sessions: all complete, and the refusals stay few."""
    with scratch_dir() as directory, played_model() as model:
        passel = Installation(directory, 1, {"PASSEL_LANE_CONCURRENCY": "200"}).start()
        agent = passel.deploy(model.url, ["limit-20+wait-0.1"])
        items = [item(agent, f"crowded {n}") for n in range(200)]
        made = passel.client.post("/v1/session-batches", {"items": items})
        done = wait_for_batch(passel.client, made["batch_id"], 120)
        state = model.state()
        assert passel.stop() == 0
    assert done["status"] == "completed", done
    assert done["usage"]["in_doubt_calls"] == 0
    assert state["refused"] < 600, state["refused"]
