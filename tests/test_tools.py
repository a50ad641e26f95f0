"""Agents that call tools which the client answers: over HTTP, with a played model that asks for what it is told to."""

import asyncio
import json
import random
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import asyncpg
import pytest

from passel.cli.client import Client
from tests.support.installation import KEY, Installation, PlayedModel, wait_for_batch, wait_until
from tests.test_cli import passel_command

LOOK_UP = {
    "name": "look_up",
    "description": "Looks a word up.",
    "input_schema": {"type": "object", "properties": {"word": {"type": "string"}}, "required": ["word"]},
    "output_schema": {"type": "object", "properties": {"meaning": {"type": "string"}}, "required": ["meaning"]},
}
SHORT = {"name": "short", "description": "Must be answered soon.", "input_schema": {"type": "object"}, "timeout_seconds": 1}
FREE = {"name": "free", "description": "Takes and gives anything.", "input_schema": {"type": "object"}}


def call(word: Any, name: str = "look_up", **fields: Any) -> dict[str, Any]:
    return {"name": name, "arguments": {"word": word}, **fields}


@pytest.fixture(scope="module")
def tool_agent(passel: Installation, model: PlayedModel) -> str:
    return passel.deploy(model.url, ["script"], "with-tools", tools=[LOOK_UP, SHORT, FREE])


class Turn:
    """A message to an agent that was told what to do, as its client follows it."""

    def __init__(self, client: Client, agent_id: str, script: list[Any]) -> None:
        body = {"type": "user.message", "content": [{"type": "text", "text": json.dumps(script)}]}
        self._begin(client, client.post(f"/v1/agents/{agent_id}/messages", body))

    @classmethod
    def of(cls, client: Client, sent: Any) -> "Turn":
        turn = cls.__new__(cls)
        turn._begin(client, sent)
        return turn

    def _begin(self, client: Client, sent: Any) -> None:
        self.client, self.session_id, self.message_id = client, sent["session"]["id"], sent["message"]["id"]

    def message(self) -> Any:
        return self.client.get(f"/v1/messages/{self.message_id}")

    def until(self, status: str) -> Any:
        def reached() -> Any:
            message = self.message()
            assert message["status"] == status or message["status"] not in ("completed", "failed"), message
            return message if message["status"] == status else None

        return wait_until(reached)

    def events(self, *types: str) -> list[Any]:
        found = self.client.get(f"/v1/sessions/{self.session_id}/events")["events"]
        assert [e["sequence_number"] for e in found] == list(range(1, len(found) + 1))
        return [e for e in found if not types or e["type"] in types]

    def calls(self) -> list[Any]:
        """What waits for an answer."""
        settled = {e["data"]["tool_call_id"] for e in self.events("tool.call_completed", "tool.call_failed")}
        return [e["data"] for e in self.events("tool.call_requested") if e["data"]["tool_call_id"] not in settled]

    def answer(self, tool_call_id: str, result: Any = None, **fields: Any) -> dict[str, Any]:
        return {"type": "tool.result_submitted", "message_id": self.message_id, "tool_call_id": tool_call_id, "result": result, **fields}

    def submit(self, tool_call_id: str, result: Any = None, **fields: Any) -> Any:
        return self.client.post(f"/v1/sessions/{self.session_id}/events", self.answer(tool_call_id, result, **fields))


@pytest.fixture
def begin(passel: Installation, tool_agent: str) -> Callable[..., Turn]:
    return lambda *script: Turn(passel.client, tool_agent, list(script))


