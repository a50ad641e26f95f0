"""Reaching a browser where it runs, from whatever API process."""

import asyncio
import socket
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import orjson

from passel.core.browser.reach import LARGEST_HANDOVER, PROOF, PROOF_TEXT, TCP, UNIX, handover_path, host_and_port
from passel.core.errors import Conflict, Invalid, NotFound, PasselError, Unavailable
from passel.core.ids import SessionId
from passel.services.vault import Vault

_SECONDS = 150.0
_CONNECT_SECONDS = 10.0
_LONG = aiohttp.ClientTimeout(total=None, sock_read=_SECONDS)


class Unreachable(PasselError):
    """The page that a tool was to open is not to be had."""

    code = "unreachable"


class TooSlow(PasselError):
    """The page did not load, or did not answer, in time."""

    code = "too_slow"


_ERRORS = {400: Invalid, 404: NotFound, 409: Conflict, 410: Conflict, 422: Unreachable, 504: TooSlow}


class Reach:
    """`proof` is told to workers: that who calls knows the installation's secret."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault
        self._ways: dict[str, aiohttp.ClientSession] = {}

    def headers(self) -> dict[str, str]:
        return {PROOF: self._vault.sign(PROOF_TEXT)}

    async def call(self, address: str, session_id: SessionId, do: str, **asked: Any) -> Any:
        """One call to a browser (`passel.workloads.browser.calls`). Returns bytes, or what JSON says. Raises what it
        answers, and `Unavailable` where nobody does."""
        body = orjson.dumps({"do": do, **asked})
        try:
            async with self._way(address).post(f"{_host(address)}/{session_id}/call", data=body, headers=self.headers()) as response:
                body = await response.read()
                if response.status == 200:
                    return orjson.loads(body) if response.content_type == "application/json" else body
                told = orjson.loads(body)
                raise _ERRORS.get(response.status, Unavailable)(told["error"])
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise Unavailable(f"the worker of this browser does not answer: {error}") from error

    async def upload(self, address: str, session_id: SessionId, name: str, parts: AsyncIterator[bytes]) -> int:
        """Returns the file's size. Raises as `call` does."""
        try:
            way = self._way(address).post(
                f"{_host(address)}/{session_id}/upload", params={"name": name}, data=parts, headers=self.headers(), timeout=_LONG
            )
            async with way as response:
                told = orjson.loads(await response.read())
                if response.status == 200:
                    return told["size"]
                raise _ERRORS.get(response.status, Unavailable)(told["error"])
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise Unavailable(f"the worker of this browser does not answer: {error}") from error

    def _way(self, address: str) -> aiohttp.ClientSession:
        if address not in self._ways:
            connector = aiohttp.UnixConnector(address.removeprefix(UNIX)) if address.startswith(UNIX) else aiohttp.TCPConnector()
            self._ways[address] = aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=_SECONDS))
        return self._ways[address]

    async def connect(self, address: str, protocol: asyncio.Protocol) -> asyncio.Transport:
        """A raw connection to a worker's listener. Raises `OSError`."""
        loop = asyncio.get_running_loop()
        if address.startswith(UNIX):
            transport, _ = await loop.create_unix_connection(lambda: protocol, address.removeprefix(UNIX))
        else:
            async with asyncio.timeout(_CONNECT_SECONDS):
                transport, _ = await loop.create_connection(lambda: protocol, *host_and_port(address))
        return transport

    def hand_over(self, address: str, client: int, read: bytes) -> bool:
        """Give a client's connection to the worker: `client` is the file descriptor of its socket, `read` what the worker reads of it first.
        False where that cannot be done, and nothing has happened."""
        path = handover_path(address)
        if path is None or len(read) > LARGEST_HANDOVER:
            return False
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as way:
            way.setblocking(False)
            try:
                way.connect(path)
                socket.send_fds(way, [read], [client])
            except OSError:
                return False
        return True

    async def close(self) -> None:
        for way in self._ways.values():
            await way.close()


def _host(address: str) -> str:
    return "http://worker" if address.startswith(UNIX) else f"http://{address.removeprefix(TCP)}"


@asynccontextmanager
async def reaching(vault: Vault) -> AsyncGenerator[Reach]:
    reach = Reach(vault)
    try:
        yield reach
    finally:
        await reach.close()
