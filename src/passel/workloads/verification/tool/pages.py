"""Pages of the web as text. Addresses come from search engines, and are as little to be trusted as what lies there."""

import asyncio
from urllib.parse import urljoin

import aiohttp

from passel.html import HtmlReader, Unreadable
from passel.network import Network, PrivateAddress, read_at_most

_TIMEOUT = 10.0
_LARGEST = 2 * 1024 * 1024
_MOST_REDIRECTS = 3
_LONGEST_TEXT = 200_000
_REDIRECTS = (301, 302, 303, 307, 308)


class Unreachable(Exception):
    """There is no text at an address; the message says why."""


class Pages:
    """Fetches pages, none from inside the server's own network; redirects are looked at each by itself."""

    def __init__(self, network: Network, reader: HtmlReader) -> None:
        self._network, self._reader = network, reader

    async def text(self, url: str) -> str:
        """Raises `Unreachable`."""
        try:
            async with asyncio.timeout(_TIMEOUT):
                kind, data = await self._fetch(url)
        except (aiohttp.ClientError, OSError, ValueError, TimeoutError) as error:
            raise Unreachable(f"{url}: {str(error) or type(error).__name__}") from error
        if kind == "text/plain":
            return data.decode("utf-8", "replace")[:_LONGEST_TEXT]
        try:
            return (await self._reader.text(data))[:_LONGEST_TEXT]
        except Unreadable as error:
            raise Unreachable(f"{url}: {error}") from error

    async def _fetch(self, url: str) -> tuple[str, bytes]:
        for _ in range(_MOST_REDIRECTS + 1):
            if not url.startswith(("http://", "https://")):
                raise Unreachable(f"{url} is no web address")
            try:
                session = self._network.session(url, trusted=False)
            except PrivateAddress as error:
                raise Unreachable(str(error)) from error
            async with session.get(url, allow_redirects=False, headers={"Accept": "text/html, text/plain"}) as response:
                if response.status in _REDIRECTS and (location := response.headers.get("Location")):
                    url = urljoin(url, location)
                    continue
                if response.status != 200:
                    raise Unreachable(f"{url}: HTTP {response.status}")
                kind = response.content_type
                if kind not in ("text/html", "text/plain", "application/xhtml+xml"):
                    raise Unreachable(f"{url} is {kind}, which is not read")
                return kind, await read_at_most(response, _LARGEST)  # the beginning of a page is evidence too
        raise Unreachable(f"more than {_MOST_REDIRECTS} redirects")