def test_a_call_waits_for_its_client_and_the_turn_goes_on(begin: Callable[..., Turn]) -> None:
    turn = begin({"text": "let me look", "calls": [call("owl")]}, "it is {results}")
    waiting = turn.until("waiting_for_tool")
    assert waiting["waiting"]["reason"] == "the client's tool results" and waiting["waiting"]["until"]
    [asked] = turn.calls()
    assert asked["tool_name"] == "look_up" and asked["arguments"] == {"word": "owl"} and asked["execution"] == "external"
    sent = turn.submit(asked["tool_call_id"], {"meaning": "a bird"})
    assert sent["event"]["type"] == "tool.result_submitted" and sent["event"]["source"] == "user"
    done = turn.until("completed")
    assert done["attempt"] == 1, "a turn that goes on after a wait is no new try"
    said = 'it is ["{\\"meaning\\": \\"a bird\\"}"]'
    assert [part["type"] for part in done["output"]["parts"]] == ["text", "tool_call", "tool_result", "text"]
    assert done["output"]["parts"][3]["text"] == said
    assert done["output"]["parts"][2]["content"] == [{"type": "text", "text": '{"meaning": "a bird"}'}]
    items = turn.client.get(f"/v1/sessions/{turn.session_id}/transcript")["timeline"]["items"]
    assert [item["type"] for item in items] == ["user_message", "assistant_message", "tool_call", "assistant_message"]
    assert items[2]["result"] == {"meaning": "a bird"} and items[2]["status"] == "completed" and items[2]["completed_at"]
    assert [e["type"] for e in turn.events()] == [
        *("user.message", "session.status_changed", "message.status_changed", "assistant.message_completed"),
        *("tool.call_requested", "message.status_changed", "tool.result_submitted", "tool.call_completed"),
        *("message.status_changed", "assistant.message_completed", "message.status_changed", "session.status_changed"),
    ]


def test_all_calls_of_an_answer_are_requested_at_once_and_told_in_their_order(begin: Callable[..., Turn]) -> None:
    turn = begin({"calls": [call("a", id="same"), call("b", id="same"), call("c", id="same")]}, "{results}")
    turn.until("waiting_for_tool")
    first, second, third = turn.calls()
    for asked in (third, first):
        turn.submit(asked["tool_call_id"], {"meaning": asked["arguments"]["word"]})
        assert turn.message()["status"] == "waiting_for_tool"
    turn.submit(second["tool_call_id"], {"meaning": "b"})
    told = json.loads(turn.until("completed")["output"]["parts"][-1]["text"])
    assert [json.loads(result)["meaning"] for result in told] == ["a", "b", "c"]


def test_a_call_is_answered_once(begin: Callable[..., Turn], passel: Installation) -> None:
    turn = begin({"calls": [call("owl")]}, "{results}")
    turn.until("waiting_for_tool")
    http, path = passel.http(), f"/v1/sessions/{turn.session_id}/events"
    [asked] = turn.calls()
    call_id = asked["tool_call_id"]

    broken = http.post(path, json=turn.answer(call_id, {"meaning": 5}))
    assert broken.status_code == 422 and "meaning" in broken.json()["detail"] and turn.message()["status"] == "waiting_for_tool"
    nobody = http.post(path, json=turn.answer("call_nobody", {}))
    assert nobody.status_code == 404 and nobody.json()["errors"][0]["loc"] == "tool_call_id"
    nothing = http.post(path, json={k: v for k, v in turn.answer(call_id).items() if k != "result"})
    assert nothing.status_code == 422 and "result" in nothing.json()["detail"]

    first = http.post(path, json=turn.answer(call_id, {"meaning": "a bird"}))
    again = http.post(path, json=turn.answer(call_id, {"meaning": "a bird"}))
    other = http.post(path, json=turn.answer(call_id, {"meaning": "a cat"}))
    assert first.status_code == again.status_code == 202 and other.status_code == 409
    assert first.json()["event"] == again.json()["event"] and again.headers["Idempotency-Replayed"] == "true"
    turn.until("completed")
    assert http.post(path, json=turn.answer(call_id, {"meaning": "a bird"})).status_code == 202
    assert len(turn.events("tool.result_submitted", "tool.call_completed")) == 2


def test_of_answers_at_once_one_wins(begin: Callable[..., Turn], passel: Installation) -> None:
    turn = begin({"calls": [call("owl", name="free")]}, "{results}")
    turn.until("waiting_for_tool")
    http, path, call_id = passel.http(), f"/v1/sessions/{turn.session_id}/events", turn.calls()[0]["tool_call_id"]
    with ThreadPoolExecutor(8) as pool:
        results = [True, 1, {"a": 1, "b": 2}, {"b": 2, "a": 1}, {"a": 1, "b": 2}, "x", None, [1]]
        answers = list(pool.map(lambda result: http.post(path, json=turn.answer(call_id, result)), results))
    [submitted] = turn.events("tool.result_submitted")
    won = json.dumps(submitted["data"]["result"], sort_keys=True)
    for result, answer in zip(results, answers, strict=True):
        assert answer.status_code == (202 if json.dumps(result, sort_keys=True) == won else 409), answer.text
    turn.until("completed")


