"""SIGKILL anywhere while agents wait for tools that their clients answer: workers, the API and PostgreSQL die at random
moments, 200 sessions ask, wait, are answered and time out.

Afterwards every call was answered once or timed out, the model was told what came of each, ledgers are gapless, no turn is
lost, and each model call beyond those that the scripts need is in the bill as in doubt.
"""

import asyncio
import contextlib
import json
import random
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import pytest

from passel.compose.process import raise_file_limit
from passel.store.postgres import EmbeddedPostgres
from tests.support.followers import PASSING, Crowd, Event, Follower
from tests.support.installation import Installation, PlayedModel, item, played_model, scratch_dir, wait_for_batch, wait_until
from tests.support.worlds import INVARIANTS
from tests.test_chaos import is_ready, kill_database, rows
from tests.test_streams import is_idle
from tests.test_tools import FREE, LOOK_UP, SHORT

LANE = 40

CALLS = """
select data ->> 'id' as id,
       max(data ->> 'name') as name,
       count(*) filter (where type = 'tool.requested') as requested,
       count(*) filter (where type = 'tool.submitted') as submitted,
       count(*) filter (where type in ('tool.completed', 'tool.failed')) as settled,
       max(data ->> 'reason') as reason
from event where type like 'tool.%' group by 1
"""


def a_script(rng: random.Random, n: int) -> list[Any]:
    """One round or two of calls: some that a client answers, some that it answers with an error, some that nobody does."""
    rounds: list[Any] = []
    for _ in range(rng.choice([1, 2])):
        names = rng.choices(["look_up", "free", "short"], [6, 3, 1], k=rng.choice([1, 1, 2, 3]))
        calls = [{"name": name, "arguments": {"word": f"{name} {n}.{len(rounds)}.{k}"}} for k, name in enumerate(names)]
        rounds.append({"text": rng.choice(["", f"one moment, {n}"]), "calls": calls})
    return [*rounds, "{results}"]


def answer_to(tool: str, word: str) -> dict[str, Any]:
    """What the client answers: the result, and whether it is an error."""
    return {"result": {"meaning": word.upper()}, "is_error": False} if tool == "look_up" else {"result": [word], "is_error": True}


def told_of(script: list[Any]) -> list[Any]:
    """What the model is told of its calls, in their order."""
    told: list[Any] = []
    for call in (call for step in script[:-1] for call in step["calls"]):
        answer = answer_to(call["name"], call["arguments"]["word"])["result"]
        told.append(
            {"look_up": answer, "free": f"Error: {json.dumps(answer)}"}.get(call["name"], "Error: nobody answered this call in time")
        )
    return told


@dataclass
class ToolClient:
    """Answers each call that it hears of until it is told that the answer is durable, and some of them again."""

    rng: random.Random
    events: dict[str, str] = field(default_factory=dict[str, str])
    """By call, the event that its answer became."""

    async def heard(self, event: Event, client: aiohttp.ClientSession) -> None:
        if event["type"] != "tool.call_requested" or event["data"]["tool_name"] == "short":
            return
        await self._answer(event, client)
        if self.rng.random() < 0.3:
            assert await self._answer(event, client), "the same answer again is a repetition"

    async def _answer(self, event: Event, client: aiohttp.ClientSession) -> bool:
        """Whether it was known before."""
        asked = event["data"]
        body = {"type": "tool.result_submitted", "message_id": asked["message_id"], "tool_call_id": asked["tool_call_id"]}
        body |= answer_to(asked["tool_name"], asked["arguments"]["word"])
        while True:
            with contextlib.suppress(*PASSING):
                async with client.post(f"/v1/sessions/{event['session_id']}/events", json=body) as response:
                    told = await response.json()
                    if response.status == 202:
                        made = self.events.setdefault(asked["tool_call_id"], told["event"]["id"])
                        assert told["event"]["id"] == made, "a call has one answer"
                        return response.headers.get("Idempotency-Replayed") == "true"
                    assert response.status >= 500, (response.status, told)
            await asyncio.sleep(0.2)


def kill_something(passel: Installation, rng: random.Random, n: int) -> None:
    """A worker, the API or the database, in turn."""
    if n % 3 == 1:
        kill_database(passel)
        wait_until(lambda: is_ready(passel))
    elif living := passel.children("api" if n % 3 == 2 else "worker"):
        with contextlib.suppress(psutil.Error):
            rng.choice(living).kill()


