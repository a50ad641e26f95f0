"""Streams as their clients see them: every event once and in order, from any place, whatever restarts."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.support.installation import Installation, wait_until


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
