"""Turns that wait for external tools: one with ten calls, and thousands of waiting sessions that are answered at once.

    python -m benchmarks.tools [--turns 50] [--calls 10] [--sessions 10000] [--rounds 3] [--concurrency 200]

Ten calls: a client that has the session's stream open sends a message, answers each call that it is told of at once, each by
a request of its own and all at the same time, and counts from sending the message until the stream says that it is completed.
One turn at a time, each in a session of its own that is made before. The baseline is a loop that makes the same two calls of
the model and runs the tools in process.

Waiting sessions: a batch whose every item asks for one call. When all of them wait, answers are sent as fast as the API takes
them, from a process of its own over `--concurrency` connections; counted from the first answer to the batch's end. What is in that time: for each
session a request, its answer in the ledger, and the second half of its turn with one call of the model; the first half was
before. The baseline is `benchmarks.turns` in the same run with as many sessions: from the batch's creation to its end, with
one call of the model a turn too. The worker has the same settings in both.
"""

import argparse
import asyncio
import json
import multiprocessing
import statistics
import time
from datetime import datetime
from typing import Any

import aiohttp
import asyncpg
import uvloop

from benchmarks.answering import answer_request, bare_turns, post_all
from benchmarks.report import print_report
from benchmarks.turns import passel_turns
from passel.models.questions import ToolOffer
from tests.support.installation import KEY, Installation, item, played_model, scratch_dir, wait_until

LOOK_UP = {
    "name": "look_up",
    "description": "Looks a word up.",
    "input_schema": {"type": "object", "properties": {"word": {"type": "string"}}, "required": ["word"]},
    "output_schema": {"type": "object", "properties": {"meaning": {"type": "string"}}, "required": ["meaning"]},
}

_OPEN_CALLS = """
select e.session_id, e.message_id, e.data ->> 'id' as call_id
from message m join event e on e.session_id = m.session_id and e.message_id = m.id
where m.batch_id = $1 and m.state = 'waiting' and e.type = 'tool.requested'
"""


def script(calls: int) -> str:
    """What the played model does: asks for so many calls at once, then says what it was told."""
    return json.dumps([{"calls": [{"name": "look_up", "arguments": {"word": f"word {n}"}} for n in range(calls)]}, "done"])


class Client:
    """One turn at a time with a session's stream open."""

    def __init__(self, passel: Installation, agent: str) -> None:
        self._passel, self._agent = passel, agent

    async def turns(self, count: int, calls: int) -> list[float]:
        """Milliseconds of each."""
        headers = {"Authorization": f"Bearer {KEY}"}
        async with aiohttp.ClientSession(self._passel.url, headers=headers, connector=aiohttp.TCPConnector(limit=0)) as self._http:
            return [await self._turn(calls) for _ in range(count)]

    async def _turn(self, calls: int) -> float:
        session = (await self._post(f"/v1/agents/{self._agent}/sessions", {}))["id"]
        path = f"/v1/sessions/{session}/events"
        async with self._http.get(f"/v1/sessions/{session}/stream") as stream, asyncio.TaskGroup() as tasks:
            await stream.content.readuntil(b"\n\n")
            started = time.perf_counter()
            tasks.create_task(self._post(path, {"type": "user.message", "content": [{"type": "text", "text": script(calls)}]}))
            async for line in stream.content:
                if not line.startswith(b"data: "):
                    continue
                event = json.loads(line[6:])
                if event["type"] == "tool.call_requested":
                    asked = event["data"]
                    answer = {"message_id": asked["message_id"], "tool_call_id": asked["tool_call_id"]}
                    result = {"meaning": asked["arguments"]["word"]}
                    tasks.create_task(self._post(path, {"type": "tool.result_submitted", "result": result, **answer}))
                elif event["type"] == "message.status_changed" and event["data"]["status"] in ("completed", "failed"):
                    assert event["data"]["status"] == "completed", event
                    return (time.perf_counter() - started) * 1000
        raise AssertionError("the stream ended before the message")

    async def _post(self, path: str, body: Any) -> Any:
        async with self._http.post(path, json=body) as response:
            assert response.status in (201, 202), await response.text()
            return await response.json()


def fetch(passel: Installation, sql: str, *args: Any) -> list[Any]:
    async def go() -> list[Any]:
        connection = await asyncpg.connect(passel.database_url())
        try:
            return await connection.fetch(sql, *args)
        finally:
            await connection.close()

    return asyncio.run(go())


def _run_posters(pipe: Any, url: str, requests: list[bytes], concurrency: int) -> None:
    pipe.send(time.time())
    pipe.send(uvloop.run(post_all(url, requests, concurrency)))


