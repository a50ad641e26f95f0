"""Streams as their clients see them: every event once and in order, from any place, whatever restarts."""

import asyncio
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, cast
from urllib.parse import urlsplit

import httpx2
import pytest

from passel.core.events import Event
from passel.services.following import Tail
from passel.store.postgres import EmbeddedPostgres
from tests.support.installation import KEY, Installation, PlayedModel, scratch_dir, wait_until


def frames(lines: Iterator[str]) -> Iterator[dict[str, Any]]:
    """Events of a stream: `id`, `event`, and `data` parsed; comments as {"comment"}."""
    event: dict[str, Any] = {}
    for line in lines:
        if not line:
            if "data" in event:
                yield event
            event = {}
        elif line.startswith(":"):
            yield {"comment": line[1:].strip()}
        else:
            name, _, value = line.partition(": ")
            event[name] = json.loads(value) if name == "data" else value


@contextmanager
def stream(passel: Installation, path: str, **how: Any) -> Iterator[Iterator[dict[str, Any]]]:
    with passel.http().stream("GET", path, **how) as response:
        assert response.status_code == 200, response.read()
        assert response.headers["content-type"].startswith("text/event-stream")
        yield frames(response.iter_lines())


def first(events: Iterator[dict[str, Any]], n: int) -> list[dict[str, Any]]:
    found = []
    while len(found) < n:
        event = next(events)
        if "comment" not in event:
            found.append(event)
    return found


def begin(passel: Installation, agent: str, text: str) -> str:
    body = {"type": "user.message", "content": [{"type": "text", "text": text}]}
    return passel.client.post(f"/v1/agents/{agent}/messages", body)["session"]["id"]


def say(passel: Installation, session_id: str, text: str) -> None:
    body = {"type": "user.message", "content": [{"type": "text", "text": text}]}
    passel.client.post(f"/v1/sessions/{session_id}/events", body)


def listed(passel: Installation, session_id: str) -> list[Any]:
    return passel.client.get(f"/v1/sessions/{session_id}/events")["events"]


def test_a_stream_replays_and_goes_on_live(passel: Installation, agent: str) -> None:
    session_id = begin(passel, agent, "one")
    wait_until(lambda: len(listed(passel, session_id)) == 6)
    with stream(passel, f"/v1/sessions/{session_id}/stream") as events:
        replayed = first(events, 6)
        say(passel, session_id, "two")
        live = first(events, 6)
    told = [event["data"] for event in (*replayed, *live)]
    assert told == listed(passel, session_id)
    assert all(event["id"] == event["data"]["id"] and event["event"] == event["data"]["type"] for event in (*replayed, *live))


@pytest.mark.parametrize("how", ["header", "number", "id", "both"])
def test_a_stream_goes_on_behind_any_event(passel: Installation, agent: str, how: str) -> None:
    session_id = begin(passel, agent, "one")
    wait_until(lambda: len(listed(passel, session_id)) == 6)
    at = f"{session_id}:evt_4"
    given: dict[str, Any] = {
        "header": {"headers": {"Last-Event-ID": at}},
        "number": {"params": {"after": "4"}},
        "id": {"params": {"after": at}},
        "both": {"headers": {"Last-Event-ID": at}, "params": {"after": "1"}},
    }[how]
    with stream(passel, f"/v1/sessions/{session_id}/stream", **given) as events:
        assert [event["data"]["sequence_number"] for event in first(events, 2)] == [5, 6]


def test_places_that_do_not_exist_are_refused(passel: Installation, agent: str) -> None:
    session_id = begin(passel, agent, "one")
    path = f"/v1/sessions/{session_id}/stream"
    for at in (f"{session_id}:evt_99", "sess_other:evt_1", "nonsense", "-1"):
        answer = passel.http().get(path, headers={"Last-Event-ID": at})
        assert answer.status_code == 400 and answer.json()["detail"], at
    assert passel.http().get("/v1/sessions/sess_nosuch/stream").status_code == 404
    assert passel.http("wrong").get(path).status_code == 401


def batch_of(passel: Installation, agent: str, texts: list[str], **fields: Any) -> str:
    items = [{"agent_id": agent, "message": {"content": [{"type": "text", "text": text}]}} for text in texts]
    return passel.client.post("/v1/session-batches", {"items": items, **fields})["batch_id"]


