"""Answering external tools from Python functions: what waits is looked up once, and then the stream tells of new calls.

The stream is open before what waits is looked up, so nothing falls between the two. A call is answered once, whoever
answers it; so it does no harm that one may be seen twice.
"""

import asyncio
import importlib
import inspect
import os
import signal
import sys
import threading
import traceback
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta
from types import FrameType
from typing import Any

import orjson

from passel.cli.client import Client, Refused
from passel.cli.following import follow
from passel.cli.output import CommandError, WrongUse, note, one_line
from passel.cli.patience import until_answered
from passel.core.text import clean

Function = Callable[..., Any]

_REMEMBERED = 10_000
_CLOCKS_DIFFER = timedelta(minutes=5)
_QUEUED = 1000
_LONGEST_PROBLEM = 10_000
_UNTAKEN = (400, 413, 422)  # of an answer: the call waits still
_REQUESTED = "tool.call_requested"


def load(specs: Sequence[str]) -> dict[str, Function]:
    """Functions by the names of their tools, from `module:function` or `tool=module:function`. Modules are also looked for in
    the working directory. Raises `WrongUse`."""
    sys.path.insert(0, os.getcwd())  # noqa: PTH109 - sys.path holds strings
    found: dict[str, Function] = {}
    for spec in specs:
        named, _, where = spec.rpartition("=")
        module, mark, attribute = where.partition(":")
        if not (mark and module and attribute):
            raise WrongUse(f"{spec}: write MODULE:FUNCTION, or TOOL=MODULE:FUNCTION")
        name = named or attribute
        if name in found:
            raise WrongUse(f"{spec}: two functions for the tool {name}")
        found[name] = _function(module, attribute)
    return found


def _function(module: str, attribute: str) -> Function:
    try:
        imported = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise  # something that the module itself imports
        raise WrongUse(f"there is no module {module} here or among the installed ones") from error
    function = getattr(imported, attribute, None)
    if function is None:
        raise WrongUse(f"the module {module} has no {attribute}")
    if not callable(function):
        raise WrongUse(f"{module}:{attribute} is no function")
    return function


class ToolServer:
    """Answers calls of the tools that it has `functions` for."""

    def __init__(self, client: Client, functions: Mapping[str, Function], agent_id: str | None, concurrency: int) -> None:
        self._client, self._functions, self._agent_id = client, functions, agent_id
        self._concurrency, self._pool = concurrency, ThreadPoolExecutor(concurrency, "tool")
        self._room = threading.Semaphore(concurrency + _QUEUED)  # further calls stay with the server
        self._lock = threading.Lock()
        self._under_way: set[str] = set()
        self._done: OrderedDict[str, None] = OrderedDict()
        self._foreign: set[str] = set()

    def run(self) -> None:
        """Until Ctrl-C or SIGTERM; calls that are worked on are ended first, and a second one does not wait for them."""
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        try:
            self._serve()
        except KeyboardInterrupt:
            self._end()
        except CommandError:
            self._pool.shutdown(wait=False, cancel_futures=True)
            _leave_at_signals()  # for the interpreter waits for what is worked on
            raise

    def _serve(self) -> None:
        wanted = {"type": _REQUESTED, "agent_id": self._agent_id}
        looked_up = False
        with closing(follow(self._client, "/v1/events/stream", None, **wanted)) as told:
            for event in told:
                if not looked_up:
                    self._begin()
                    looked_up = True
                if event is not None:
                    self._take(event | event["data"])

    def _begin(self) -> None:
        note(f"serving {', '.join(self._functions)}")
        for call in self._waiting():
            self._take(call)

    def _waiting(self) -> Iterator[Any]:
        """Calls that wait already."""
        asked: dict[str, Any] = {"agent_id": self._agent_id, "tool_name": list(self._functions), "limit": 1000}
        more = True
        while more:
            page = until_answered(lambda: self._client.get("/v1/tool-calls", **asked))
            yield from page["tool_calls"]
            asked["after"], more = page["next_after"], page["has_more"]

    def _take(self, call: Any) -> None:
        if call["tool_name"] not in self._functions:
            if call["tool_name"] not in self._foreign:
                self._foreign.add(call["tool_name"])
                note(f"calls of {call['tool_name']} are not served here")
            return
        with self._lock:
            if call["tool_call_id"] in self._under_way or call["tool_call_id"] in self._done:
                return
        self._room.acquire()
        with self._lock:
            self._under_way.add(call["tool_call_id"])
        self._pool.submit(self._work, call)

    def _work(self, call: Any) -> None:
        id = call["tool_call_id"]
        try:
            if _is_over(call):
                note(f"{call['tool_name']} {id}: its time was over before it could be begun")
            else:
                self._answer(call, *self._call(call))
        except Exception as error:  # whatever it is, the other calls go on
            note(f"{call['tool_name']} {id}: {type(error).__name__}: {error}")
        finally:
            self._room.release()
            with self._lock:
                self._under_way.discard(id)
                self._done[id] = None
                if len(self._done) > _REMEMBERED:
                    self._done.popitem(last=False)

    def _call(self, call: Any) -> tuple[Any, str | None]:
        """The function's result as it is in JSON, or what went wrong."""
        function = self._functions[call["tool_name"]]
        try:
            made = function(**call["arguments"])
            result = asyncio.run(_awaited(made)) if inspect.isawaitable(made) else made
            return orjson.loads(orjson.dumps(result)), None
        except BaseException as error:  # also `sys.exit`: in a thread it would end nothing, and nobody would answer
            return None, clean("".join(traceback.format_exception_only(error)).strip())[:_LONGEST_PROBLEM]

    def _answer(self, call: Any, result: Any, problem: str | None) -> None:
        try:
            self._submit(call, result, problem)
        except Refused as error:
            if error.status not in _UNTAKEN:
                raise
            self._submit(call, None, problem := str(error))  # nobody else has a better answer, and the call would wait
        said = f"failed: {problem}" if problem else "answered"
        note(f"{call['tool_name']} {call['tool_call_id']}: {one_line(said)}")

    def _submit(self, call: Any, result: Any, problem: str | None) -> None:
        """As often as it takes: an answer that was taken before is taken again."""
        event: dict[str, Any] = {
            "type": "tool.result_submitted",
            "message_id": call["message_id"],
            "tool_call_id": call["tool_call_id"],
            "result": {"error": problem} if problem else result,
            "is_error": problem is not None,
        }
        until_answered(lambda: self._client.post(f"/v1/sessions/{call['session_id']}/events", event, repeat=True))

    def _end(self) -> None:
        with self._lock:
            left = min(len(self._under_way), self._concurrency)  # the others have not begun
        note(f"stopping{f'; still under way: {left}. Ctrl-C again does not wait for them' if left else ''}")
        _leave_at_signals()
        self._pool.shutdown(cancel_futures=True)


def _leave_at_signals() -> None:
    signal.signal(signal.SIGINT, _leave)
    signal.signal(signal.SIGTERM, _leave)


def _leave(number: int, frame: FrameType | None) -> None:
    os._exit(130)


def _is_over(call: Any) -> bool:
    """By this machine's clock, which may be ahead of the server's by some minutes."""
    return call["deadline"] is not None and datetime.fromisoformat(call["deadline"]) < datetime.now(UTC) - _CLOCKS_DIFFER


async def _awaited(made: Any) -> Any:
    return await made