def test_answers_of_many_sessions_at_once_are_each_told_what_became_of_them(begin: Callable[..., Turn], passel: Installation) -> None:
    turns = [begin({"calls": [call("a"), call("b"), {"name": "free"}]}, "{results}") for _ in range(10)]
    for turn in turns:
        turn.until("waiting_for_tool")
    sent: list[tuple[int, Turn, dict[str, Any]]] = []
    for turn, other in zip(turns, [*turns[1:], turns[0]], strict=True):
        first, second, third = (asked["tool_call_id"] for asked in turn.calls())
        sent += [(202, turn, turn.answer(id, {"meaning": id})) for id in (first, second, third, first)]
        sent.append((422, turn, turn.answer(second, {"meaning": 5})))
        sent.append((404, turn, turn.answer("call_nobody", {})))
        sent.append((404, turn, other.answer(first, {"meaning": "of another session"})))
        sent.append((202, turn, turn.answer(third, {"meaning": third})))
    random.Random(7).shuffle(sent)
    http = passel.http()
    with ThreadPoolExecutor(40) as pool:
        answers = list(pool.map(lambda one: http.post(f"/v1/sessions/{one[1].session_id}/events", json=one[2]), sent))
    for (status, _, body), answer in zip(sent, answers, strict=True):
        # a broken result for a call that was answered before is another result for it
        assert answer.status_code == status or (status == 422 and answer.status_code == 409), (body, answer.text)
    for turn in turns:
        told = json.loads(turn.until("completed")["output"]["parts"][-1]["text"])
        submitted = [e["data"]["tool_call_id"] for e in turn.events("tool.result_submitted")]
        assert [json.loads(result)["meaning"] for result in told] == sorted(submitted) and len(submitted) == 3
        kinds = [e["type"] for e in turn.events("tool.result_submitted", "tool.call_completed")]
        assert kinds == ["tool.result_submitted", "tool.call_completed"] * 3


def test_an_answer_that_waits_for_a_lock_holds_up_no_others(begin: Callable[..., Turn], passel: Installation) -> None:
    held, free = begin({"calls": [call("owl")]}, "x"), begin({"calls": [call("owl")]}, "x")
    for turn in (held, free):
        turn.until("waiting_for_tool")
    [late], [prompt] = held.calls(), free.calls()

    async def scenario() -> None:
        connection = await asyncpg.connect(passel.database_url())
        async with connection.transaction():
            await connection.execute("select from session where id = $1 for key share", held.session_id)  # as a fork does
            slow = asyncio.create_task(asyncio.to_thread(held.submit, late["tool_call_id"], {"meaning": "a bird"}))
            waits = "select count(*) from pg_stat_activity where wait_event_type = 'Lock'"
            while not await connection.fetchval(waits):
                await asyncio.sleep(0.02)
            await asyncio.to_thread(free.submit, prompt["tool_call_id"], {"meaning": "a bird"})
            assert not slow.done()
        await slow
        await connection.close()

    asyncio.run(scenario())
    for turn in (held, free):
        turn.until("completed")


def test_of_answers_at_once_with_one_key_one_counts(begin: Callable[..., Turn], passel: Installation) -> None:
    turn = begin({"calls": [call("a", name="free"), call("b", name="free")]}, "{results}")
    turn.until("waiting_for_tool")
    first, second = (asked["tool_call_id"] for asked in turn.calls())
    http, path = passel.http(), f"/v1/sessions/{turn.session_id}/events"
    headers = {"Idempotency-Key": turn.message_id}
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda n: http.post(path, json=turn.answer(first, 1), headers=headers), range(8)))
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json()["event"]["id"] for answer in answers}) == 1
    assert sum("Idempotency-Replayed" not in answer.headers for answer in answers) == 1
    turn.submit(second, 2)
    turn.until("completed")