def check_batch_ledger(told: list[dict[str, Any]], size: int) -> dict[str, int]:
    """Numbers without gaps, counts that follow from the transitions, at any place; returns the last counts."""
    assert [event["sequence_number"] for event in told] == list(range(1, len(told) + 1))
    counts = told[0]["counts"]
    phases: dict[int, tuple[str, int]] = {}
    for event in told[1:]:
        if event["type"] == "item.status_changed":
            before = phases.get(event["index"], ("queued", 1))
            assert event["previous_status"] == before[0] and event["try"] in (before[1], before[1] + 1), event
            counts = counts | {event["previous_status"]: counts[event["previous_status"]] - 1}
            counts = counts | {event["status"]: counts[event["status"]] + 1}
            phases[event["index"]] = (event["status"], event["try"])
        assert event["counts"] == counts and sum(counts.values()) == size, event
    return counts


def test_a_batch_tells_every_transition_and_ends(passel: Installation, agent: str) -> None:
    batch_id = batch_of(passel, agent, [f"item {n}" for n in range(30)], max_concurrency=4)
    with stream(passel, f"/v1/session-batches/{batch_id}/stream") as events:
        told = [event["data"] for event in events if "comment" not in event]
    assert check_batch_ledger(told, 30) == {"queued": 0, "running": 0, "completed": 30, "failed": 0}
    assert told[0]["type"] == "batch.status_changed" and told[0]["status"] == "queued"
    assert told[-1]["type"] == "batch.status_changed" and told[-1]["status"] == "completed"
    assert len([e for e in told if e["type"] == "item.status_changed"]) == 60
    with stream(passel, f"/v1/session-batches/{batch_id}/stream", params={"after": str(len(told) - 2)}) as events:
        assert [event["data"] for event in events if "comment" not in event] == told[-2:]


def test_a_batch_that_goes_on_is_followed(passel: Installation, model: PlayedModel) -> None:
    agent = passel.deploy(model.url, ["echo", "status-400"], "mixed")
    items = [
        {"agent_id": agent, "llm_id": llm, "message": {"content": [{"type": "text", "text": "x"}]}}
        for llm in ("echo", "status-400", "nosuch")
    ]
    batch_id = passel.client.post("/v1/session-batches", {"items": items})["batch_id"]
    wait_until(lambda: passel.client.get(f"/v1/session-batches/{batch_id}")["finished_at"])
    with stream(passel, f"/v1/session-batches/{batch_id}/stream", params={"follow": "true"}) as events:
        told: list[dict[str, Any]] = []
        while not told or told[-1].get("status") != "partial_failed":
            told += [event["data"] for event in first(events, 1)]
        passel.client.post(f"/v1/session-batches/{batch_id}/retry", {"llm_ids": ["status-400"]})
        before = len(told)
        while len(told) == before or told[-1].get("status") != "partial_failed" or told[-1]["counts"]["failed"] != 2:
            told += [event["data"] for event in first(events, 1)]
    assert check_batch_ledger(told, 3) == {"queued": 0, "running": 0, "completed": 1, "failed": 2}
    failed = [e for e in told if e["type"] == "item.status_changed" and e["status"] == "failed"]
    assert {(e["index"], e["try"]) for e in failed} == {(1, 1), (1, 2), (2, 1)} and all(e["error"] for e in failed)


def test_a_cancelled_batch_tells_it(passel: Installation, model: PlayedModel) -> None:
    agent = passel.deploy(model.url, ["hang"], "hanging")
    batch_id = batch_of(passel, agent, ["a", "b", "c"], max_concurrency=1)
    wait_until(lambda: passel.client.get(f"/v1/session-batches/{batch_id}")["counts"]["running"])
    passel.client.post(f"/v1/session-batches/{batch_id}/cancel")
    with stream(passel, f"/v1/session-batches/{batch_id}/stream") as events:
        told = [event["data"] for event in events if "comment" not in event]
    assert check_batch_ledger(told, 3)["failed"] == 3
    assert {e["error"] for e in told if e["type"] == "item.status_changed" and e["status"] == "failed"} == {"cancelled"}


class Follower(threading.Thread):
    """Follows one stream as a good client does: comes back with the last id that it has seen, until `enough`."""

    def __init__(self, passel: Installation, path: str, enough: Callable[[list[int]], bool]) -> None:
        super().__init__(daemon=True)
        self.passel, self.path, self.enough = passel, path, enough
        self.numbers: list[int] = []
        self.last: str | None = None
        self.breaks = 0

    def run(self) -> None:
        while not self.enough(self.numbers):
            try:
                self._follow()
            except (httpx2.HTTPError, OSError):
                self.breaks += 1
                time.sleep(0.2)

    def _follow(self) -> None:
        headers = {"Authorization": f"Bearer {KEY}"} | ({"Last-Event-ID": self.last} if self.last else {})
        url = self.passel.url + self.path
        with httpx2.Client(timeout=30) as client, client.stream("GET", url, headers=headers) as response:
            if response.status_code != 200:
                raise OSError(response.status_code)
            for event in frames(response.iter_lines()):
                if "comment" not in event:
                    self.last = event["id"]
                    self.numbers.append(event["data"]["sequence_number"])
                    if self.enough(self.numbers):
                        return


