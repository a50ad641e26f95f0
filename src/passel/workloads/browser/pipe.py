"""The DevTools pipe of a browser: JSON messages, each ended by a NUL byte, over two file descriptors.

It is never a TCP port: a page of one browser could drive another one through that.
"""

import asyncio
import contextlib
import os
from collections.abc import Callable

_READ_AT_ONCE = 256 * 1024
_HIGH_WATER = 4 * 1024 * 1024


class Pipe(asyncio.Protocol):
    """`received` is told each message, in order and without its NUL; `closed` when the browser has gone."""

    def __init__(self, received: Callable[[bytes], None], closed: Callable[[], None]) -> None:
        self._received, self._closed = received, closed
        self._parts: list[bytes] = []
        self._writer: asyncio.WriteTransport | None = None
        self._reader: asyncio.ReadTransport | None = None
        self._room = asyncio.Event()
        self._room.set()
        self._gone = False

    async def open(self, reads: int, writes: int) -> None:
        """Takes over both file descriptors."""
        loop = asyncio.get_running_loop()
        os.set_blocking(reads, False)
        os.set_blocking(writes, False)
        with contextlib.ExitStack() as undo:  # who is cancelled between the two
            reader = undo.enter_context(os.fdopen(reads, "rb", 0))
            self._writer, _ = await loop.connect_write_pipe(lambda: _Flow(self), os.fdopen(writes, "wb", 0))
            self._writer.set_write_buffer_limits(high=_HIGH_WATER)
            self._reader, _ = await loop.connect_read_pipe(lambda: self, reader)
            undo.pop_all()

    def send(self, message: bytes) -> None:
        """A message without a NUL."""
        if self._writer is not None and not self._writer.is_closing():
            self._writer.write(message + b"\0")

    async def has_room(self) -> None:
        """Wait while the browser does not keep up with what it is sent."""
        await self._room.wait()

    def data_received(self, data: bytes) -> None:
        at = data.find(b"\0")
        if at < 0:
            self._parts.append(data)
            return
        start = 0
        while at >= 0:
            message = data[start:at]
            if self._parts:
                self._parts.append(message)
                message = b"".join(self._parts)
                self._parts.clear()
            self._received(message)
            start = at + 1
            at = data.find(b"\0", start)
        if start < len(data):
            self._parts.append(data[start:])

    def connection_lost(self, exc: Exception | None) -> None:
        self.close()

    def close(self) -> None:
        if self._gone:
            return
        self._gone = True
        self._room.set()
        for transport in (self._writer, self._reader):
            if transport is not None:
                transport.close()
        self._closed()

    def full(self, full: bool) -> None:
        if full:
            self._room.clear()
        else:
            self._room.set()


class _Flow(asyncio.BaseProtocol):
    """How the writing end keeps up."""

    def __init__(self, pipe: Pipe) -> None:
        self._pipe = pipe

    def pause_writing(self) -> None:
        self._pipe.full(True)

    def resume_writing(self) -> None:
        self._pipe.full(False)

    def connection_lost(self, exc: Exception | None) -> None:
        self._pipe.close()
