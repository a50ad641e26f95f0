"""Clients that answer tool calls: a cheap one that sends thousands of answers, and loops that run their tools themselves."""

import asyncio
import time
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import urlsplit

import orjson

from passel.core.llm.options import LlmOption
from passel.models.directory import CallSettings, ModelDirectory
from passel.models.questions import Question, Spoken, ToolOffer


class Poster(asyncio.Protocol):
    """Requests one after the other on one connection, as cheap as may be, since client and server share the cores. Knows
    answers with a `Content-Length` only."""

    def __init__(self, requests: Iterator[bytes]) -> None:
        self._requests, self._data = requests, b""
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._next()

    def _next(self) -> None:
        request = next(self._requests, None)
        if request is not None:
            self._transport.write(request)
        else:
            self.done.set_result(None)
            self._transport.close()

    def data_received(self, data: bytes) -> None:
        self._data += data
        head, found, body = self._data.partition(b"\r\n\r\n")
        if found and len(body) >= int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0]):
            if not head.startswith(b"HTTP/1.1 202"):
                self.done.set_exception(AssertionError(self._data[:1000].decode()))
                self._transport.close()
                return
            self._data = b""
            self._next()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(exc or ConnectionResetError())


def answer_request(url: str, key: str, session: str, message: str, call: str, result: Any) -> bytes:
    body = orjson.dumps({"type": "tool.result_submitted", "message_id": message, "tool_call_id": call, "result": result})
    head = f"POST /v1/sessions/{session}/events HTTP/1.1\r\nHost: {urlsplit(url).netloc}\r\nAuthorization: Bearer {key}\r\n"
    return f"{head}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


async def post_all(url: str, requests: Sequence[bytes], concurrency: int) -> float:
    """Seconds until all of them are acknowledged."""
    place, todo, loop = urlsplit(url), iter(requests), asyncio.get_running_loop()
    started = time.perf_counter()
    posters = [await loop.create_connection(lambda: Poster(todo), place.hostname, place.port) for _ in range(concurrency)]
    await asyncio.gather(*(poster.done for _, poster in posters))
    return time.perf_counter() - started


async def _no_local_model(model: str) -> str:
    raise AssertionError("no local model here")


async def bare_turns(url: str, script: str, tool: ToolOffer, turns: int) -> list[float]:
    """Milliseconds of each turn of a loop with Passel's own model client, one after the other: the call that asks for tools,
    the tools as functions in process, the call that is told of their results. Keeps nothing."""
    models = ModelDirectory(CallSettings(concurrency=1, allow_private_urls=True, direct=True), _no_local_model)
    option, times = LlmOption("openai", "script", f"{url}/v1"), list[float]()
    for _ in range(turns):
        started = time.perf_counter()
        told: list[Spoken] = [Spoken("user", (script,))]
        while True:
            answer = await models.ask(option, None, Question("You are a test.", tuple(told), (tool,)))
            if not answer.tools:
                break
            told.append(Spoken("assistant", (answer.text,) if answer.text else (), answer.tools))
            told += [Spoken("tool", (_look_up(asked.arguments),), (), asked.call_id) for asked in answer.tools]
        times.append((time.perf_counter() - started) * 1000)
    await models.close()
    return times


def _look_up(arguments: str) -> str:
    return orjson.dumps({"meaning": orjson.loads(arguments)["word"]}).decode()
