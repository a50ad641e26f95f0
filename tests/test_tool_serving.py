"""Calls that wait, and programs that answer them: `passel tools serve`, and the example of one's own."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.installation import KEY, Installation, PlayedModel, Program, wait_until
from tests.test_cli import output, passel_command
from tests.test_tenancy import stranger
from tests.test_tools import LOOK_UP, SHORT, Turn

__all__ = ["stranger"]

WEATHER = {"name": "get_weather", "description": "The weather.", "input_schema": {"type": "object"}}
SLOW = {"name": "slow", "description": "Takes a while.", "input_schema": {"type": "object"}}
BAD = {"name": "bad", "description": "Raises.", "input_schema": {"type": "object"}}
ODD = {"name": "odd", "description": "Returns what is no JSON.", "input_schema": {"type": "object"}}

FUNCTIONS = """
import asyncio, datetime, math, os, pathlib, sys, time

def look_up(word):
    if word == "broken":
        return {"nothing": "of what the schema asks for"}
    return {"meaning": f"{word} is a bird"}

async def get_weather(city):
    await asyncio.sleep(0)
    return {"city": city, "celsius": 11}

def bad(**arguments):
    raise LookupError("nobody knows")

def odd(**arguments):
    return object()

def strange(what):
    if what == "exits":
        sys.exit("no more")
    if what == "is cancelled":
        raise asyncio.CancelledError
    if what == "says half a pair":
        raise ValueError("\\ud800")
    if what == "cannot be said":
        raise type("Mute", (Exception,), {"__str__": lambda self: 1 / 0})
    return {"NUL": "\\0", "is large": "x" * 5_000_000, "no number": math.nan, "is a day": datetime.date(2026, 11, 24)}[what]

def slow(label):
    with open("begun", "a") as file:
        file.write(label + "\\n")
    while not os.path.exists("go"):
        time.sleep(0.02)
    return "done"
