"""HTTP to servers that others name: sessions that refuse private addresses, and what such servers say of waiting.

An address is checked when a connection is made, and the connection goes to what was checked: a name that changes its mind
in between gains nothing.
"""

import asyncio
import ipaddress
import socket
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.request import getproxies

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver
from yarl import URL

ADVICE = "set PASSEL_ALLOW_PRIVATE_URLS=1 on the server to allow it"


class PrivateAddress(OSError):
    """A URL leads into the server's own network, which this server does not allow."""


def is_private(address: str) -> bool:
    try:
        ip = ipaddress.ip_address(address.split("%")[0])
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address) and (inner := ip.ipv4_mapped or ip.sixtofour) is not None:
        return not inner.is_global or inner.is_multicast
    return not ip.is_global or ip.is_multicast


async def leads_inside(host: str) -> bool | None:
    """Whether a host is, or resolves to, a private address; None for a name that does not resolve now."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, None)
    except (OSError, UnicodeError):
        return None
    return any(is_private(str(entry[4][0])) for entry in found)


def retry_after(headers: Mapping[str, str], most: float) -> float | None:
    """Seconds from `retry-after-ms` or `Retry-After` (RFC 9110, 10.2.3), at most so many."""
    lowered = {name.lower(): value for name, value in headers.items()}
    try:
        if "retry-after-ms" in lowered:
            return _bounded(float(lowered["retry-after-ms"]) / 1000, most)
        if "retry-after" not in lowered:
            return None
        value = lowered["retry-after"].strip()
        if value.replace(".", "", 1).isdigit():
            return _bounded(float(value), most)
        return _bounded((parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds(), most)
    except (ValueError, TypeError, OverflowError):
        return None


def _bounded(seconds: float, most: float) -> float:
    return max(0.0, min(most, seconds))


async def read_at_most(response: aiohttp.ClientResponse, most: int) -> bytes:
    """The body, decompressed, as far as so many bytes; the connection of a longer one is closed."""
    data = bytearray()
    async for part in response.content.iter_chunked(65536):
        data += part
        if len(data) > most:
            response.close()
            break
    return bytes(data[:most])


class _GuardedResolver(AbstractResolver):
    """Refuses names that lead to private addresses, at the moment of connecting."""

    def __init__(self, inner: AbstractResolver) -> None:
        self._inner = inner

    async def resolve(self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET) -> list[ResolveResult]:
        found = await self._inner.resolve(host, port, family)
        if any(is_private(str(entry["host"])) for entry in found):
            raise PrivateAddress(f"{host} is a private address; {ADVICE}")
        return found

    async def close(self) -> None:
        await self._inner.close()


class Network:
    """Three sessions at most: one that goes anywhere, one for URLs of tenants, which may not lead inside, and one for servers of
    this process, which no proxy knows. `resolver` makes what looks names up; without `decompress` bodies come as they are."""

    def __init__(
        self, *, allow_private_urls: bool, resolver: Callable[[], AbstractResolver] = ThreadedResolver, decompress: bool = True
    ) -> None:
        self._allow_private, self._resolver, self._decompress = allow_private_urls, resolver, decompress
        self._sessions: dict[tuple[bool, bool], aiohttp.ClientSession] = {}
        # aiohttp asks the environment and ~/.netrc at every request, which costs more than the request itself
        self._has_proxy = bool(getproxies())

    def session(self, url: str | None, *, trusted: bool) -> aiohttp.ClientSession:
        """The session for `url`, which is `trusted` if this process serves it. Raises `PrivateAddress` for a forbidden literal address."""
        guarded = url is not None and not trusted and not self._allow_private
        if guarded and url is not None and is_private(URL(url).host or ""):
            raise PrivateAddress(f"{url} is a private address; {ADVICE}")
        if (guarded, trusted) not in self._sessions:
            inner = self._resolver()
            connector = aiohttp.TCPConnector(limit=0, resolver=_GuardedResolver(inner) if guarded else inner, ttl_dns_cache=60)
            self._sessions[guarded, trusted] = aiohttp.ClientSession(
                connector=connector,
                trust_env=self._has_proxy and not guarded and not trusted,
                auto_decompress=self._decompress,
                cookie_jar=aiohttp.DummyCookieJar(),  # what one tenant's server sets is nobody else's
            )
        return self._sessions[guarded, trusted]

    async def close(self) -> None:
        for session in self._sessions.values():
            await session.close()