def check_calls(passel: Installation, scripts: list[list[Any]], client: ToolClient) -> None:
    """Each call was asked for once, and settled once: by its client's answer, or because nobody gave one."""
    ends = {"look_up": (1, None), "free": (1, "answered"), "short": (0, "timed_out")}
    calls = rows(passel, CALLS)
    assert len(calls) == sum(len(step["calls"]) for script in scripts for step in script[:-1])
    for call in calls:
        assert (call["requested"], call["settled"]) == (1, 1), call
        assert (call["submitted"], call["reason"]) == ends[call["name"]], call
    assert set(client.events) == {call["id"] for call in calls if call["name"] != "short"}


def check_bill(passel: Installation, model: PlayedModel, scripts: list[list[Any]], kills: int) -> None:
    """One call of the model for each step of a script. What was asked beyond that is in doubt, and nothing else is."""
    booked = {row["state"]: row["n"] for row in rows(passel, "select state, count(*) as n from effect group by state")}
    assert set(booked) <= {"done", "in_doubt"}, booked
    assert booked["done"] == sum(map(len, scripts))
    # a call in doubt may never have left: so at least every extra one is in doubt
    assert sum(model.calls().values()) - booked["done"] <= booked.get("in_doubt", 0) <= kills * LANE, booked


def check_what_was_told(follower: Follower, script: list[Any]) -> None:
    """One answer for each step, and the last repeats what the model was told of its calls."""
    assert follower.numbers == list(range(1, len(follower.events) + 1))
    said = [event["data"]["content"] for event in follower.events if event["type"] == "assistant.message_completed"]
    assert [content[0]["text"] if content else "" for content in said[:-1]] == [step["text"] for step in script[:-1]]
    told = json.loads(said[-1][0]["text"])
    assert [json.loads(one) if one.startswith("{") else one for one in told] == told_of(script)


def run_chaos(directory: Path, model: PlayedModel, *, size: int, kills: int, seed: int, latency: str) -> None:
    print(f"seed {seed}")
    rng = random.Random(seed)
    raise_file_limit()
    passel = Installation(directory, 2, {"PASSEL_LANE_CONCURRENCY": str(LANE), "PASSEL_MAX_ATTEMPTS": "50"}).start()
    try:
        agent = passel.deploy(model.url, [f"wait-{latency}+script"], tools=[LOOK_UP, SHORT, FREE])
        scripts = [a_script(rng, n) for n in range(size)]
        batch = passel.client.post("/v1/session-batches", {"items": [item(agent, json.dumps(script)) for script in scripts]})
        path, client = f"/v1/session-batches/{batch['batch_id']}", ToolClient(random.Random(seed))
        sessions = [shown["session_id"] for shown in passel.client.get(path)["sessions"]]
        crowd = Crowd(passel, [Follower(f"/v1/sessions/{session_id}/stream", is_idle, client.heard) for session_id in sessions])
        crowd.start()
        for n in range(kills):
            time.sleep(rng.uniform(0.5, 2.0))
            kill_something(passel, rng, n)
        crowd.ended(300)
        wait_for_batch(passel.client, batch["batch_id"])
        assert passel.client.get(path, include_sessions=False)["counts"] == {"queued": 0, "running": 0, "completed": size, "failed": 0}
        assert rows(passel, INVARIANTS) == []
        check_calls(passel, scripts, client)
        check_bill(passel, model, scripts, kills)
        for follower, script in zip(crowd.followers, scripts, strict=True):
            check_what_was_told(follower, script)
        assert passel.stop() == 0
    finally:
        passel.program.kill()
        EmbeddedPostgres(directory / "postgres").stop()


def test_kills_lose_no_call() -> None:
    """The short form: five kills over 200 sessions."""
    with scratch_dir() as directory, played_model() as model:
        run_chaos(directory, model, size=200, kills=5, seed=1, latency="0.6")


@pytest.mark.slow
@pytest.mark.parametrize("seed", [21, 22, 23])
def test_twenty_kills_lose_no_call(seed: int) -> None:
    """The long form: 20 kills over 600 sessions."""
    with scratch_dir() as directory, played_model() as model:
        run_chaos(directory, model, size=600, kills=20, seed=seed, latency="1.2")
