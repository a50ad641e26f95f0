"""One POST to somebody else's server, as it may behave: down, slow, endless, redirecting, or leading inside."""

import asyncio
import time
from dataclasses import dataclass

import aiohttp

from passel.core.text import clean
from passel.core.webhook.events import Answer
from passel.core.webhook.retry import LONGEST_PAUSE
from passel.network import ADVICE, Network, PrivateAddress, retry_after

_MOST_BYTES = 64 * 1024
_LONGEST_ERROR = 500
_NO_TIMEOUT = aiohttp.ClientTimeout(total=None)  # the deadline below covers connecting and reading


@dataclass(frozen=True, slots=True)
class Postman:
    """`timeout` in seconds is for all of it: connecting, sending, and reading the answer."""

    network: Network
    timeout: float
    allow_http: bool

    async def post(self, url: str, body: bytes, headers: dict[str, str]) -> Answer:
        """Whatever comes of it is an answer. Redirects are not followed: they fail."""
        begun = time.monotonic()
        status, error, pause = await self._post(url, body, headers)
        return Answer(status, error and clean(error)[:_LONGEST_ERROR], round((time.monotonic() - begun) * 1000), pause)

    async def _post(self, url: str, body: bytes, headers: dict[str, str]) -> tuple[int | None, str | None, float | None]:
        try:
            if not self.allow_http and not url.startswith("https://"):
                raise PrivateAddress(f"the URL does not begin with https://; {ADVICE}")
            session = self.network.session(url, trusted=False)
            async with asyncio.timeout(self.timeout):
                async with session.post(url, data=body, headers=headers, allow_redirects=False, timeout=_NO_TIMEOUT) as response:
                    await _read_some(response)
                    return response.status, _fault(response.status), _pause(response)
        except TimeoutError:
            return None, f"no complete answer within {self.timeout:g} s", None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return None, _words(error), None


async def _read_some(response: aiohttp.ClientResponse) -> None:
    """An answer that is read to its end leaves the connection for the next delivery; of a longer one no more is wanted."""
    left = _MOST_BYTES
    async for part in response.content.iter_any():
        left -= len(part)
        if left < 0:
            response.close()
            return


def _words(error: BaseException) -> str:
    """The forbidden address where there is one: what wraps it does not repeat it."""
    inner: BaseException | None = error
    while inner is not None and not isinstance(inner, PrivateAddress):
        inner = inner.__cause__ or inner.__context__
    return str(inner or error) or type(error).__name__


def _fault(status: int) -> str | None:
    if 200 <= status < 300:
        return None
    return f"HTTP {status}: redirects are not followed" if 300 <= status < 400 else f"HTTP {status}"


def _pause(response: aiohttp.ClientResponse) -> float | None:
    return None if response.status < 300 else retry_after(response.headers, LONGEST_PAUSE)
