"""The pages of a browser, as our own parts know them: attached to, in the order of their opening, one of them in front.

Every page is attached to before it does anything (`waitForDebuggerOnStart`), is set up, and goes on. The live view, the recorder, OS
control and tools work on what is known here; clients have sessions of their own.

A dialog (`alert`, `confirm`, `prompt`, `beforeunload`) is left to a CDP client where one is connected, and to a person where one
watches and may answer; else it is dismissed, since a page stands still behind it.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from passel.workloads.browser.driver import Driver
from passel.workloads.browser.mux import CommandFailed, Gone, Message, Multiplexer

_ONLY_PAGES = ({"type": "page"}, {"exclude": True})
_FRAMES = {"autoAttach": True, "waitForDebuggerOnStart": True, "flatten": True, "filter": [{"type": "iframe"}, {"exclude": True}]}

Command = tuple[str, Mapping[str, Any]]
"""Method and params."""


@dataclass(slots=True)
class Tab:
    """`session_id` is ours with it. `dialog` is what the page waits for an answer to (`Page.javascriptDialogOpening`)."""

    id: str
    session_id: str
    url: str
    title: str = ""
    dialog: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Changed:
    """What listeners hear: `what` is `opened`, `closed`, `front`, `navigated`, `titled` or `dialog`."""

    what: str
    tab: Tab


class Tabs:
    """`setup` are commands for each new page, before its first document. `attended` says whether somebody answers dialogs."""

    def __init__(self, mux: Multiplexer, setup: Sequence[Command], attended: Callable[[], bool]) -> None:
        self._mux, self._setup, self._attended = mux, setup, attended
        self._tabs: dict[str, Tab] = {}
        self._of_session: dict[str, Tab] = {}
        self._front: list[str] = []
        self._heard: list[Callable[[Changed], None]] = []
        self._events: list[Callable[[Tab, Message], None]] = []
        self._tasks: set[asyncio.Task[Any]] = set()
        self._first = asyncio.Event()
        self._aside: dict[str, asyncio.Future[str]] = {}

    async def join(self) -> None:
        """Become a client of the browser, `driver`. Raises `Gone`."""
        self.driver = await Driver.of(self._mux)
        self.driver.listen(self._told)

    async def open(self) -> None:
        """Returns when the page that a browser opens by itself is there and set up. Raises `Gone` and `CommandFailed`."""
        attach = {"autoAttach": True, "waitForDebuggerOnStart": True, "flatten": True, "filter": _ONLY_PAGES}
        await asyncio.gather(
            self.driver.call("Target.setDiscoverTargets", {"discover": True, "filter": _ONLY_PAGES}),
            self.driver.call("Target.setAutoAttach", attach),
        )
        await self._first.wait()

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await self.driver.leave()

    @asynccontextmanager
    async def aside(self) -> AsyncGenerator[str]:
        """A page of our own that is no tab, for as long as it is needed; the id of our session with it."""
        context = (await self.driver.call("Target.createBrowserContext", {}))["browserContextId"]
        self._aside[context] = asyncio.get_running_loop().create_future()
        try:
            made = {"url": "about:blank", "browserContextId": context, "background": True}
            await self.driver.call("Target.createTarget", made)
            yield await self._aside[context]
        finally:
            del self._aside[context]
            with contextlib.suppress(CommandFailed, Gone):
                await self.driver.call("Target.disposeBrowserContext", {"browserContextId": context})

    def listen(self, heard: Callable[[Changed], None]) -> Callable[[], None]:
        """Returns what ends it."""
        self._heard.append(heard)
        return lambda: self._heard.remove(heard)

    def listen_to_events(self, heard: Callable[[Tab, Message], None]) -> Callable[[], None]:
        """Whatever the pages tell our sessions with them. Returns what ends it."""
        self._events.append(heard)
        return lambda: self._events.remove(heard)

    def all(self) -> list[Tab]:
        """In the order of their opening."""
        return list(self._tabs.values())

    async def read(self) -> list[Tab]:
        """The same, with the titles that they have now: the browser does not tell of each change. Raises `Gone`."""
        for info in await self.driver.pages():
            self._renamed(info)
        return self.all()

    def find(self, id: str) -> Tab | None:
        return self._tabs.get(id)

    @property
    def front(self) -> Tab | None:
        """The one that was opened or brought to the front last; None when all are closed."""
        return self._tabs[self._front[-1]] if self._front else None

    async def call(self, tab: Tab, method: str, params: Mapping[str, Any] | None = None) -> Any:
        """Raises `CommandFailed` and `Gone`."""
        return await self.driver.call(method, params, tab.session_id)

    def tell(self, tab: Tab, method: str, params: Mapping[str, Any]) -> None:
        """Without waiting for what comes of it: an input that opens a dialog is answered when that is closed. Raises `Gone`."""
        self.driver.tell(method, params, tab.session_id)

    async def bring_to_front(self, tab: Tab) -> None:
        await self.call(tab, "Page.bringToFront")
        self._to_front(tab)

    def noticed(self, method: str, params: Any, session_id: str | None) -> None:
        """A client's command: some bring a page to the front."""
        if method == "Page.bringToFront" and session_id is not None:
            id = self._mux.target_of(session_id)
        elif method == "Target.activateTarget" and isinstance(params, Mapping):
            id = params.get("targetId")
        else:
            return
        if (tab := self._tabs.get(id or "")) is not None:
            self._to_front(tab)

    async def answer(self, tab: Tab, accept: bool, text: str | None = None) -> None:
        """Of its dialog."""
        with contextlib.suppress(CommandFailed):
            await self.call(tab, "Page.handleJavaScriptDialog", {"accept": accept} | ({} if text is None else {"promptText": text}))

    def _told(self, message: Message) -> None:
        params = message.get("params", {})
        match message["method"]:
            case "Target.attachedToTarget":
                self._attached(params)
            case "Target.detachedFromTarget":
                self._of_session.pop(params["sessionId"], None)
            case "Target.targetDestroyed":
                self._closed(params["targetId"])
            case "Target.targetInfoChanged":
                self._renamed(params["targetInfo"])
            case _:
                if (tab := self._of_session.get(message.get("sessionId", ""))) is not None:
                    self._page_told(tab, message["method"], params)
                    for heard in list(self._events):
                        heard(tab, message)

    def _attached(self, params: Mapping[str, Any]) -> None:
        info = params["targetInfo"]
        if info["type"] == "iframe":
            self._spawn(self._prepare(params["sessionId"]))
            return
        if (aside := self._aside.get(info.get("browserContextId"))) is not None:
            self._spawn(self.driver.call("Runtime.runIfWaitingForDebugger", {}, params["sessionId"]))
            if not aside.done():
                aside.set_result(params["sessionId"])
            return
        tab = Tab(info["targetId"], params["sessionId"], info["url"], info["title"])
        self._tabs[tab.id] = self._of_session[tab.session_id] = tab
        self._spawn(self._set_up(tab))
        self._tell("opened", tab)
        self._to_front(tab)

    async def _set_up(self, tab: Tab) -> None:
        await self._prepare(tab.session_id)
        self._first.set()

    async def _prepare(self, session_id: str) -> None:
        """A page, or a frame in a process of its own, which its page's setup does not reach. Commands of one session are done in their
        order, so that none has to be waited for before the next is sent."""
        frames = [("Target.setAutoAttach", _FRAMES)] if self._setup else []
        commands = [("Page.enable", {}), *frames, *self._setup, ("Runtime.runIfWaitingForDebugger", {})]
        await asyncio.gather(*(self.driver.call(method, params, session_id) for method, params in commands), return_exceptions=True)

    def _closed(self, id: str) -> None:
        tab = self._tabs.pop(id, None)
        if tab is None:
            return
        was_front = self._front[-1:] == [id]
        self._front = [one for one in self._front if one != id]
        self._tell("closed", tab)
        if was_front and self.front is not None:
            self._tell("front", self.front)

    def _renamed(self, info: Mapping[str, Any]) -> None:
        """Also heard of an address that changes without a new document."""
        tab = self._tabs.get(info["targetId"])
        if tab is None:
            return
        if info["url"] != tab.url:
            tab.url = info["url"]
            self._tell("navigated", tab)
        if info["title"] != tab.title:
            tab.title = info["title"]
            self._tell("titled", tab)

    def _page_told(self, tab: Tab, method: str, params: Mapping[str, Any]) -> None:
        if method == "Page.javascriptDialogOpening":
            tab.dialog = params
            if self._attended():
                self._tell("dialog", tab)
            else:
                self._spawn(self.answer(tab, accept=params["type"] in ("alert", "beforeunload")))
        elif method == "Page.javascriptDialogClosed":
            tab.dialog = None
            self._tell("dialog", tab)
        elif method in ("Page.domContentEventFired", "Page.loadEventFired"):
            self._spawn(self.read())

    def _to_front(self, tab: Tab) -> None:
        if self._front[-1:] == [tab.id]:
            return
        self._front = [one for one in self._front if one != tab.id] + [tab.id]
        self._tell("front", tab)

    def _tell(self, what: str, tab: Tab) -> None:
        for heard in list(self._heard):
            heard(Changed(what, tab))

    def _spawn(self, work: Any) -> None:
        async def quietly() -> None:
            with contextlib.suppress(Gone, CommandFailed):
                await work

        task = asyncio.create_task(quietly())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
