"""The way out of one browser: a forward proxy that only it uses, which knows where it may not go.

A name is resolved here, what it resolves to is checked, and the connection goes to what was checked; so neither a spelling of an
address, nor a name that changes its mind, leads into the network of the machine. All of a browser's traffic comes this way, that to
loopback too (`--proxy-bypass-list=<-loopback>`).
"""

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import httptools

from passel.network import is_private

_HEAD_BYTES = 64 * 1024
_CONNECT_SECONDS = 20.0
_CHUNK = 256 * 1024
_METADATA = frozenset({"169.254.169.254", "fd00:ec2::254", "100.100.100.200", "169.254.170.2"})
_HOP_BY_HOP = frozenset({b"proxy-connection", b"proxy-authorization", b"connection", b"keep-alive", b"te", b"trailer", b"upgrade"})


class Refused(Exception):
    """The address is not to be reached from here; the message says why."""


@dataclass(frozen=True, slots=True)
class Rules:
    """`own_ports` are those of this installation on this machine, which stay shut whatever else is open: its API and its database."""

    allow_private: bool = False
    own_ports: Callable[[], frozenset[int]] = frozenset[int]

    proxies: set[int] = field(default_factory=set[int])
    """Ports of the ways out of other browsers of this worker, which stay shut too."""

    def check(self, host: str, address: str, port: int) -> None:
        """Raises `Refused`."""
        plain = address.split("%")[0].removeprefix("::ffff:")
        if plain in _METADATA:
            raise Refused("metadata services are not reached from a browser")
        if is_private(address) and (port in self.proxies or port in self.own_ports()):
            raise Refused("this server itself is not reached from its browsers")
        if is_private(address) and not self.allow_private:
            raise Refused(
                f"{host} is a private address, which browsers may not reach: set PASSEL_ALLOW_PRIVATE_URLS=1 on the server to allow it"
            )


class EgressProxy:
    """Listens on loopback, for one browser. `url` is its address as Chromium wants it, `bytes` counts what went through, both ways."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._tasks: set[asyncio.Task[Any]] = set()
        self.url = ""
        self.bytes = 0

    async def __aenter__(self) -> "EgressProxy":
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=_HEAD_BYTES)
        self._port = self._server.sockets[0].getsockname()[1]
        self._rules.proxies.add(self._port)
        self.url = f"http://127.0.0.1:{self._port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        self._rules.proxies.discard(self._port)
        for task in list(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self._one(reader, writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, httptools.HttpParserError):
            pass
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection of the browser's: a tunnel, or one request in the clear, after which it is closed."""
        head = await reader.readuntil(b"\r\n\r\n")
        request, _, rest = head.partition(b"\r\n")
        method, target, version = request.split(b" ", 2)
        try:
            if method == b"CONNECT":
                host, port = _authority(target.decode("latin-1"), 443)
                far_reader, far_writer = await self._connect(host, port)
                writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            else:
                url = httptools.parse_url(target)
                if url.schema != b"http" or not url.host:
                    raise Refused("only http and https")
                host, port = url.host.decode("latin-1"), url.port or 80
                far_reader, far_writer = await self._connect(host, port)
                path = (url.path or b"/") + (b"?" + url.query if url.query else b"")
                far_writer.write(method + b" " + path + b" " + version + b"\r\n" + _headers(rest))
        except Refused as refused:
            _answer(writer, 403, str(refused))
            return
        except (OSError, TimeoutError, UnicodeError) as error:
            _answer(writer, 502, f"{type(error).__name__}: {error}")
            return
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(self._pump(reader, far_writer))
                both.create_task(self._pump(far_reader, writer))
        except* OSError:
            pass
        finally:
            far_writer.close()

    async def _connect(self, host: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """To the first of its addresses that answers, all of which were checked. Raises `Refused` and `OSError`."""
        async with asyncio.timeout(_CONNECT_SECONDS):
            loop = asyncio.get_running_loop()
            found = await loop.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)
            addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
            for address in addresses:
                self._rules.check(host.strip("[]"), address, port)
            failed: OSError = OSError("no address")
            for address in addresses:
                try:
                    return await asyncio.open_connection(address, port, limit=_CHUNK)
                except OSError as error:
                    failed = error
            raise failed

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(_CHUNK):
            self.bytes += len(data)
            writer.write(data)
            await writer.drain()
        with contextlib.suppress(OSError, RuntimeError):
            writer.write_eof()


def _authority(text: str, default: int) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon or "]" in port:
        return text, default
    if not port.isdigit():
        raise Refused("no port")
    return host, int(port)


def _headers(block: bytes) -> bytes:
    """Those that belong to the request, and that its connection ends with it: the next may be for another host. An upgrade stays one."""
    lines = [line for line in block.split(b"\r\n") if line]
    upgrades = any(line.lower().startswith(b"upgrade:") for line in lines)
    drop: Iterable[bytes] = (b"proxy-connection", b"proxy-authorization") if upgrades else _HOP_BY_HOP
    kept = [line for line in lines if line.partition(b":")[0].strip().lower() not in drop]
    return b"\r\n".join([*kept, *([] if upgrades else [b"Connection: close"]), b"", b""])


def _answer(writer: asyncio.StreamWriter, status: int, said: str) -> None:
    body = said.encode()
    head = f"HTTP/1.1 {status} {'Forbidden' if status == 403 else 'Bad Gateway'}\r\nContent-Type: text/plain; charset=utf-8\r\n"
    writer.write(head.encode() + f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body)
