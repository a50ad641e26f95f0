"""Thousands of readers of server-sent events in a process of their own, and the bare server that they are compared with.

python -m benchmarks.readers --database-url ...      the bare server: prints its URL; what a notice says goes to its readers

A reader is a protocol on the bare loop. It does not undo the chunks of HTTP: the servers write whole events into each.
"""

import argparse
import asyncio
import json
import multiprocessing
import resource
import time
from collections import defaultdict
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import uvloop
from aiohttp import web

BARE_CHANNEL = "bare_told"

_OPENING = 100
_PATIENCE = 120.0


def raise_file_limit() -> None:
    """For this process and its children; the API raises its own."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


class _Reader(asyncio.Protocol):
    def __init__(self, request: bytes, received: list[tuple[bytes, int]]) -> None:
        self._request, self._received, self._rest = request, received, b""
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.lost = False

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        now = time.monotonic_ns()
        *blocks, self._rest = (self._rest + data).split(b"\n\n")
        for block in blocks:
            if (at := block.find(b"id: ", 0, 16)) >= 0:  # behind the length of its chunk
                self._received.append((block[at + 4 : block.index(b"\n", at)], now))
        if blocks and not self.opened.done():
            self.opened.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        if not self.opened.done():
            self.opened.set_exception(exc or ConnectionResetError(self._rest[:300].decode()))


async def _read(url: str, headers: str, paths: Sequence[str], pipe: Any) -> None:
    place, loop = urlsplit(url), asyncio.get_running_loop()
    received: list[tuple[bytes, int]] = []
    opening = asyncio.Semaphore(_OPENING)

    async def open_one(path: str) -> _Reader:
        async with opening, asyncio.timeout(_PATIENCE):
            request = f"GET {path} HTTP/1.1\r\nHost: {place.netloc}\r\n{headers}\r\n".encode()
            _, reader = await loop.create_connection(lambda: _Reader(request, received), place.hostname, place.port)
            await reader.opened
            return reader

    readers = await asyncio.gather(*(open_one(path) for path in paths))
    pipe.send("opened")
    while await asyncio.to_thread(pipe.recv) == "tell":
        pipe.send((received.copy(), sum(reader.lost for reader in readers)))
        received.clear()
    for reader in readers:
        reader.transport.close()


def _run(url: str, headers: str, paths: Sequence[str], pipe: Any) -> None:
    uvloop.run(_read(url, headers, paths, pipe))


class Readers:
    """One reader for each of `paths`, all connected when this is made; `headers` are lines of the request."""

    def __init__(self, url: str, headers: str, paths: Sequence[str]) -> None:
        self._pipe, theirs = multiprocessing.Pipe()
        self._process = multiprocessing.get_context("spawn").Process(target=_run, args=(url, headers, paths, theirs))
        self._process.start()
        theirs.close()
        self._pipe.recv()

    def take(self) -> list[tuple[bytes, int]]:
        """The ids of events with the moments (`monotonic_ns`) at which they came, since the last time. All readers must
        be there still."""
        self._pipe.send("tell")
        received, lost = self._pipe.recv()
        assert not lost, f"{lost} readers were cut"
        return received

    def close(self) -> None:
        self._pipe.send("stop")
        self._process.join()


async def _serve_bare(database_url: str) -> None:
    """Streams of aiohttp that keep nothing, check nobody and replay nothing: what is told is in the notice."""
    following: defaultdict[str, set[web.StreamResponse]] = defaultdict(set)
    waiting: asyncio.Queue[str] = asyncio.Queue()

    async def stream(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(b": hello\n\n")
        followers = following[request.match_info["id"]]
        followers.add(response)
        try:
            await asyncio.Future()
        finally:
            followers.discard(response)
        return response

    app = web.Application()
    app.router.add_get("/{id}", stream)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, backlog=4096)
    await site.start()
    listening = await asyncpg.connect(database_url)
    await listening.add_listener(BARE_CHANNEL, lambda *notice: waiting.put_nowait(notice[3]))
    print(f"listening http://127.0.0.1:{runner.addresses[0][1]}", flush=True)
    while True:
        told = await waiting.get()
        event = json.loads(told)
        frame = f"id: {event['id']}\nevent: {event['type']}\ndata: {told}\n\n".encode()
        for response in tuple(following[event["session_id"]]):
            await response.write(frame)


if __name__ == "__main__":
    raise_file_limit()
    parser = argparse.ArgumentParser()
    parser.add_argument("--database-url", required=True)
    uvloop.run(_serve_bare(parser.parse_args().database_url))
