"""The workload of the kind `browser`: an attempt lives as long as its browser.

    start -> configure -> ready, which settles the item -> until somebody or a timer ends it, or it breaks -> ended

A browser that was ready and whose worker has gone is gone with it: the next attempt says so. One that was not yet ready is started
again.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from passel.core.browser import events
from passel.core.browser.configuration import Configuration
from passel.core.browser.guard import Place, url_problem
from passel.core.context import Context, Step
from passel.core.endings import Done, Ending, Fail
from passel.core.events import Draft
from passel.core.ids import SessionId
from passel.core.text import clean
from passel.workloads.browser.chromium import CannotStart, Chromium, Keeper
from passel.workloads.browser.driver import Driver
from passel.workloads.browser.mux import Client, CommandFailed, Gone, Message
from passel.workloads.browser.proxy import EgressProxy, Rules
from passel.workloads.browser.timers import Timers

_START_SECONDS, _PAGE_SECONDS = 30.0, 15.0
_TRIES = 2
_SAID = {events.CRASH: "the browser's process ended", events.SHUTDOWN: "the worker that ran this browser was stopped"}
_LIMITS = {"RLIMIT_CORE": 0, "RLIMIT_NOFILE": 8192}
_CHROME_HEIGHT = 143  # what tabs and address field take of a window's height; measured, and set right at the start of each browser


@dataclass(slots=True)
class Live:
    """A session whose browser runs here. `over` is the reason for which it is to end, once there is one."""

    id: SessionId
    chromium: Chromium
    configuration: Configuration
    timers: Timers
    place: Place
    over: "asyncio.Future[str]"
    clients: set[Callable[[str], None]] = field(default_factory=set[Callable[[str], None]])

    def end(self, reason: str) -> None:
        if not self.over.done():
            self.over.set_result(reason)

    async def join(self, sink: Callable[[Message], None]) -> Client:
        return await self.chromium.mux.join(sink)


@dataclass(frozen=True, slots=True)
class BrowserWorkload:
    """`address` is where this worker is reached, `live` are the sessions that run here, which its listener serves."""

    keeper: Keeper
    rules: Rules
    address: str
    starting: asyncio.Semaphore
    live: dict[SessionId, Live] = field(default_factory=dict[SessionId, Live])

    def stop(self) -> None:
        """The worker stops, and its browsers with it."""
        for live in list(self.live.values()):
            live.end(events.SHUTDOWN)

    async def __call__(self, context: Context) -> Step:
        if events.was_ready(context.ledger):
            return _ended(events.WORKER_LOST, "the worker that ran this browser is gone", 0, 0)
        configuration = Configuration.from_json(context.ledger[0].data["configuration"])
        async with EgressProxy(self.rules) as proxy:
            error = ""
            for _ in range(_TRIES):
                over: asyncio.Future[str] = asyncio.get_running_loop().create_future()
                try:
                    chromium, told = await self._ready(context, configuration, proxy, over)
                except (CannotStart, CommandFailed, TimeoutError, OSError) as failure:
                    error = clean(str(failure) or "it took too long")
                except Gone:
                    error = "the browser ended while it started"
                else:
                    return await self._live(context, configuration, chromium, told, proxy, over)
            return _ended(events.START_FAILED, error, 0, 0)

    async def _ready(
        self, context: Context, configuration: Configuration, proxy: EgressProxy, over: "asyncio.Future[str]"
    ) -> tuple[Chromium, tuple[Draft, ...]]:
        """A browser that may be connected to, and what the ledger is told with that. Raises what keeps it from being so."""
        async with self.starting:
            chromium = await self._start(context, configuration, proxy.url, lambda: None if over.done() else over.set_result(events.CRASH))
            try:
                await context.write(Step(drafts=(events.configuring(),)))
                async with asyncio.timeout(_START_SECONDS):
                    return chromium, await self._configure(chromium, configuration)
            except BaseException:
                await chromium.end()
                raise

    async def _live(
        self,
        context: Context,
        configuration: Configuration,
        chromium: Chromium,
        told: tuple[Draft, ...],
        proxy: EgressProxy,
        over: "asyncio.Future[str]",
    ) -> Step:
        """From being ready to the end."""
        began, id = time.monotonic(), context.task.session_id
        place = Place(str(chromium.directory / "downloads"), str(chromium.directory / "uploads"))
        live = Live(id, chromium, configuration, Timers(configuration, lambda reason: live.end(reason)), place, over)
        try:
            self.live[id] = live
            await context.write(Step(drafts=told, settles=Done({"address": self.address})))
            reason = await over
            for tell in list(live.clients):
                tell(reason)
            await chromium.close()
        finally:
            del self.live[id]
            live.timers.close()
            await chromium.end()
        return _ended(reason, _SAID.get(reason), time.monotonic() - began, proxy.bytes)

    async def _start(self, context: Context, configuration: Configuration, proxy: str, lost: Callable[[], None]) -> Chromium:
        flags = [
            f"--window-size={configuration.width},{configuration.height + _CHROME_HEIGHT}",
            f"--proxy-server={proxy}",
            "--proxy-bypass-list=<-loopback>",
        ]
        if configuration.disable_web_security:
            flags += ["--disable-web-security", "--disable-site-isolation-trials"]
        return await self.keeper.start(context.task.session_id, flags, _preferences(configuration), _LIMITS, lost)

    async def _configure(self, chromium: Chromium, configuration: Configuration) -> tuple[Draft, ...]:
        """What is set up before anybody connects. Returns what the ledger is told with being ready."""
        version = await chromium.mux.call("Browser.getVersion")
        downloads = {"behavior": "allow", "downloadPath": str(chromium.directory / "downloads"), "eventsEnabled": True}
        await chromium.mux.call("Browser.setDownloadBehavior", downloads)
        driver = await Driver.of(chromium.mux)
        try:
            while not (pages := await driver.pages()):  # noqa: ASYNC110 - the browser opens it by itself, after its first answer
                await asyncio.sleep(0.01)
            target_id = pages[0]["targetId"]
            page = await driver.attach(target_id)
            await _set_size(driver, target_id, page, configuration)
            problem = await _go(driver, page, configuration.initial_url) if configuration.initial_url else None
        finally:
            await driver.leave()
        told = [events.ready(version["product"])]
        if problem is not None:
            told.append(events.initial_url_failed(configuration.initial_url or "", clean(problem)))
        return tuple(told)


async def _set_size(driver: Driver, target_id: str, page: str, configuration: Configuration) -> None:
    """Of the page, which is smaller than its window."""
    inner = await driver.call("Runtime.evaluate", {"expression": "[innerWidth, innerHeight]", "returnByValue": True}, page)
    width, height = inner["result"]["value"]
    if (width, height) != (configuration.width, configuration.height):
        window = await driver.call("Browser.getWindowForTarget", {"targetId": target_id})
        outer = window["bounds"]
        bounds = {"width": outer["width"] + configuration.width - width, "height": outer["height"] + configuration.height - height}
        await driver.call("Browser.setWindowBounds", {"windowId": window["windowId"], "bounds": bounds})


async def _go(driver: Driver, page: str, url: str) -> str | None:
    """Returns what went wrong."""
    if (problem := url_problem(url)) is not None:
        return problem
    try:
        async with asyncio.timeout(_PAGE_SECONDS):
            went = await driver.call("Page.navigate", {"url": url}, page)
    except TimeoutError:
        return f"not loaded after {_PAGE_SECONDS:.0f} s"
    except CommandFailed as failure:
        return failure.message
    return went.get("errorText")


def _preferences(configuration: Configuration) -> dict[str, Any]:
    """Of the profile, before its first start."""
    return {} if configuration.pdf_viewer else {"plugins": {"always_open_pdf_externally": True}}


def _ended(reason: str, error: str | None, seconds: float, bytes: int) -> Step:
    ending: Ending = Fail(f"{reason}: {error}" if error else reason) if reason in events.FAILURES else Done()
    return Step(drafts=(events.ended(reason, error, seconds, bytes),), ending=ending)
