"""Streams as their clients see them: every event once and in order, from any place, whatever restarts."""

import asyncio
import contextlib
import json
import random
import socket
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, cast
from urllib.parse import urlsplit

import httpx2
import pytest

from passel.compose.process import raise_file_limit
from passel.core.events import Event
from passel.faces.kit.sse import EventStream, frame
from passel.services.following import Tail
from passel.store.postgres import EmbeddedPostgres
from tests.support.followers import Crowd, Follower, SlowReader
from tests.support.installation import KEY, Installation, PlayedModel, freeze, scratch_dir, thaw, wait_until
from tests.test_chaos import rows


def frames(lines: Iterator[str]) -> Iterator[dict[str, Any]]:
    """Events of a stream: `id`, `event`, and `data` parsed; comments as {"comment"}, and an id without an event too."""
    event: dict[str, Any] = {}
    for line in lines:
        if not line:
            if "data" in event:
                yield event
            elif "id" in event:
                yield event | {"comment": "mark"}
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
        yield frames(lines_of(response))


def lines_of(response: httpx2.Response) -> Iterator[str]:
    """As the format has them: texts of users hold marks that `str.splitlines` would take for the end of one."""
    rest = b""
    for part in response.iter_bytes():
        *lines, rest = (rest + part).split(b"\n")
        yield from (line.decode() for line in lines)


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


def test_behind_the_end_there_is_nothing(passel: Installation, agent: str) -> None:
    """204, at which a browser's `EventSource` stops asking; with `follow` it is waited for what may come."""
    batch_id = batch_of(passel, agent, ["one"])
    path = f"/v1/session-batches/{batch_id}/stream"
    with stream(passel, path) as events:
        last = [event["id"] for event in events if "comment" not in event][-1]
    ended = passel.http().get(path, headers={"Last-Event-ID": last})
    assert ended.status_code == 204 and not ended.content
    with stream(passel, path, headers={"Last-Event-ID": last}, params={"follow": "true"}) as events:
        assert "comment" in next(events)


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


def is_idle(event: dict[str, Any]) -> bool:
    return event["type"] == "session.status_changed" and event["data"]["status"] == "idle"


def is_end_of_batch(event: dict[str, Any]) -> bool:
    return event["type"] == "batch.status_changed" and event["status"] == "completed"


@pytest.mark.parametrize("count", [300, pytest.param(1000, marks=pytest.mark.slow)])
def test_followers_see_every_event_once_over_restarts_of_api_and_database(model: PlayedModel, count: int) -> None:
    """And readers at a byte a second beside them harm nobody. The worker stands still where followers have to catch up, so
    that however long that takes, both restarts come in the middle of the batch."""
    raise_file_limit()
    with scratch_dir() as data:
        passel = Installation(data, 1, {"PASSEL_LANE_CONCURRENCY": "50", "PASSEL_STREAM_HEARTBEAT": "1"}).start()
        try:
            agent = passel.deploy(model.url, ["wait-0.3"])
            long = begin(passel, agent, random.Random(1).randbytes(500_000).hex())  # more than buffers on the way hold
            for _ in range(2):
                say(passel, long, random.Random(2).randbytes(500_000).hex())
            wait_until(lambda: passel.client.get(f"/v1/sessions/{long}")["status"] == "idle")
            [worker], [api] = passel.children("worker"), passel.children("api")
            freeze(worker)
            batch_id = batch_of(passel, agent, [f"item {n}" for n in range(count)], max_concurrency=20)
            shown = passel.client.get(f"/v1/session-batches/{batch_id}")["sessions"]
            of_batch = Follower(f"/v1/session-batches/{batch_id}/stream", is_end_of_batch)
            of_sessions = [Follower(f"/v1/sessions/{s['session_id']}/stream", is_idle) for s in shown]
            crowd = Crowd(passel, [of_batch, *of_sessions])

            def until_completed(items: int) -> None:
                wait_until(lambda: rows(passel, "select completed from batch")[0]["completed"] >= items, 300)

            with contextlib.ExitStack() as slow:
                readers = [slow.enter_context(SlowReader(passel, f"/v1/sessions/{long}/stream")) for _ in range(5)]
                crowd.start()
                wait_until(crowd.is_whole, 300)
                thaw(worker)
                until_completed(count // 5)
                api.kill()
                until_completed(2 * count // 5)
                freeze(worker)
                wait_until(lambda: of_batch.breaks and crowd.is_whole(), 300)
                breaks = [follower.breaks for follower in crowd.followers]
                thaw(worker)
                until_completed(3 * count // 5)
                EmbeddedPostgres(passel.data_dir / "postgres").postmaster().kill()
                crowd.ended(300)
                assert all(reader.taken for reader in readers)
            assert len([count for count in breaks if count]) > count // 2, "most of them had to come back"
            assert [follower.breaks for follower in crowd.followers] == breaks, "an outage of the database ends no stream"
            lengths = {row["id"]: row["last_seq"] for row in rows(passel, "select id, last_seq from session")}
            for session, follower in zip(shown, of_sessions, strict=True):
                assert follower.numbers == list(range(1, lengths[session["session_id"]] + 1)), follower
            assert of_sessions[-1].events == listed(passel, shown[-1]["session_id"])
            assert check_batch_ledger(of_batch.events, count) == {"queued": 0, "running": 0, "completed": count, "failed": 0}
            assert len(of_batch.events) == rows(passel, "select last_event from batch")[0]["last_event"]
        finally:
            passel.stop()


def test_a_reader_that_takes_nothing_harms_nobody_and_is_cut(passel: Installation, agent: str) -> None:
    session_id = begin(passel, agent, "x" * 100_000)
    for _ in range(40):
        say(passel, session_id, "y" * 100_000)
    wait_until(lambda: passel.client.get(f"/v1/sessions/{session_id}")["status"] == "idle")
    url = urlsplit(passel.url)
    with socket.socket() as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        slow.connect((url.hostname, url.port))
        request = f"GET /v1/sessions/{session_id}/stream HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\r\n\r\n"
        slow.sendall(request.encode())
        assert slow.recv(16).startswith(b"HTTP/1.1 200")
        with stream(passel, f"/v1/sessions/{session_id}/stream") as events:
            told = listed(passel, session_id)
            assert [event["data"] for event in first(events, len(told))] == told
        [api], port = passel.children("api"), slow.getsockname()[1]
        wait_until(lambda: not [one for one in api.net_connections() if one.raddr and one.raddr.port == port])


def test_a_slow_line_gets_through_a_long_page() -> None:
    """It is given out in pieces, and each has as long as a whole page of a fast reader."""
    page = [frame(f"sess_1:evt_{n}", "user.message", {"text": "x" * 300_000}) for n in range(3)]
    pieces: list[bytes] = []

    async def go() -> None:
        async def pages() -> AsyncGenerator[list[bytes]]:
            yield page

        async def send(message: Any) -> None:
            pieces.append(message.get("body", b""))

        async def receive() -> Any:
            await asyncio.Event().wait()

        async def allowed() -> bool:
            return True

        await EventStream(pages(), allowed, 15)({"type": "http"}, receive, send)

    asyncio.run(go())
    assert b"".join(pieces).endswith(b"".join(page)) and max(map(len, pieces)) <= 64 * 1024


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
