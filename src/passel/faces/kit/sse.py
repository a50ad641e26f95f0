"""Server-sent events (WHATWG HTML, 9.2) as a plain ASGI response: thousands are open at once, so each costs little.

A connection that takes nothing for a while is cut; its client comes back with `Last-Event-ID` and misses nothing.
"""

import asyncio
import contextlib
import random
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

import orjson
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

_STUCK_SECONDS = 60.0
_RETRY = b"retry: 2000\n\n"
_BEAT = b": keep-alive\n\n"
_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


def frame(id: str, event: str, data: Any) -> bytes:
    """One event. `data` is JSON, which has no line breaks."""
    return b"id: %b\nevent: %b\ndata: %b\n\n" % (id.encode(), event.encode(), orjson.dumps(data))


class EventStream(Response):
    """`pages` gives frames; an empty page is a sign of life. Between them `may_go_on` is asked, at most every `heartbeat`
    seconds: whether the client may still see this."""

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
            if streaming.done():
                await streaming
        finally:
            leaving.cancel()
            streaming.cancel()
            await asyncio.wait((streaming, leaving))
            await self._pages.aclose()

    async def _stream(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        await _write(send, _RETRY)
        loop = asyncio.get_running_loop()
        allowed_until = loop.time() + self._pause()
        async for page in self._pages:
            if loop.time() >= allowed_until:
                if not await self._may_go_on():
                    break
                allowed_until = loop.time() + self._pause()
            if not await _write(send, b"".join(page) if page else _BEAT):
                return  # without an end: the server closes the connection
        with contextlib.suppress(OSError):
            await send({"type": "http.response.body", "body": b""})

    def _pause(self) -> float:
        """Until the next look: readers that came at the same moment do not all ask at the same moment for ever."""
        return self._heartbeat * random.uniform(0.5, 1)


async def _write(send: Send, data: bytes) -> bool:
    """False when the client took nothing for too long."""
    try:
        async with asyncio.timeout(_STUCK_SECONDS):
            await send({"type": "http.response.body", "body": data, "more_body": True})
    except TimeoutError:
        return False
    return True


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
