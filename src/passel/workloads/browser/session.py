"""The workload of the kind `browser`: an attempt lives as long as its browser.

    start -> configure -> ready, which settles the item -> until somebody or a timer ends it, or it breaks -> ended

A browser that was ready and whose worker has gone is gone with it: the next attempt says so. One that was not yet ready is started
again.
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import structlog

from passel.core.browser import events, tasks
from passel.core.browser.configuration import Configuration, Mask
from passel.core.browser.guard import Place, url_problem
from passel.core.browser.upstream import Upstream
from passel.core.context import Context, Step, Task
from passel.core.endings import Done, Ending, Fail
from passel.core.events import Draft
from passel.core.ids import OrgId, SessionId
from passel.core.text import clean
from passel.workloads.browser import extensions, setup, state
from passel.workloads.browser.camera import Camera
from passel.workloads.browser.chromium import CannotStart, Chromium
from passel.workloads.browser.finishing import finish
from passel.workloads.browser.mux import Client, CommandFailed, Gone, Message
from passel.workloads.browser.notes import Notes
from passel.workloads.browser.pool import Browsers, Started
from passel.workloads.browser.tabs import Tab, Tabs
from passel.workloads.browser.timers import Timers

log = structlog.get_logger()

_START_SECONDS, _PAGE_SECONDS = 30.0, 15.0
_TRIES = 2
_SCREEN = "1"  # the first
_SAID = {events.CRASH: "the browser's process ended", events.SHUTDOWN: "the worker that ran this browser was stopped"}


@dataclass(slots=True)
class Live:
    """A session whose browser runs here. `over` is the reason for which it is to end, once there is one."""

    id: SessionId
    org_id: OrgId
    context: Context
    chromium: Chromium
    configuration: Configuration
    place: Place
    tabs: Tabs
    camera: Camera
    notes: Notes
    timers: Timers
    over: "asyncio.Future[str]"
    clients: set[Callable[[str], None]] = field(default_factory=set[Callable[[str], None]])
    """CDP clients, by how each is told that the session ends."""
    viewers: set[Callable[[str], None]] = field(default_factory=set[Callable[[str], None]])
    """The same of people who watch."""
    steps: set[Callable[[Draft], None]] = field(default_factory=set[Callable[[Draft], None]])
    """Those who hear of the steps of its web tasks as they are in the ledger."""
    afterwards: list[Callable[[], Awaitable[None]]] = field(default_factory=list[Callable[[], Awaitable[None]]])
    """What is to be done when the browser has gone, before the session has ended. It fails for nobody."""
    calls: "dict[str, Call]" = field(default_factory=dict[str, "Call"])
    """What the API may ask of parts of this session, beside `passel.workloads.browser.calls`."""
    clipboard_lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    problem: str | None = None
    """Why it failed, where somebody ended it for that."""
    hands: int = 0
    """How many of these may also act."""

    @property
    def attended(self) -> bool:
        """Whether somebody answers dialogs."""
        return bool(self.clients) or self.hands > 0

    def fail(self, problem: str) -> None:
        """It ends, and says why; by force, since it may not answer any more."""
        if not self.over.done():
            self.problem = problem
            self.end(events.CRASH)

    def end(self, reason: str) -> None:
        if not self.over.done():
            self.over.set_result(reason)

    async def join(self, sink: Callable[[Message], None], gone: Callable[[], None]) -> Client:
        return await self.chromium.mux.join(sink, gone)


Call = Callable[[Live, Mapping[str, Any]], Awaitable[Any]]
"""Returns what JSON can say, or bytes."""

Part = Callable[[Live], AbstractAsyncContextManager[object]]
"""Something that goes along with a session: begun before it is ready, ended while its browser still runs, unless that broke. What it
has to say it adds to `Live.notes`."""


@dataclass(frozen=True, slots=True)
class BrowserWorkload:
    """`parts` go along with each session; `salvage` looks for what a session whose worker was killed has left here, and returns what its
    ledger is told. `secrets` are those of a task in clear, none where it has none. `load` puts the saved state of a browser into its
    directory before it starts, and returns its cookies. `address` is where this worker is reached, `live` are the sessions that run here,
    which its listener serves."""

    browsers: Browsers
    address: str
    secrets: Callable[[Task], Mapping[str, Any]]
    parts: Sequence[Part] = ()
    salvage: Callable[[Task, Configuration], Awaitable[Sequence[Draft]]] | None = None
    load: Callable[[Task, Configuration, Path], Awaitable[list[Any]]] | None = None
    live: dict[SessionId, Live] = field(default_factory=dict[SessionId, Live])

    def stop(self) -> None:
        """The worker stops, and its browsers with it."""
        for live in list(self.live.values()):
            live.end(events.SHUTDOWN)

    async def __call__(self, context: Context) -> Step:
        configuration = Configuration.from_json(context.ledger[0].data["configuration"])
        if events.was_ready(context.ledger):
            return await self._lost(context, configuration)
        upstream = configuration.proxy and Upstream.parse(configuration.proxy, self.secrets(context.task).get("proxy"))
        error = ""
        for start in range(context.task.spec.get("starts", _TRIES)):
            if start:
                await context.write(Step(drafts=(events.start_again(error),)))
            try:
                live, told, started = await self._ready(context, configuration, upstream or None)
            except (CannotStart, CommandFailed, TimeoutError, OSError) as failure:
                error = clean(str(failure) or "it took too long")
            else:
                return await self._live(context, live, told, started)
        return _ended(events.START_FAILED, error, 0, 0)

    async def _lost(self, context: Context, configuration: Configuration) -> Step:
        """It was ready, and its worker has gone."""
        left = tuple(await self.salvage(context.task, configuration)) if self.salvage is not None else ()
        left += tasks.left_open(context.ledger, events.WORKER_LOST)
        return _ended(events.WORKER_LOST, "the worker that ran this browser is gone", _seconds(context), 0, left)

    async def _ready(
        self, context: Context, configuration: Configuration, upstream: Upstream | None
    ) -> tuple[Live, tuple[Draft, ...], Started]:
        """A browser that may be connected to, and what the ledger is told with that. Raises what keeps it from being so."""
        over: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        cookies: list[Any] = []

        async def prepare(directory: Path) -> dict[str, Any]:
            """What it begins with, where that was saved."""
            if self.load is None:
                return {}
            cookies.extend(await self.load(context.task, configuration, directory))
            return await asyncio.to_thread(state.settings_of, directory)

        started = await self.browsers.get(context.task.session_id, configuration, upstream, prepare)
        started.lost.listen(partial(_break, over))
        telling = asyncio.create_task(context.write(Step(drafts=(events.configuring(),))))  # steps are kept in their order
        try:
            async with asyncio.timeout(_START_SECONDS):
                live, told = await self._configure(context, started.chromium, configuration, cookies, over)
                await telling
        except BaseException as error:
            telling.cancel()
            await started.end()
            if isinstance(error, Gone):
                raise started.chromium.broke() from error
            raise
        return live, told, started

    async def _live(self, context: Context, live: Live, told: tuple[Draft, ...], started: Started) -> Step:
        """From being ready to the end."""
        began = time.monotonic()
        writing = asyncio.create_task(live.notes.keep_writing())
        try:
            async with AsyncExitStack() as parts:
                for part in self.parts:
                    await parts.enter_async_context(part(live))
                self.live[live.id] = live
                await context.write(Step(drafts=told, settles=Done({"address": self.address})))
                live.timers.begin()
                reason = await live.over
                for tell in [*live.clients, *live.viewers]:
                    tell(reason)
            if reason == events.CRASH:
                await live.chromium.end()
            else:
                await live.chromium.close()
            for work in live.afterwards:
                await work()
        finally:
            self.live.pop(live.id, None)
            writing.cancel()
            live.timers.close()
            live.camera.close()
            await finish(_leave(live, started))
        return _ended(reason, _why(live, reason), time.monotonic() - began, started.proxy.bytes, live.notes.take())

    async def _configure(
        self, context: Context, chromium: Chromium, configuration: Configuration, cookies: list[Any], over: "asyncio.Future[str]"
    ) -> tuple[Live, tuple[Draft, ...]]:
        """What is set up before anybody connects. Returns what the ledger is told with being ready."""
        await extensions.load(chromium.mux, chromium.directory, configuration)
        tabs = Tabs(chromium.mux, setup.commands(configuration), lambda: live.attended and configuration.dialogs)
        live = Live(
            id=context.task.session_id,
            org_id=context.task.org_id,
            context=context,
            chromium=chromium,
            configuration=configuration,
            place=Place(str(chromium.directory / "downloads"), str(chromium.directory / "uploads"), extensions.own_ids(configuration)),
            tabs=tabs,
            camera=Camera(tabs, (configuration.width, configuration.height)),
            notes=Notes(lambda drafts: context.write(Step(drafts=drafts))),
            timers=Timers(configuration, lambda reason: live.end(reason)),
            over=over,
        )
        tabs.listen(live.notes.changed)
        await tabs.join()
        downloads = {"behavior": "allow", "downloadPath": live.place.downloads, "eventsEnabled": True}
        version, *_ = await asyncio.gather(
            chromium.mux.call("Browser.getVersion"),
            tabs.open(),
            tabs.driver.call("Browser.setDownloadBehavior", downloads),
            state.restore(tabs.driver, cookies),
        )
        tab = next((tab for tab in tabs.all() if tab.url == "about:blank"), tabs.all()[0])  # extensions may have opened others
        await self._set_size(tabs, tab, configuration)
        if configuration.mask is not None:
            await _require_readable(tabs, tab, configuration.mask)
        told = [events.ready(version["product"])]
        if configuration.initial_url and (problem := await _go(tabs, tab, configuration.initial_url)) is not None:
            told.append(events.initial_url_failed(configuration.initial_url, clean(problem)))
        return live, tuple(told)

    async def _set_size(self, tabs: Tabs, tab: Tab, configuration: Configuration) -> None:
        """Of the page, which is smaller than its window, and of the screen. A browser that is started for a session has both by its flags."""
        wanted = configuration.width, configuration.height
        inner, window = await asyncio.gather(
            tabs.call(tab, "Runtime.evaluate", {"expression": "[innerWidth, innerHeight]", "returnByValue": True}),
            tabs.driver.call("Browser.getWindowForTarget", {"targetId": tab.id}),
        )
        width, height = inner["result"]["value"]
        if (width, height) != wanted:
            with contextlib.suppress(CommandFailed):  # no version that cannot do that has another screen
                await tabs.call(tab, "Emulation.updateScreen", {"screenId": _SCREEN, "width": wanted[0], "height": wanted[1]})
            outer = window["bounds"]
            bounds = {"width": outer["width"] + wanted[0] - width, "height": outer["height"] + wanted[1] - height}
            await tabs.driver.call("Browser.setWindowBounds", {"windowId": window["windowId"], "bounds": bounds})
        if configuration.fullscreen:
            await tabs.driver.call("Browser.setWindowBounds", {"windowId": window["windowId"], "bounds": {"windowState": "fullscreen"}})


async def _require_readable(tabs: Tabs, tab: Tab, mask: Mask) -> None:
    """Raises `CannotStart`: a mask that does not mask is none."""
    told = await tabs.call(tab, "Runtime.evaluate", {"expression": setup.problem_of(mask), "returnByValue": True})
    if problem := told["result"]["value"]:
        raise CannotStart(f"browser.sensitive_data_mask: {problem}")


async def _go(tabs: Tabs, tab: Tab, url: str) -> str | None:
    """Returns what went wrong."""
    if (problem := url_problem(url)) is not None:
        return problem
    try:
        async with asyncio.timeout(_PAGE_SECONDS):
            went = await tabs.call(tab, "Page.navigate", {"url": url})
    except TimeoutError:
        return f"not loaded after {_PAGE_SECONDS:.0f} s"
    except CommandFailed as failure:
        return failure.message
    return went.get("errorText")


async def _leave(live: Live, started: Started) -> None:
    """Nothing is left of its browser."""
    await started.end()
    await live.chromium.remove()
    with contextlib.suppress(Gone):
        await live.tabs.close()


def _break(over: "asyncio.Future[str]") -> None:
    if not over.done():
        over.set_result(events.CRASH)


def _why(live: Live, reason: str) -> str | None:
    """What is said of a failure beside its reason."""
    if reason != events.CRASH:
        return _SAID.get(reason)
    if live.problem is not None:
        return live.problem
    how = live.chromium.ended.result()
    log.warning("a browser broke", session=live.id, status=how.status, said=how.errors)
    return f"{_SAID[reason]} ({how})"


def _seconds(context: Context) -> float:
    """For which a session was ready at least: until its ledger was told something last."""
    ready = next(event.created_at for event in context.ledger if event.type == events.READY)
    return (context.ledger[-1].created_at - ready).total_seconds()


def _ended(reason: str, error: str | None, seconds: float, bytes: int, notes: tuple[Draft, ...] = ()) -> Step:
    ending: Ending = Fail(f"{reason}: {error}" if error else reason) if reason in events.FAILURES else Done()
    return Step(drafts=(*notes, events.ended(reason, error, seconds, bytes)), ending=ending)