"""
STRANGE = {"name": "strange", "description": "What a function may do.", "input_schema": {"type": "object"}}


@pytest.fixture(scope="module")
def agent_id(passel: Installation, model: PlayedModel) -> str:
    return passel.deploy(model.url, ["script"], "served", tools=[LOOK_UP, SHORT, WEATHER, SLOW, BAD, ODD, STRANGE])


def ask(passel: Installation, agent_id: str, name: str, **arguments: Any) -> Turn:
    return Turn(passel.client, agent_id, [{"calls": [{"name": name, "arguments": arguments}]}, "{results}"])


@contextmanager
def serving(passel: Installation, where: Path, *arguments: str) -> Iterator[Program]:
    (where / "functions.py").write_text(FUNCTIONS)
    environment = {**passel.environment(), "PASSEL_URL": passel.url, "PASSEL_API_KEY": KEY, "PYTHONPATH": str(Path("src").resolve())}
    command = ["env", "-C", str(where), sys.executable, "-m", "passel", "tools", "serve", *arguments]
    program = Program(command, environment, stderr_path=where / "said")
    program.start()
    try:
        wait_until(lambda: "serving" in program.errors())
        yield program
    finally:
        program.stop()


def result_of(turn: Turn) -> Any:
    [ended] = turn.events("tool.call_completed", "tool.call_failed")
    return ended["data"]["result"]


def test_calls_that_wait_are_listed(passel: Installation, agent_id: str, stranger: str) -> None:
    turns = [ask(passel, agent_id, name, word=str(n)) for n, name in enumerate(("look_up", "bad", "look_up"))]
    for turn in turns:
        turn.until("waiting_for_tool")
    mine = {turn.session_id for turn in turns}

    def listed(**params: Any) -> list[Any]:
        return [c for c in passel.client.get("/v1/tool-calls", **params)["tool_calls"] if c["session_id"] in mine]

    found = listed(agent_id=agent_id, limit=1000)
    assert [call["session_id"] for call in found] == [turn.session_id for turn in turns], "the oldest first"
    [asked] = turns[0].events("tool.call_requested")
    call = found[0]
    assert call["event_id"] == asked["id"] and call["deadline"] == asked["data"]["deadline"] and call["agent_id"] == agent_id
    assert {k: call[k] for k in ("tool_call_id", "tool_name", "arguments", "message_id")} == {
        k: asked["data"][k] for k in ("tool_call_id", "tool_name", "arguments", "message_id")
    }
    assert [c["tool_name"] for c in listed(tool_name="bad")] == ["bad"]
    pages, after = [], None
    while True:
        page = passel.client.get("/v1/tool-calls", agent_id=agent_id, limit=1, after=after)
        pages += [c["tool_call_id"] for c in page["tool_calls"]]
        after = page["next_after"]
        if not page["has_more"]:
            break
    assert [c["tool_call_id"] for c in found] == [id for id in pages if id in {c["tool_call_id"] for c in found}]
    turns[0].submit(call["tool_call_id"], {"meaning": "x"})
    assert [c["session_id"] for c in listed()] == [turns[1].session_id, turns[2].session_id]
    assert passel.http(stranger).get("/v1/tool-calls").json()["tool_calls"] == []
    assert passel.http(stranger).get("/v1/tool-calls", params={"agent_id": agent_id}).status_code == 403
    assert passel.http().get("/v1/tool-calls", params={"after": "nonsense"}).status_code == 400
    table = passel_command(passel, "tools", "calls", "--tool", "bad", "--agent", "served")
    assert table.returncode == 0 and turns[1].calls()[0]["tool_call_id"] in table.stdout
    assert output(passel, "tools", "calls", "--json", "--tool", "bad")
    for turn in turns[1:]:
        turn.submit(turn.calls()[0]["tool_call_id"], {"meaning": "x"})
        turn.until("completed")


def test_functions_answer_what_waits_and_what_comes(passel: Installation, agent_id: str, tmp_path: Path) -> None:
    before = ask(passel, agent_id, "look_up", word="owl")
    before.until("waiting_for_tool")
    with serving(passel, tmp_path, "functions:look_up", "functions:get_weather", "functions:bad", "functions:odd") as program:
        before.until("completed")
        assert result_of(before) == {"meaning": "owl is a bird"}
        weather = ask(passel, agent_id, "get_weather", city="Bern")
        weather.until("completed")
        assert result_of(weather) == {"city": "Bern", "celsius": 11}
        wrong = {
            "LookupError: nobody knows": ask(passel, agent_id, "bad"),
            "TypeError": ask(passel, agent_id, "odd"),
            "output schema": ask(passel, agent_id, "look_up", word="broken"),
            "unexpected keyword": ask(passel, agent_id, "get_weather", town="Bern", city="Bern"),
        }
        for said, turn in wrong.items():
            turn.until("completed")
            [failed] = turn.events("tool.call_failed")
            assert said in failed["data"]["result"]["error"], failed
        foreign = ask(passel, agent_id, "slow", label="x")
        wait_until(lambda: "calls of slow are not served here" in program.errors())
        passel.client.post(f"/v1/sessions/{foreign.session_id}/cancel")


def test_every_call_is_answered_whatever_a_function_does(passel: Installation, agent_id: str, tmp_path: Path) -> None:
    said: dict[str, Any] = {
        "exits": {"error": "SystemExit: no more"},
        "is cancelled": {"error": "asyncio.exceptions.CancelledError"},
        "says half a pair": {"error": "ValueError: \ufffd"},
        "cannot be said": {"error": "functions.Mute: <exception str() failed>"},
        "NUL": {"error": "result: holds a NUL character; remove it (HTTP 422)"},
        "is large": {"error": "a body may have 4194304 bytes here (HTTP 413)"},
        "no number": None,
        "is a day": "2026-11-24",
    }
    with serving(passel, tmp_path, "functions:strange", "--concurrency", "2"):
        turns = {what: ask(passel, agent_id, "strange", what=what) for what in said}
        for what, turn in turns.items():
            turn.until("completed")
            assert result_of(turn) == said[what], what


def test_a_server_of_functions_may_die_at_any_time(passel: Installation, agent_id: str, tmp_path: Path) -> None:
    """Killed in the middle of a call, and started again: the call is made again, and answered once. Also across a restart of
    the API, and ended with a call under way, which is waited for."""
    begun = tmp_path / "begun"
    with serving(passel, tmp_path, "functions:slow") as program:
        turn = ask(passel, agent_id, "slow", label="one")
        wait_until(begun.exists)
        program.kill()
    with serving(passel, tmp_path, "functions:slow") as program:
        wait_until(lambda: begun.read_text() == "one\none\n")
        (tmp_path / "go").touch()
        turn.until("completed")
        assert len(turn.events("tool.result_submitted")) == 1 and result_of(turn) == "done"
        [api] = passel.children("api")
        api.kill()
        wait_until(lambda: any(process.pid != api.pid for process in passel.children("api")))
        wait_until(lambda: _answers(passel))
        ask(passel, agent_id, "slow", label="two").until("completed")
        (tmp_path / "go").unlink()
        last = ask(passel, agent_id, "slow", label="three")
        wait_until(lambda: "three" in begun.read_text())
        program.signal(signal.SIGTERM)
        wait_until(lambda: "still under way: 1" in program.errors())
        time.sleep(0.2)
        (tmp_path / "go").touch()
        assert program.process.wait(30) == 0
        last.until("completed")
        assert len(last.events("tool.result_submitted")) == 1


@pytest.mark.parametrize("script", ["examples/tool_worker.py", "docs/guides/streams.md"])
def test_what_we_show_comes_back_when_a_stream_breaks_in_the_middle_of_a_word(script: str, tmp_path: Path) -> None:
    shown = Path(script).read_text()
    if script.endswith(".md"):
        shown = shown.partition("```python\n")[2].partition("```")[0]
    (tmp_path / "shown.py").write_text(shown)
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(60)
        environment = {**os.environ, "PASSEL_URL": f"http://127.0.0.1:{server.getsockname()[1]}", "PASSEL_API_KEY": KEY}
        program = Program([sys.executable, str(tmp_path / "shown.py")], environment, stderr_path=tmp_path / "err")
        program.start()
        try:
            connection, _ = server.accept()
            connection.recv(4096)
            connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n40\r\nid: 1\nda")
            connection.close()
            again, _ = server.accept()
            again.close()
            assert program.errors() == ""
        finally:
            program.kill()


def _answers(passel: Installation) -> bool:
    try:
        return passel.http().get("/readyz").status_code == 200
    except Exception:
        return False


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("nonsense", "write MODULE:FUNCTION"),
        ("no_such_module:f", "no module no_such_module"),
        ("json:nothing", "has no nothing"),
        ("json:__name__", "is no function"),
    ],
)
def test_what_cannot_be_served_is_said(passel: Installation, spec: str, said: str) -> None:
    done = passel_command(passel, "tools", "serve", spec)
    assert done.returncode == 2 and said in done.stderr and "Traceback" not in done.stderr


def test_an_error_of_a_module_is_shown_as_it_is(passel: Installation, tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("import os\nos.nothing_of_that_name\ndef f(): ...")
    environment = {**passel.environment(), "PASSEL_API_KEY": KEY, "PYTHONPATH": str(Path("src").resolve())}
    command = ["env", "-C", str(tmp_path), sys.executable, "-m", "passel", "tools", "serve", "broken:f"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode and "nothing_of_that_name" in done.stderr


def test_the_example_answers_over_restarts(passel: Installation, agent_id: str, tmp_path: Path) -> None:
    environment = {**os.environ, "PASSEL_URL": passel.url, "PASSEL_API_KEY": KEY}
    waiting = ask(passel, agent_id, "get_weather", city="Bern")
    waiting.until("waiting_for_tool")
    for _ in range(2):
        example = Program([sys.executable, "examples/tool_worker.py"], environment, stderr_path=tmp_path / "err")
        example.start("ready")
        waiting.until("completed")
        turn = ask(passel, agent_id, "get_weather", city="Chur")
        turn.until("completed")
        assert result_of(turn)["city"] == "Chur"
        wrong = ask(passel, agent_id, "get_weather", town="Chur")
        wrong.until("completed")
        assert wrong.events("tool.call_failed")
        example.kill()
        waiting = ask(passel, agent_id, "get_weather", city="Bern")
        waiting.until("waiting_for_tool")
    passel.client.post(f"/v1/sessions/{waiting.session_id}/cancel")
    assert not example.errors()