def answered_turns(passel: Installation, agent: str, sessions: int, concurrency: int) -> tuple[float, float]:
    """Turns a second from the first answer to the last end, and answers a second that were acknowledged."""
    lines = [json.dumps(item(agent, script(1))).encode() + b"\n" for _ in range(sessions)]
    batch = passel.client.post_lines("/v1/session-batches", lambda: iter(lines))["batch_id"]
    count = "select count(*) from message where batch_id = $1 and state = 'waiting'"
    wait_until(lambda: fetch(passel, count, batch)[0][0] == sessions, 600, 0.5)
    calls = fetch(passel, _OPEN_CALLS, batch)
    assert len(calls) == sessions
    requests = [answer_request(passel.url, KEY, *tuple(call), {"meaning": "a bird"}) for call in calls]
    ours, theirs = multiprocessing.Pipe()
    client = multiprocessing.get_context("spawn").Process(target=_run_posters, args=(theirs, passel.url, requests, concurrency))
    client.start()
    begun, seconds = ours.recv(), ours.recv()
    client.join()

    def ended() -> Any:
        state = passel.client.get(f"/v1/session-batches/{batch}", include_sessions=False)
        return state if state["finished_at"] else None

    state = wait_until(ended, 600, 0.1)
    assert state["status"] == "completed", state
    return sessions / (datetime.fromisoformat(state["finished_at"]).timestamp() - begun), sessions / seconds


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--turns", type=int, default=50)
    parser.add_argument("--calls", type=int, default=10)
    parser.add_argument("--sessions", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--concurrency", type=int, default=200)
    args = parser.parse_args()
    passel_ms: list[float] = []
    bare_ms: list[float] = []
    rates: dict[str, list[float]] = {"answered": [], "acknowledged": [], "benchmarks.turns": []}
    settings = {"PASSEL_CONCURRENCY": "400", "PASSEL_LANE_CONCURRENCY": "200"}  # as benchmarks.turns
    with scratch_dir() as directory, played_model() as model:
        passel = Installation(directory, 1, settings).start()
        try:
            agent = passel.deploy(model.url, ["script"], "with-tools", tools=[LOOK_UP])
            echo = passel.deploy(model.url, ["echo"], "without-tools")
            client, offer = Client(passel, agent), ToolOffer(LOOK_UP["name"], LOOK_UP["description"], LOOK_UP["input_schema"])
            uvloop.run(client.turns(5, args.calls))
            answered_turns(passel, agent, 300, args.concurrency)
            passel_turns(passel, echo, 500, "warm-up")
            for n in range(args.rounds):
                passel_ms += uvloop.run(client.turns(args.turns, args.calls))
                bare_ms += uvloop.run(bare_turns(model.url, script(args.calls), offer, args.turns))
                answered, acknowledged = answered_turns(passel, agent, args.sessions, args.concurrency)
                rates["answered"].append(answered)
                rates["acknowledged"].append(acknowledged)
                rates["benchmarks.turns"].append(passel_turns(passel, echo, args.sessions, f"round {n}")[0])
        finally:
            passel.stop()
    report(sorted(passel_ms), sorted(bare_ms), rates, args)


def report(passel_ms: list[float], bare_ms: list[float], rates: dict[str, list[float]], args: argparse.Namespace) -> None:
    medians = {name: statistics.median(values) for name, values in rates.items()}
    ratio = medians["answered"] / medians["benchmarks.turns"]
    ranges = {name: f"{min(values):,.0f} - {max(values):,.0f}" for name, values in rates.items()}
    latencies = {
        f"a turn with {args.calls} calls, ms": passel_ms,
        "the same in a bare loop, ms": bare_ms,
    }
    rows: list[tuple[str, str, str]] = []
    for name, times in latencies.items():
        rows.append((name, f"{statistics.median(times):.1f}", f"{times[0]:.1f} - {times[-1]:.1f}, p99 {p99(times):.1f}"))
    rows += [
        ("waiting sessions that are answered, turns/s", f"{medians['answered']:,.0f}", ranges["answered"]),
        ("their answers acknowledged, answers/s", f"{medians['acknowledged']:,.0f}", ranges["acknowledged"]),
        ("turns without tools (benchmarks.turns), turns/s", f"{medians['benchmarks.turns']:,.0f}", ranges["benchmarks.turns"]),
        ("share of those", f"{ratio:.0%}", ""),
    ]
    figures = {
        "turn_ms_median": statistics.median(passel_ms),
        "turn_ms_p99": p99(passel_ms),
        "bare_turn_ms_median": statistics.median(bare_ms),
        "bare_turn_ms_p99": p99(bare_ms),
        "rates": medians,
        "share_of_turns": ratio,
    }
    print_report("tools", rows, ["what", "median", "range"], {**figures, **vars(args)})


def p99(ordered: list[float]) -> float:
    return ordered[max(0, round(len(ordered) * 0.99) - 1)]


if __name__ == "__main__":
    main()
