"""Connections of clients that an API process of this machine hands over to this worker (`passel.core.browser.reach`)."""

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

import structlog

from passel.core.browser.reach import LARGEST_HANDOVER

log = structlog.get_logger()

_BACKLOG = 1024


class _Door:
    """`serve` makes the protocol that speaks with a client."""

    def __init__(self, door: socket.socket, serve: Callable[[], asyncio.Protocol]) -> None:
        self._door, self._serve = door, serve
        self._loop = asyncio.get_running_loop()
        self._callers: set[socket.socket] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    def open(self) -> None:
        self._loop.add_reader(self._door, self._called)

    def close(self) -> None:
        self._loop.remove_reader(self._door)
        for caller in list(self._callers):
            self._forget(caller)
        for task in self._tasks:
            task.cancel()

    def _called(self) -> None:
        with contextlib.suppress(BlockingIOError):
            caller, _ = self._door.accept()
            caller.setblocking(False)
            self._callers.add(caller)
            self._loop.add_reader(caller, self._told, caller)

    def _told(self, caller: socket.socket) -> None:
        try:
            read, fds, _, _ = socket.recv_fds(caller, LARGEST_HANDOVER, 1)
        except BlockingIOError:
            return
        except OSError:
            read, fds = b"", []
        self._forget(caller)
        if not fds:
            return
        try:
            client = socket.socket(fileno=fds[0])
        except OSError:  # no socket
            os.close(fds[0])
            return
        client.setblocking(False)
        task = asyncio.create_task(self._take(client, read))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _take(self, client: socket.socket, read: bytes) -> None:
        try:
            _, protocol = await self._loop.connect_accepted_socket(self._serve, client)
        except OSError as error:
            log.warning("a connection that was handed over cannot be served", error=str(error))
            client.close()
            return
        protocol.data_received(read)

    def _forget(self, caller: socket.socket) -> None:
        self._loop.remove_reader(caller)
        self._callers.discard(caller)
        caller.close()


@asynccontextmanager
async def taking_over(path: str, serve: Callable[[], asyncio.Protocol]) -> AsyncGenerator[None]:
    """Take over what is sent to the socket at `path`, which only this account may do."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listening:
        listening.setblocking(False)
        listening.bind(path)
        await asyncio.to_thread(os.chmod, path, 0o600)
        listening.listen(_BACKLOG)
        door = _Door(listening, serve)
        door.open()
        try:
            yield
        finally:
            door.close()
            await asyncio.to_thread(os.unlink, path)
