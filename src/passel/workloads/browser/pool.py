"""Browsers for sessions: started when they are asked for, or taken from those that wait, started, for whoever comes next (D28).

One that waits is as new as one that is started: its own directory, account and way out, and nobody has used it. It is given to one session,
and replaced. It is for sessions that want nothing of a browser's start; another viewport can be set later.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import structlog

from passel.core.browser.configuration import Configuration
from passel.core.browser.filters import HostFilter
from passel.core.browser.upstream import Upstream
from passel.workloads.browser import certificates, extensions
from passel.workloads.browser.chromium import CannotStart, Chromium, Keeper, Prepare
from passel.workloads.browser.finishing import finish
from passel.workloads.browser.mux import CommandFailed, Gone
from passel.workloads.browser.proxy import EgressProxy, Rules

log = structlog.get_logger()

_LIMITS = {"RLIMIT_CORE": 0, "RLIMIT_NOFILE": 8192, "RLIMIT_FSIZE": 8 * 2**30}
_AROUND = 87  # what a window has above its page, in pixels
_CALM_SECONDS, _AGAIN_SECONDS = 1.0, 5.0
_READY_SECONDS = 30.0


class Lost:
    """Whether a browser has gone by itself, and who wants to hear of it."""

    def __init__(self) -> None:
        self.told = False
        self._heard: Callable[[], None] | None = None

    def tell(self) -> None:
        self.told = True
        if self._heard is not None:
            self._heard()

    def listen(self, heard: Callable[[], None]) -> None:
        self._heard = heard
        if self.told:
            heard()


@dataclass(slots=True, eq=False)
class Started:
    """A browser that runs, with its way out."""

    chromium: Chromium
    proxy: EgressProxy
    lost: Lost

    async def end(self) -> None:
        """By force, where it still runs."""
        await finish(self._end())

    async def _end(self) -> None:
        await self.chromium.end()
        await self.proxy.close()


class Browsers:
    """Of a worker, which starts so many at once as `starting` lets in. `waiting` are kept ready. `filter` is for sessions with the ad blocker."""

    def __init__(
        self, keeper: Keeper, rules: Rules, starting: asyncio.Semaphore, waiting: int = 0, filter: HostFilter | None = None
    ) -> None:
        self._keeper, self._rules, self._starting, self._size, self._filter = keeper, rules, starting, waiting, filter
        self._waiting: deque[Started] = deque()
        self._taken = asyncio.Event()
        self._number = 0
        self._filling: asyncio.Task[None] | None = None
        self._ending: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def open(self) -> AsyncGenerator["Browsers"]:
        if self._size:
            self._filling = asyncio.create_task(self._fill())
        try:
            yield self
        finally:
            if self._filling is not None:
                self._filling.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await self._filling
            await asyncio.gather(*(started.end() for started in self._waiting), *self._ending)

    async def get(self, id: str, configuration: Configuration, upstream: Upstream | None, prepare: Prepare) -> Started:
        """`upstream` is what it goes out through, `prepare` is for one whose state was saved. Raises `CannotStart`, `OSError`,
        `TimeoutError`, and `CommandFailed` of one that breaks at once."""
        if not _wants_a_start(configuration):
            while self._waiting:
                started = self._waiting.popleft()
                self._taken.set()
                if not started.lost.told:
                    started.proxy.lead(upstream, self._filter_of(configuration))
                    return started
                await started.end()
        async with self._starting:
            return await self._answering(id, configuration, upstream, prepare)

    def _filter_of(self, configuration: Configuration) -> HostFilter | None:
        return self._filter if configuration.adblock else None

    async def _start(self, id: str, configuration: Configuration, upstream: Upstream | None, prepare: Prepare) -> Started:
        proxy, lost = EgressProxy(self._rules, upstream, self._filter_of(configuration)), Lost()
        await proxy.open()
        flags = [
            f"--window-size={configuration.width},{configuration.height + _AROUND}",
            f"--screen-info={{{configuration.width}x{configuration.height}}}",
            f"--proxy-server={proxy.url}",
            "--proxy-bypass-list=<-loopback>",
        ]
        if configuration.extensions:
            flags.append(extensions.FLAG)
        if configuration.disable_web_security:
            flags += ["--disable-web-security", "--disable-site-isolation-trials"]

        async def furnish(directory: Path) -> dict[str, Any]:
            return _preferences(directory, configuration, await prepare(directory))

        try:
            chromium = await self._keeper.start(id, flags, furnish, _LIMITS, lost.tell, streams_only=bool(configuration.extensions))
        except BaseException:
            await finish(proxy.close())
            raise
        return Started(chromium, proxy, lost)

    async def _fill(self) -> None:
        """While sessions come, they come first: those that are taken are replaced when it is calm."""
        while True:
            while len(self._waiting) >= self._size:
                await self._taken.wait()
            await self._calm()
            self._number += 1
            try:
                async with self._starting:
                    started = await self._answering(f"waiting-{self._number}", Configuration(), None, _nothing)
                self._waiting.append(started)
                started.lost.listen(partial(self._broken, started))
            except (CannotStart, CommandFailed, OSError, TimeoutError) as error:
                log.warning("a browser could not be started ahead", error=str(error))
                await asyncio.sleep(_AGAIN_SECONDS)

    def _broken(self, started: Started) -> None:
        """One that broke while it waited is replaced."""
        if started in self._waiting:
            self._waiting.remove(started)
            self._ending.add(task := asyncio.create_task(started.end()))
            task.add_done_callback(self._ending.discard)
            self._taken.set()

    async def _calm(self) -> None:
        """Until none has been taken for a while, or none is left."""
        while self._taken.is_set() and self._waiting:
            self._taken.clear()
            await asyncio.sleep(_CALM_SECONDS)
        self._taken.clear()

    async def _answering(self, id: str, configuration: Configuration, upstream: Upstream | None, prepare: Prepare) -> Started:
        """One that has answered and opened its page: until then it keeps a core busy."""
        started = await self._start(id, configuration, upstream, prepare)
        try:
            async with asyncio.timeout(_READY_SECONDS):
                while not (await started.chromium.mux.call("Target.getTargets"))["targetInfos"]:  # noqa: ASYNC110 - nobody is told
                    await asyncio.sleep(0.003)
        except Gone as gone:
            await started.end()
            raise started.chromium.broke() from gone
        except BaseException:
            await started.end()
            raise
        return started


def _wants_a_start(configuration: Configuration) -> bool:
    """Whether something of it can only be had when a browser is started."""
    asked = configuration.disable_web_security or not configuration.pdf_viewer
    return asked or configuration.profile is not None or bool(configuration.extensions or configuration.certificates)


async def _nothing(directory: Path) -> dict[str, Any]:
    return {}


_PDF_VIEWER = "mhjfbmdgcfjbbpaeojofohoefgiehjai"
_SHUT = (
    "*",
    "file://*",
    "chrome://*",
    "chrome-untrusted://*",
    "chrome-search://*",
    "chrome-extension://*",
    "devtools://*",
    "view-source:*",
)
"""Chromium's own addresses are not among all."""
_ADDRESSES = ("http://*", "https://*", "data:*", "blob:*", "about:blank", f"chrome-extension://{_PDF_VIEWER}")


def _preferences(directory: Path, configuration: Configuration, saved: Mapping[str, Any]) -> dict[str, Any]:
    """Of the profile, before it starts. Where it may go it is told as organisations tell their browsers: whoever asks, also an extension,
    and whatever the guard of clients would let through."""
    plugins = {} if configuration.pdf_viewer else {"plugins": {"always_open_pdf_externally": True}}
    own = {
        "webrtc": {"ip_handling_policy": "disable_non_proxied_udp"},  # Chromium heeds no flag for that
        "policy": {"url_blocklist": [*_SHUT], "url_allowlist": [*_ADDRESSES, *extensions.allowed(configuration)]},
        **plugins,
        **extensions.settings_of(directory, configuration),
        **certificates.settings_of(directory),
    }
    return {name: value for name, value in saved.items() if name != "plugins"} | own