def test_a_result_of_many_megabytes_is_refused_and_the_call_still_waits(begin: Callable[..., Turn], passel: Installation) -> None:
    turn = begin({"calls": [call("owl")]}, "{results}")
    turn.until("waiting_for_tool")
    http, path, call_id = passel.http(), f"/v1/sessions/{turn.session_id}/events", turn.calls()[0]["tool_call_id"]
    assert http.post(path, json=turn.answer(call_id, {"meaning": "x" * 50_000_000})).status_code == 413
    deep = json.dumps(turn.answer(call_id, "DEEP")).replace('"DEEP"', "[" * 20_000 + "]" * 20_000)
    assert http.post(path, content=deep, headers={"Content-Type": "application/json"}).status_code == 422
    assert turn.message()["status"] == "waiting_for_tool"
    turn.submit(call_id, {"meaning": "a bird"})
    turn.until("completed")


def test_an_error_is_told_to_the_model_and_no_schema_is_asked(begin: Callable[..., Turn]) -> None:
    turn = begin({"calls": [call("owl")]}, "{results}")
    turn.until("waiting_for_tool")
    turn.submit(turn.calls()[0]["tool_call_id"], {"code": 7}, is_error=True)
    done = turn.until("completed")
    assert json.loads(done["output"]["parts"][-1]["text"]) == ['Error: {"code": 7}']
    [failed] = turn.events("tool.call_failed")
    assert failed["data"]["result"] == {"code": 7} and failed["data"]["is_error"] is True


def test_nobody_answers_in_time(begin: Callable[..., Turn], passel: Installation) -> None:
    turn = begin({"calls": [{"name": "short"}, call("owl")]}, "{results}")
    turn.until("waiting_for_tool")
    late, other = turn.calls()
    wait_until(lambda: turn.events("tool.call_failed"))
    assert turn.message()["status"] in ("waiting_for_tool", "running"), "the other call still waits"
    answer = passel.http().post(f"/v1/sessions/{turn.session_id}/events", json=turn.answer(late["tool_call_id"], {}))
    assert answer.status_code == 409 and "timed out" in answer.json()["detail"]
    turn.submit(other["tool_call_id"], {"meaning": "a bird"})
    told = json.loads(turn.until("completed")["output"]["parts"][-1]["text"])
    assert told[0].startswith("Error: nobody answered") and "a bird" in told[1]


def test_what_a_model_gets_wrong_is_told_to_it(begin: Callable[..., Turn]) -> None:
    turn = begin({"calls": [call(5)]}, {"calls": [call("x") | {"arguments": "{broken"}]}, {"calls": [{"name": "nosuch"}]}, "{results}")
    told = json.loads(turn.until("completed")["output"]["parts"][-1]["text"])
    assert "word" in told[0] and "not JSON" in told[1] and "no tool nosuch" in told[2]
    assert {e["data"]["reason"] for e in turn.events("tool.call_failed")} == {"bad_arguments", "no_tool"}


def test_a_model_that_never_gets_it_right_fails_the_turn(begin: Callable[..., Turn]) -> None:
    turn = begin({"text": "trying", "calls": [call(5)]})
    failed = turn.until("failed")
    assert "3 times" in failed["output"]["error"] and "word" in failed["output"]["error"]
    assert len(turn.events("assistant.message_completed")) == 3


def test_waiting_items_hold_no_place(passel: Installation, tool_agent: str) -> None:
    script = json.dumps([{"calls": [call("owl")]}, "{results}"])
    items = [{"agent_id": tool_agent, "message": {"content": [{"type": "text", "text": script}]}} for _ in range(3)]
    batch = passel.client.post("/v1/session-batches", {"items": items, "max_concurrency": 1})
    path = f"/v1/session-batches/{batch['batch_id']}"

    def all_wait() -> Any:
        sessions = passel.client.get(path)["sessions"]
        return sessions if all(s.get("waiting") for s in sessions) else None

    for shown in wait_until(all_wait):
        assert shown["status"] == "running" and shown["last_message_status"] == "waiting_for_tool"
        events = passel.client.get(f"/v1/sessions/{shown['session_id']}/events")["events"]
        [asked] = [e["data"] for e in events if e["type"] == "tool.call_requested"]
        answer = {"type": "tool.result_submitted", "result": {"meaning": "a bird"}}
        passel.client.post(
            f"/v1/sessions/{shown['session_id']}/events",
            answer | {"message_id": asked["message_id"], "tool_call_id": asked["tool_call_id"]},
        )
    assert wait_for_batch(passel.client, batch["batch_id"])["counts"]["completed"] == 3