def test_followers_miss_nothing_when_api_and_database_restart(model: PlayedModel) -> None:
    with scratch_dir() as data:
        passel = Installation(data, 1, {"PASSEL_LANE_CONCURRENCY": "50", "PASSEL_STREAM_HEARTBEAT": "0.2"}).start()
        try:
            agent = passel.deploy(model.url, ["wait-0.3"])
            batch_id = batch_of(passel, agent, [f"item {n}" for n in range(400)], max_concurrency=20)
            shown = passel.client.get(f"/v1/session-batches/{batch_id}")["sessions"][-60:]
            followers = [Follower(passel, f"/v1/sessions/{s['session_id']}/stream", lambda seen: len(seen) == 6) for s in shown]
            followers.append(Follower(passel, f"/v1/session-batches/{batch_id}/stream", lambda seen: len(seen) == 803))
            for follower in followers:
                follower.start()
            time.sleep(1)
            [api] = passel.children("api")
            api.kill()
            wait_until(lambda: any(follower.breaks for follower in followers))
            seen = len(followers[-1].numbers)
            wait_until(lambda: len(followers[-1].numbers) > seen)
            breaks = followers[-1].breaks
            EmbeddedPostgres(passel.data_dir / "postgres").postmaster().kill()
            for follower in followers:
                follower.join(60)
                assert follower.numbers == list(range(1, len(follower.numbers) + 1)) and len(follower.numbers) in (6, 803)
            assert followers[-1].breaks == breaks, "an outage of the database ends no stream"
        finally:
            passel.stop()


def test_a_reader_that_takes_nothing_harms_nobody(passel: Installation, agent: str) -> None:
    session_id = begin(passel, agent, "x" * 100_000)
    for _ in range(20):
        say(passel, session_id, "y" * 100_000)
    url = urlsplit(passel.url)
    with socket.create_connection((url.hostname, url.port)) as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        request = f"GET /v1/sessions/{session_id}/stream HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\r\n\r\n"
        slow.sendall(request.encode())
        assert slow.recv(16).startswith(b"HTTP/1.1 200")
        wait_until(lambda: passel.client.get(f"/v1/sessions/{session_id}")["status"] == "idle")
        with stream(passel, f"/v1/sessions/{session_id}/stream") as events:
            told = listed(passel, session_id)
            assert [event["data"] for event in first(events, len(told))] == told
        slow.sendall(b"")


def test_a_revoked_key_ends_its_streams(passel: Installation, agent: str) -> None:
    """Looked at with each sign of life, and no stream outlives it: see `EventStream`."""
    session_id = begin(passel, agent, "one")
    key = passel.client.post("/v1/organizations/current/api-keys", {"label": "short-lived"})
    with passel.http(key["api_key"]).stream("GET", f"/v1/sessions/{session_id}/stream") as response:
        lines = frames(response.iter_lines())
        first(lines, 6)
        passel.client.delete(f"/v1/organizations/current/api-keys/{key['id']}")
        assert all("comment" in event for event in lines), "nothing more is told, and the stream ends"


def test_a_question_that_comes_as_all_readers_of_ledgers_end_is_answered() -> None:
    """Three reads end in one round of the loop, and a follower asks in that round: a reader that has ended answers nobody."""

    async def scenario() -> None:
        reads: list[asyncio.Future[None]] = []

        async def read(db: Any, followers: Sequence[tuple[str, int]]) -> list[list[Event]]:
            reads.append(asyncio.get_running_loop().create_future())
            await reads[-1]
            return [[] for _ in followers]

        tail: Tail[Event] = Tail(cast(Any, None), read)
        early: list[asyncio.Task[list[Event]]] = []
        for n in range(3):
            early.append(asyncio.create_task(tail.after("sess_1", n)))
            while len(reads) <= n:
                await asyncio.sleep(0)
        for one in reads:
            one.set_result(None)
        late = asyncio.create_task(tail.after("sess_1", 3))
        await asyncio.gather(*early)
        async with asyncio.timeout(10):
            while len(reads) < 4:
                await asyncio.sleep(0)
            reads[3].set_result(None)
            assert await late == []

    asyncio.run(scenario())
