"""Clients of streams by the thousand: followers that come back with the last event they have dealt with, all on one loop
in a thread of their own, and a reader that takes one byte a second."""

import asyncio
import json
import socket
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from tests.support.installation import KEY, Installation

Event = dict[str, Any]

PASSING = (aiohttp.ClientError, OSError, asyncio.TimeoutError)
"""What a client meets while a server is away."""


async def _nothing(event: Event, client: aiohttp.ClientSession) -> None:
    return None


@dataclass
class Follower:
    """Follows the stream at `path` until an event of which `is_last` says that it is enough. `heard` deals with each
    event; only what it has dealt with is never asked for again. `breaks` counts how often it had to come back."""

    path: str
    is_last: Callable[[Event], bool]
    heard: Callable[[Event, aiohttp.ClientSession], Awaitable[None]] = _nothing
    events: list[Event] = field(default_factory=list[Event])
    breaks: int = 0
    follows: bool = False

    @property
    def numbers(self) -> list[int]:
        return [event["sequence_number"] for event in self.events]

    @property
    def has_ended(self) -> bool:
        return bool(self.events) and self.is_last(self.events[-1])

    async def follow(self, client: aiohttp.ClientSession) -> None:
        while not self.has_ended:
            with suppress(*PASSING):
                await self._follow_once(client)
            if not self.has_ended:
                self.follows = False
                self.breaks += 1
                await asyncio.sleep(0.2)

    async def _follow_once(self, client: aiohttp.ClientSession) -> None:
        headers = {"Last-Event-ID": self.events[-1]["id"]} if self.events else {}
        async with client.get(self.path, headers=headers) as response:
            if response.status != 200:
                assert response.status >= 500, await response.text()
                return
            self.follows = True
            async for event in _events(response.content):
                await self.heard(event, client)
                self.events.append(event)
                if self.has_ended:
                    return


async def _events(content: aiohttp.StreamReader) -> AsyncGenerator[Event]:
    """Of a stream's bytes, the data of each event. What came before a break is not one until its blank line is there."""
    rest = b""
    async for data in content.iter_any():
        *frames, rest = (rest + data).split(b"\n\n")
        for frame in frames:
            fields = dict(line.split(b": ", 1) for line in frame.split(b"\n") if line and not line.startswith(b":"))
            if b"data" in fields:
                event = json.loads(fields[b"data"])
                assert (event["id"], event["type"]) == (fields[b"id"].decode(), fields[b"event"].decode())
                yield event


class Crowd(threading.Thread):
    """Follows with all `followers` at once. What went wrong in one of them is raised by `ended`."""

    def __init__(self, passel: Installation, followers: Sequence[Follower]) -> None:
        super().__init__(daemon=True)
        self._url, self.followers = passel.url, followers
        self._error: BaseException | None = None

    def run(self) -> None:
        try:
            asyncio.run(self._follow())
        except BaseException as error:
            self._error = error

    async def _follow(self) -> None:
        connector, timeout = aiohttp.TCPConnector(limit=0), aiohttp.ClientTimeout(total=None, sock_read=60)
        headers = {"Authorization": f"Bearer {KEY}"}
        async with (
            aiohttp.ClientSession(self._url, headers=headers, connector=connector, timeout=timeout) as client,
            asyncio.TaskGroup() as group,
        ):
            for follower in self.followers:
                group.create_task(follower.follow(client))

    def is_whole(self) -> bool:
        """Whether everybody who has not seen its last event is connected."""
        return all(follower.follows or follower.has_ended for follower in self.followers)

    def ended(self, timeout: float) -> None:
        """Wait until every follower has seen its last event. Raises what one of them met."""
        self.join(timeout)
        if self._error is not None:
            raise self._error
        late = [f"{f.path} at {f.numbers[-1:]}" for f in self.followers if not f.has_ended]
        assert not late, f"{len(late)} followers wait for events, such as {late[:3]}"


class SlowReader(threading.Thread):
    """Reads a stream at one byte a second, through a window that is as small as the system lets it be."""

    def __init__(self, passel: Installation, path: str) -> None:
        super().__init__(daemon=True)
        self._url, self._path = urlsplit(passel.url), path
        self._enough = threading.Event()
        self.taken = 0

    def __enter__(self) -> "SlowReader":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._enough.set()
        self.join()

    def run(self) -> None:
        while not self._enough.is_set():
            with suppress(OSError):
                self._read()
            self._enough.wait(0.2)

    def _read(self) -> None:
        with socket.socket() as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)  # before it connects: windows are told then
            connection.settimeout(30)
            connection.connect((self._url.hostname, self._url.port))
            request = f"GET {self._path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\r\n\r\n"
            connection.sendall(request.encode())
            while (byte := connection.recv(1)) and not self._enough.wait(1):
                self.taken += len(byte)