def test_anthropic_is_told_of_tools_in_its_own_form(passel: Installation, model: PlayedModel) -> None:
    agent = passel.deploy(model.url, ["script"], "tools-anthropic", tools=[LOOK_UP], provider="anthropic")
    turn = Turn(passel.client, agent, [{"text": "hm", "calls": [call("owl"), call("cat")]}, {"calls": [call(5)]}, "{results}"])
    turn.until("waiting_for_tool")
    for asked in turn.calls():
        turn.submit(asked["tool_call_id"], {"meaning": asked["arguments"]["word"]})
    told = json.loads(turn.until("completed")["output"]["parts"][-1]["text"])
    assert [json.loads(t)["meaning"] for t in told[:2]] == ["owl", "cat"] and "word" in told[2]


BROKEN = [
    ({"kind": "external", "name": "read"}, "built-in"),
    ({"kind": "main"}, "sandbox"),
    ({"kind": None}, "kind is required"),
    ({"path": "nowhere/x"}, "under tools/"),
    ({"path": "tools/nosuch"}, "not in the bundle"),
    ({"name": "two words"}, "letters"),
    ({"timeout_seconds": 0}, "timeout_seconds"),
    ({"handler": "x.py:run"}, "handler"),
    ({"input_schema_json": {"type": "strin"}}, "no JSON Schema"),
    ({"input_schema_json": {"$ref": "http://127.0.0.1/x"}}, "nothing is fetched"),
    ({"surprise": 1}, "surprise"),
]


@pytest.mark.parametrize(("wrong", "said"), BROKEN)
def test_a_manifest_that_says_a_tool_wrongly_is_refused_by_field(wrong: dict[str, Any], said: str) -> None:
    from passel.core.agent.custom_tools import custom_tools
    from passel.core.errors import Invalid

    entry = {"name": "look_up", "path": "tools/look_up", "kind": "external", "description": "x"} | wrong
    with pytest.raises(Invalid, match=said):
        custom_tools([{k: v for k, v in entry.items() if v is not None}], {"tools/look_up/readme": b"x"})


def test_the_command_line_sends_follows_and_shows_tool_calls(passel: Installation, tool_agent: str) -> None:
    done = passel_command(passel, "session", "send", tool_agent, json.dumps([{"text": "hm", "calls": [call(5)]}, "{results}"]), "--follow")
    assert done.returncode == 0 and "look_up" in done.stdout and "break the schema" in done.stdout, done
    assert "queued -> running" in done.stdout and "running -> completed" in done.stdout
    sent = json.loads(passel_command(passel, "session", "send", tool_agent, json.dumps([{"calls": [call("owl")]}, "x"]), "--json").stdout)
    turn = Turn.of(passel.client, sent)
    turn.until("waiting_for_tool")
    turn.submit(turn.calls()[0]["tool_call_id"], {"meaning": "a bird"})
    turn.until("completed")
    shown = passel_command(passel, "session", "transcript", turn.session_id)
    assert "--- tool look_up (completed)" in shown.stdout and '=> {"meaning": "a bird"}' in shown.stdout
    failed = passel_command(passel, "session", "send", turn.session_id, json.dumps([{"calls": [call(5)]}]), "-f", "--json")
    assert failed.returncode == 1 and json.loads(failed.stdout.splitlines()[-1])["data"]["status"] == "failed"
    watching = subprocess.Popen(
        [sys.executable, "-m", "passel", "session", "watch", turn.session_id, "--json", "--after", "3"],
        env={**passel.environment(), "PASSEL_URL": passel.url, "PASSEL_API_KEY": KEY},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert watching.stdout is not None
    assert json.loads(watching.stdout.readline())["sequence_number"] == 4
    watching.terminate()
    watching.wait(10)
    watching.stdout.close()
