"""Connections through a proxy of a tenant's own: tunnels of HTTP (RFC 9110, 9.3.6) and of SOCKS 5 (RFC 1928, RFC 1929)."""

import asyncio
import base64
import ipaddress
import ssl

from passel.core.browser.upstream import Upstream

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]

_VERSION, _NO_PASSWORD, _WITH_PASSWORD, _CONNECT = 5, 0, 2, 1
_V4, _NAME, _V6 = 1, 3, 4
_REPLIES = {
    1: "it failed",
    2: "it does not allow that",
    3: "the network is not reached",
    4: "the host is not reached",
    5: "the connection was refused",
    6: "it took too long",
}
_REFUSED = "the session's proxy refuses its user name or password"


class UpstreamFailed(OSError):
    """The session's proxy does not lead there; the message says why."""


def transport(upstream: Upstream) -> ssl.SSLContext | None:
    return ssl.create_default_context() if upstream.scheme == "https" else None


def authorization(upstream: Upstream) -> bytes:
    """The header line with its end, or nothing (RFC 7617)."""
    if upstream.user is None:
        return b""
    pair = f"{upstream.user}:{upstream.password}".encode()
    return b"Proxy-Authorization: Basic " + base64.b64encode(pair) + b"\r\n"


async def tunnel(upstream: Upstream, streams: Streams, host: str, port: int) -> None:
    """Have the proxy that is connected lead to `host`. Raises `UpstreamFailed` and `OSError`."""
    try:
        if upstream.scheme == "socks5":
            await _socks(upstream, streams, host, port)
        else:
            await _connect(upstream, streams, host, port)
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
        raise UpstreamFailed("the session's proxy closed the connection, or answers what no such proxy says") from error


async def _connect(upstream: Upstream, streams: Streams, host: str, port: int) -> None:
    reader, writer = streams
    authority = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    writer.write(f"CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n".encode("ascii") + authorization(upstream) + b"\r\n")
    head = await reader.readuntil(b"\r\n\r\n")
    if (code := status(head)) == 407:
        raise UpstreamFailed(_REFUSED)
    if code is None or not 200 <= code < 300:
        raise UpstreamFailed(f"the session's proxy answers {code or 'something else than HTTP'}")


def status(head: bytes) -> int | None:
    """Of the first line of an answer."""
    words = head.split(b"\r\n", 1)[0].split(b" ", 2)
    return int(words[1]) if len(words) > 1 and words[0].startswith(b"HTTP/1.") and words[1].isdigit() else None


def problem(head: bytes) -> str | None:
    """Of the answer to a request in the clear: a browser is not asked for what its session should have known."""
    return _REFUSED if status(head) == 407 else None


async def _socks(upstream: Upstream, streams: Streams, host: str, port: int) -> None:
    reader, writer = streams
    methods = [_NO_PASSWORD] if upstream.user is None else [_NO_PASSWORD, _WITH_PASSWORD]
    writer.write(bytes([_VERSION, len(methods), *methods]))
    version, chosen = await reader.readexactly(2)
    if version != _VERSION:
        raise UpstreamFailed("the session's proxy does not speak SOCKS 5")
    if chosen not in methods:
        raise UpstreamFailed("the session's proxy asks for a user name and a password" if upstream.user is None else _REFUSED)
    if chosen == _WITH_PASSWORD:
        user, password = (upstream.user or "").encode(), upstream.password.encode()
        writer.write(bytes([1, len(user)]) + user + bytes([len(password)]) + password)
        if (await reader.readexactly(2))[1] != 0:
            raise UpstreamFailed(_REFUSED)
    writer.write(bytes([_VERSION, _CONNECT, 0]) + _address(host) + port.to_bytes(2))
    _, reply, _, kind = await reader.readexactly(4)
    if reply != 0:
        raise UpstreamFailed(f"the session's proxy answers: {_REPLIES.get(reply, f'error {reply}')}")
    length = {_V4: 4, _V6: 16}.get(kind) or (await reader.readexactly(1))[0]
    await reader.readexactly(length + 2)


def _address(host: str) -> bytes:
    try:
        ip = ipaddress.ip_address(host)
    except ValueError:
        name = host.encode("idna") if not host.isascii() else host.encode()
        if not 0 < len(name) < 256:
            raise UpstreamFailed("the host's name is too long") from None
        return bytes([_NAME, len(name)]) + name
    return bytes([_V4 if ip.version == 4 else _V6]) + ip.packed
