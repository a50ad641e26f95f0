"""The way out of one browser: a forward proxy that only it uses, which knows where it may not go.

A name is resolved here, what it resolves to is checked, and the connection goes to what was checked; so neither a spelling of an
address, nor a name that changes its mind, leads into the network of the machine. All of a browser's traffic comes this way, that to
loopback too (`--proxy-bypass-list=<-loopback>`).

With a proxy of the session's own behind it, names are resolved and checked here all the same, and then given to that proxy as they are,
those too that nobody knows here. What it makes of them is of its network.
"""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import httptools

from passel.core.browser.filters import HostFilter
from passel.core.browser.upstream import Upstream
from passel.network import is_private
from passel.workloads.browser import upstream as ahead
from passel.workloads.browser.finishing import finish
from passel.workloads.browser.upstream import Streams

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
    """Listens on loopback, for one browser. `url` is its address as Chromium wants it, `bytes` counts what went through, both ways.
    `upstream` is what it goes out through, None for the network itself; hosts of `filter` are not reached."""

    def __init__(self, rules: Rules, upstream: Upstream | None = None, filter: HostFilter | None = None) -> None:
        self._rules = rules
        self.lead(upstream, filter)
        self._tasks: set[asyncio.Task[Any]] = set()
        self.url = ""
        self.bytes = 0

    def lead(self, upstream: Upstream | None, filter: HostFilter | None) -> None:
        """Where connections go out through from now on, and which hosts they do not lead to."""
        self._filter = filter
        self._upstream = upstream
        self._tls = None if upstream is None else ahead.transport(upstream)

    async def __aenter__(self) -> "EgressProxy":
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def open(self) -> None:
        listening = socket.create_server(("127.0.0.1", 0))
        self._port = listening.getsockname()[1]
        self._rules.proxies.add(self._port)
        self.url = f"http://127.0.0.1:{self._port}"
        self._server = await asyncio.start_server(self._serve, sock=listening, limit=_HEAD_BYTES, start_serving=False)
        try:
            await self._server.start_serving()
        except asyncio.CancelledError:  # nobody would close it
            await finish(self.close())
            raise

    async def close(self) -> None:
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
        except asyncio.CancelledError:
            if self._server.is_serving():
                raise
            # closed: `close` waits for us, and whoever made this task looks for an error
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection of the browser's: a tunnel, or one request in the clear, after which it is closed."""
        head = await reader.readuntil(b"\r\n\r\n")
        request, _, rest = head.partition(b"\r\n")
        method, target, version = request.split(b" ", 2)
        tunnel = method == b"CONNECT"
        try:
            if tunnel:
                host, port = _authority(target.decode("latin-1"), 443)
                far_reader, far_writer = await self._reach(host, port, tunnel=True)
                writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            else:
                url = httptools.parse_url(target)
                if url.schema != b"http" or not url.host:
                    raise Refused("only http and https")
                host, port = url.host.decode("latin-1"), url.port or 80
                far_reader, far_writer = await self._reach(host, port, tunnel=self._tunnels)
                path = (url.path or b"/") + (b"?" + url.query if url.query else b"")
                far_writer.write(method + b" " + self._asked(host, port, path) + b" " + version + b"\r\n" + self._own + _headers(rest))
        except Refused as refused:
            _answer(writer, 403, str(refused))
            return
        except (OSError, TimeoutError, UnicodeError) as error:
            _answer(writer, 502, f"{type(error).__name__}: {error}")
            return
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(self._pump(reader, far_writer))
                both.create_task(self._pump(far_reader, writer) if tunnel or self._tunnels else self._answers(far_reader, writer))
        except* (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass
        finally:
            far_writer.close()

    @property
    def _tunnels(self) -> bool:
        """Whether requests in the clear go to where they are for, and not to a proxy that speaks HTTP itself."""
        return self._upstream is None or self._upstream.scheme == "socks5"

    @property
    def _own(self) -> bytes:
        """The header of a request in the clear that is for the proxy ahead."""
        return b"" if self._upstream is None or self._tunnels else ahead.authorization(self._upstream)

    def _asked(self, host: str, port: int, path: bytes) -> bytes:
        """The target of a request in the clear (RFC 9112, 3.2)."""
        if self._tunnels:
            return path
        return f"http://{f'[{host}]' if ':' in host else host}{'' if port == 80 else f':{port}'}".encode("latin-1") + path

    async def _reach(self, host: str, port: int, *, tunnel: bool) -> Streams:
        """A connection that leads to `host`, or without a `tunnel` to the proxy that is to be asked for it. Raises `Refused` and `OSError`."""
        host, ahead_of_us = host.strip("[]"), self._upstream
        if self._filter is not None and self._filter.blocks(host):
            raise Refused(f"{host} is on a filter list of this server, which this session asked for (browser.adblock)")
        async with asyncio.timeout(_CONNECT_SECONDS):
            if ahead_of_us is None:
                return await self._connect(host, port, None)
            with contextlib.suppress(socket.gaierror):
                await self._addresses(host, port)
            streams = await self._connect(ahead_of_us.host, ahead_of_us.port, self._tls)
            try:
                if tunnel:
                    await ahead.tunnel(ahead_of_us, streams, host, port)
            except BaseException:
                streams[1].close()
                raise
            return streams

    async def _addresses(self, host: str, port: int) -> list[str]:
        """All that a name has, each of them checked. Raises `Refused` and `OSError`."""
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
        for address in addresses:
            self._rules.check(host, address, port)
        return addresses

    async def _connect(self, host: str, port: int, tls: ssl.SSLContext | None) -> Streams:
        """To the first of its addresses that answers. Raises `Refused` and `OSError`."""
        failed: OSError = OSError("no address")
        for address in await self._addresses(host, port):
            try:
                return await asyncio.open_connection(address, port, limit=_CHUNK, ssl=tls, server_hostname=host if tls else None)
            except OSError as error:
                failed = error
        raise failed

    async def _answers(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Of a proxy that was asked in the clear."""
        line = await reader.readuntil(b"\n")
        if (problem := ahead.problem(line)) is not None:
            _answer(writer, 502, problem)
            writer.write_eof()
            return
        writer.write(line)
        self.bytes += len(line)
        await self._pump(reader, writer)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(_CHUNK):
            self.bytes += len(data)
            writer.write(data)
            await writer.drain()
        with contextlib.suppress(OSError, RuntimeError):
            if writer.can_write_eof():
                writer.write_eof()
            else:  # TLS knows no half of a connection
                writer.close()


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
