"""Server-sent events (WHATWG HTML, 9.2) as a plain ASGI response: thousands are open at once, so each costs little.

A connection that takes nothing for a while is broken off; its client comes back with `Last-Event-ID` and misses nothing.
"""

import asyncio
import contextlib
import random
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

import orjson
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

BREAK_OFF = "passel.break_off"
"""The extension by which a server lets a response end its connection without waiting for what was written to be taken."""

_STUCK_BEATS = 4
_PIECE = 64 * 1024
_RETRY = b"retry: 2000\n\n"
_BEAT = b": keep-alive\n\n"
_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


def frame(id: str, event: str, data: Any) -> bytes:
    """One event. `data` is JSON, which has no line breaks."""
    return b"id: %b\nevent: %b\ndata: %b\n\n" % (id.encode(), event.encode(), orjson.dumps(data))


def mark(id: str) -> bytes:
    """How far a stream has come without an event: clients keep the id for their return, and see nothing."""
    return b"id: %b\n\n" % id.encode()


class EventStream(Response):
    """`pages` gives frames; an empty page is a sign of life. Between them `may_go_on` is asked, at most every `heartbeat`
    seconds: whether the client may still see this. One that takes nothing for four of them has gone for us."""

    media_type = "text/event-stream"

    def __init__(self, pages: AsyncGenerator[list[bytes]], may_go_on: Callable[[], Awaitable[bool]], heartbeat: float) -> None:
        super().__init__(None, headers=_HEADERS)
        del self.headers["content-length"]
        self._pages, self._may_go_on, self._heartbeat = pages, may_go_on, heartbeat

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        streaming = asyncio.ensure_future(self._stream(send))
        leaving = asyncio.ensure_future(_left(receive))
        try:
            await asyncio.wait((streaming, leaving), return_when=asyncio.FIRST_COMPLETED)
            if streaming.done() and not await streaming and (server := scope.get("extensions", {}).get(BREAK_OFF)):
                server["now"]()
                await leaving
        finally:
            leaving.cancel()
            streaming.cancel()
            await asyncio.wait((streaming, leaving))
            await self._pages.aclose()

    async def _stream(self, send: Send) -> bool:
        """False when the client takes nothing any more."""
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        await self._write(send, _RETRY)
        loop = asyncio.get_running_loop()
        allowed_until = loop.time() + self._pause()
        async for page in self._pages:
            if loop.time() >= allowed_until:
                if not await self._may_go_on():
                    break
                allowed_until = loop.time() + self._pause()
            if not await self._write(send, b"".join(page) if page else _BEAT):
                return False
        with contextlib.suppress(OSError):
            return await self._write(send, b"", more=False)
        return True

    def _pause(self) -> float:
        """Until the next look: readers that came at the same moment do not all ask at the same moment for ever."""
        return self._heartbeat * random.uniform(0.5, 1)

    async def _write(self, send: Send, data: bytes, *, more: bool = True) -> bool:
        """In pieces, so that a client on a slow line gets through a long page."""
        try:
            for start in range(0, max(1, len(data)), _PIECE):
                async with asyncio.timeout(_STUCK_BEATS * self._heartbeat):
                    await send({"type": "http.response.body", "body": data[start : start + _PIECE], "more_body": more})
        except TimeoutError:
            return False
        return True


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
