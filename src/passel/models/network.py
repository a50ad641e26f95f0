"""The HTTP sessions of a worker's model calls, and the rule about private addresses."""

import ipaddress
import socket
from urllib.request import getproxies

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver
from yarl import URL

_ADVICE = "set PASSEL_ALLOW_PRIVATE_URLS=1 on the server to allow it"


class PrivateAddress(OSError):
    """A base URL leads into the server's own network, which this server does not allow."""


def is_private(address: str) -> bool:
    """Whether an IP address is not one of the open internet. False for anything that is no address, such as a name."""
    try:
        ip = ipaddress.ip_address(address.split("%")[0])
    except ValueError:
        return False
    return not ip.is_global or ip.is_multicast


class _GuardedResolver(AbstractResolver):
    """Refuses names that lead to private addresses, at the moment of connecting: a name may change its mind."""

    def __init__(self) -> None:
        self._inner = ThreadedResolver()

    async def resolve(self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET) -> list[ResolveResult]:
        found = await self._inner.resolve(host, port, family)
        if any(is_private(str(entry["host"])) for entry in found):
            raise PrivateAddress(f"{host} is a private address; {_ADVICE}")
        return found

    async def close(self) -> None:
        await self._inner.close()


class Network:
    """Two sessions at most: one that goes anywhere, and one for URLs of tenants, which may not lead inside."""

    def __init__(self, *, allow_private_urls: bool) -> None:
        self._allow_private = allow_private_urls
        self._sessions: dict[bool, aiohttp.ClientSession] = {}
        # aiohttp asks the environment and ~/.netrc at every request, which costs more than the request itself
        self._has_proxy = bool(getproxies())

    def session(self, url: str | None, *, trusted: bool) -> aiohttp.ClientSession:
        """The session for `url`. Raises `PrivateAddress` for a forbidden literal address."""
        guarded = url is not None and not trusted and not self._allow_private
        if guarded and url is not None and is_private(URL(url).host or ""):
            raise PrivateAddress(f"{url} is a private address; {_ADVICE}")
        if guarded not in self._sessions:
            connector = aiohttp.TCPConnector(limit=0, resolver=_GuardedResolver() if guarded else None, ttl_dns_cache=60)
            self._sessions[guarded] = aiohttp.ClientSession(connector=connector, trust_env=self._has_proxy and not guarded)
        return self._sessions[guarded]

    async def close(self) -> None:
        for session in self._sessions.values():
            await session.close()
