"""What the model of a web task is told of the pages, and what it can do there.

A page is read by a script of ours in a world beside those of the page (`scripts/page.js`), so nothing of it can be seen or changed from
there. What is done is done as by OS control: by mouse and keyboard, guarded like all else.
"""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from typing import Any

from passel.core.browser.guard import url_problem
from passel.workloads.browser import acting, control, tools
from passel.workloads.browser.calls import WrongCall
from passel.workloads.browser.mux import CommandFailed, Gone, Message
from passel.workloads.browser.session import Live
from passel.workloads.browser.tabs import Tab
from passel.workloads.browser.tasks.secrets import Secrets, UnknownSecret

_SCRIPT = Path(__file__).parent.parent / "scripts" / "page.js"
_WORLD = "passel"

_PAGE_SECONDS = 15.0
_LOADING_SECONDS, _MOMENT, _LOOK_SECONDS = 5.0, 0.15, 0.05
_ABOVE, _BELOW = 0.5, 1.0  # windows beside the one in view that are told too
_LONGEST_LOOK, _LONGEST_READ = 24_000, 12_000
_MARKED = {"color": {"r": 255, "g": 196, "b": 0, "a": 0.25}, "outlineColor": {"r": 255, "g": 128, "b": 0, "a": 1}}
_PASTED = 500
"""A text that is longer is put in at once."""


class Hands:
    """Of one task: it works in one tab, and goes along when its own action opens another."""

    def __init__(self, live: Live, secrets: Secrets, highlight: bool = False) -> None:
        self._live, self._secrets, self._highlight = live, secrets, highlight
        self._own: str | None = None
        self._pointed: Tab | None = None
        self._actions: Mapping[str, Callable[[Tab, Mapping[str, Any]], Awaitable[str]]] = {
            "goto": self._goto,
            "click": self._click,
            "type": self._type,
            "select": self._select,
            "press": self._press,
            "scroll": self._scroll,
            "wait": self._wait,
            "back": self._back,
            "read": self._read,
            "new_tab": self._new_tab,
            "switch_tab": self._switch_tab,
            "close_tab": self._close_tab,
            "answer_dialog": self._answer_dialog,
        }

    @property
    def tab(self) -> Tab:
        """Raises `WrongCall` where all are closed."""
        tab = self._live.tabs.find(self._own or "") or self._live.tabs.front
        if tab is None:
            raise WrongCall("this session has no page open", 404)
        self._own = tab.id
        return tab

    @property
    def url(self) -> str:
        """Empty where all are closed."""
        tab = self._live.tabs.find(self._own or "") or self._live.tabs.front
        return "" if tab is None else self._secrets.hide(tab.url)

    async def open(self, url: str) -> None:
        """Where the task begins. Raises `WrongCall`."""
        await tools.go(self._live, self.tab, {"url": url, "partial": True})

    async def look(self) -> str:
        """Which tabs are open, and what is on the page in this one."""
        await self._live.tabs.read()
        tab = self.tab
        tabs = [f"{'*' if one is tab else ' '} {n}. {one.title} - {one.url}" for n, one in enumerate(self._live.tabs.all(), 1)]
        told = ["Tabs, * is this one:", *tabs, "", await self._page(tab)]
        return self._secrets.hide("\n".join(told))

    async def _page(self, tab: Tab) -> str:
        until = time.monotonic() + _LOADING_SECONDS
        try:
            while tab.dialog is None:
                seen = await self._ask(tab, "look", _ABOVE, _BELOW, _LONGEST_LOOK)
                if not seen["loading"] or time.monotonic() > until:
                    return _described(seen)
                await asyncio.sleep(_LOOK_SECONDS)
        except WrongCall as problem:
            if tab.dialog is None:
                return f"The page cannot be read: {problem}"
        return f"The page waits for an answer to its {tab.dialog['type']}: {json.dumps(tab.dialog.get('message', ''))}"

    async def do(self, name: str, asked: Mapping[str, Any]) -> str:
        """What came of an action, for the model. Raises `WrongCall` where nothing did."""
        tab = self.tab
        if tab.dialog is not None and name not in ("answer_dialog", "new_tab", "switch_tab", "close_tab"):
            raise WrongCall(f"the page waits for an answer to its {tab.dialog['type']}: answer_dialog")
        try:
            if tab is not self._live.tabs.front and tab.dialog is None:
                await self._live.tabs.bring_to_front(tab)
            if self._highlight and "element" in asked:
                await self._point_out(tab, asked["element"])
            async with self._settling(tab):
                return self._secrets.hide(await self._actions[name](tab, asked))
        except WrongCall as problem:
            raise WrongCall(self._secrets.hide(str(problem)), problem.status) from problem
        except (CommandFailed, UnknownSecret) as problem:
            raise WrongCall(self._secrets.hide(str(problem))) from problem

    async def _point_out(self, tab: Tab, element: int) -> None:
        """For people who watch, until the next one or another document; it is drawn by the browser, over the page."""
        self.close()
        box = await self._ask(tab, "box", element)
        for method, asked in (("DOM.enable", {}), ("Overlay.enable", {}), ("Overlay.highlightRect", {**box, **_MARKED})):
            await self._live.tabs.call(tab, method, asked)
        self._pointed = tab

    def close(self) -> None:
        """Nothing is pointed out any more."""
        tab, self._pointed = self._pointed, None
        if tab is not None:
            with contextlib.suppress(Gone):
                for method in ("Overlay.hideHighlight", "Overlay.disable", "DOM.disable"):
                    self._live.tabs.tell(tab, method, {})

    @asynccontextmanager
    async def _settling(self, tab: Tab) -> AsyncGenerator[None]:
        """Until what was done has been seen to open a tab, or to load another document."""
        tabs, loading = self._live.tabs, set[str]()
        front = tabs.front

        def heard(one: Tab, message: Message) -> None:
            if message["method"] == "Page.frameStartedLoading" and message["params"]["frameId"] == one.id:
                loading.add(one.id)
                self.close()
            elif message["method"] == "Page.frameStoppedLoading":
                loading.discard(message["params"]["frameId"])

        stop = tabs.listen_to_events(heard)
        try:
            yield
            await asyncio.sleep(_MOMENT)
            if tabs.front is not front and tabs.front is not None:
                self._own = tabs.front.id
            until = time.monotonic() + _LOADING_SECONDS
            while self.tab.id in loading and self.tab.dialog is None and time.monotonic() < until:  # noqa: ASYNC110 - or a dialog, or a tab
                await asyncio.sleep(_LOOK_SECONDS)
        finally:
            stop()

    async def _ask(self, tab: Tab, what: str, *values: Any) -> Any:
        """Of our script in the page that is there now. Raises `WrongCall` with what it says, and where the page does not answer."""
        asked = f"(globalThis.passel ?? {_script()}).{what}({', '.join(json.dumps(value) for value in values)})"
        try:
            async with asyncio.timeout(_PAGE_SECONDS):
                found = await _unless_it_asks(tab, self._evaluate(tab, asked))
        except TimeoutError as error:
            raise WrongCall(f"the page has not answered within {_PAGE_SECONDS:.0f} s") from error
        except CommandFailed as error:
            raise WrongCall(f"the page has just changed: {error.message}") from error
        if (thrown := found.get("exceptionDetails")) is not None:
            said = str(thrown.get("exception", {}).get("description") or thrown["text"])
            raise WrongCall(said.split("\n", 1)[0].removeprefix("Error: "))
        return found["result"].get("value")

    async def _evaluate(self, tab: Tab, expression: str) -> Any:
        """In the document that is there now: a world of this name is made once in each."""
        world = await self._live.tabs.call(tab, "Page.createIsolatedWorld", {"frameId": tab.id, "worldName": _WORLD})
        asked = {"expression": expression, "contextId": world["executionContextId"], "returnByValue": True}
        return await self._live.tabs.call(tab, "Runtime.evaluate", asked)

    async def _goto(self, tab: Tab, asked: Mapping[str, Any]) -> str:
        await tools.go(self._live, tab, {"url": asked["url"], "partial": True})
        return "It is open."

    async def _click(self, tab: Tab, asked: Mapping[str, Any]) -> str:
        place = await self._ask(tab, "place", asked["element"])
        control.click_at(self._live, tab, place["x"], place["y"], asked.get("button", "left"), 2 if asked.get("double") else 1)
        await control.done(self._live, tab)
        return "Clicked." if place["over"] is None else f"Clicked, but over it lies {place['over']}, which may have got the click."

    async def _type(self, tab: Tab, asked: Mapping[str, Any]) -> str:
        text, clear = self._secrets.reveal(asked["text"]), not asked.get("append")
        was_set = await self._ask(tab, "focus", asked["element"], clear, text)
        if not was_set:
            if clear and not text:
                await control.shortcut(self._live, tab, {"keys": ["Delete"], "holdTime": 0})
            elif len(text) > _PASTED:
                await control.paste(self._live, tab, {"text": text})
            else:
                await control.type_text(self._live, tab, {"text": text, "delay": 0})
        if asked.get("submit"):
            await control.shortcut(self._live, tab, {"keys": ["Enter"], "holdTime": 0})
        return "Typed."

    async def _select(self, tab: Tab, asked: Mapping[str, Any]) -> str:
        return f"Chosen: {await self._ask(tab, 'choose', asked['element'], asked['choice'])}"

    async def _press(self, tab: Tab, asked: Mapping[str, Any]) -> str:
        keys = [key for key in asked["keys"].replace("++", "+plus").split("+") if key]
        await control.shortcut(self._live, tab, {"keys": ["+" if key == "plus" else key for key in keys] or ["+"], "holdTime": 0})
        return "Pressed."

    async def _scroll(self, tab: Tab, asked: Mapping[str, Any]) -> str:
        moved = await self._ask(tab, "scroll", asked.get("element", 0), asked["pages"])
        return f"Scrolled by {moved} pixels." if moved else "Nothing moved: it is at its end, or cannot be scrolled."

    async def _wait(self, tab: Tab, asked: Mapping[str, Any]) -> str:
        await asyncio.sleep(asked["seconds"])
        return "Waited."

    async def _back(self, tab: Tab, asked: Mapping[str, Any]) -> str:
        await acting.go_back(self._live.tabs, tab)
        return "Went back."

    async def _read(self, tab: Tab, asked: Mapping[str, Any]) -> str:
        """What is secret is hidden before the text is cut."""
        text = self._secrets.hide(await self._ask(tab, "read"))
        start = asked.get("start", 0)
        end = min(len(text), start + _LONGEST_READ)
        return f"Characters {start} to {end} of {len(text)}:\n{text[start:end]}"

    async def _new_tab(self, tab: Tab, asked: Mapping[str, Any]) -> str:
        if (problem := url_problem(asked["url"], self._live.place.extensions)) is not None:
            raise WrongCall(f"url: {problem}")
        self._own = (await tools.open_tab(self._live)).id
        await tools.go(self._live, self.tab, {"url": asked["url"], "partial": True})
        return "It is open, in a new tab."

    async def _switch_tab(self, tab: Tab, asked: Mapping[str, Any]) -> str:
        other = self._numbered(asked["tab"])
        self._own = other.id
        await self._live.tabs.bring_to_front(other)
        return f"This is tab {asked['tab']} now."

    async def _close_tab(self, tab: Tab, asked: Mapping[str, Any]) -> str:
        await acting.close_tab(self._live.tabs, self._numbered(asked["tab"]))
        return "Closed."

    def _numbered(self, number: int) -> Tab:
        opened = self._live.tabs.all()
        if number > len(opened):
            raise WrongCall(f"there is no tab {number}: {len(opened)} are open")
        return opened[number - 1]

    async def _answer_dialog(self, tab: Tab, asked: Mapping[str, Any]) -> str:
        if tab.dialog is None:
            raise WrongCall("there is no dialog")
        text = None if asked.get("text") is None else self._secrets.reveal(asked["text"])
        await self._live.tabs.answer(tab, asked["accept"], text)
        return "Answered."


async def _unless_it_asks(tab: Tab, work: Coroutine[Any, Any, Any]) -> Any:
    """A page that has just opened a dialog does nothing until that is answered. Raises `WrongCall`."""
    working = asyncio.ensure_future(work)
    try:
        while not working.done():
            if tab.dialog is not None:
                raise WrongCall(f"the page waits for an answer to its {tab.dialog['type']}: answer_dialog")
            await asyncio.wait([working], timeout=_LOOK_SECONDS)
        return working.result()
    finally:
        working.cancel()


def _described(seen: Mapping[str, Any]) -> str:
    if seen["type"] == "application/pdf":
        return "The page is a PDF, which cannot be read here."
    top, view, height = seen["top"], seen["view"], seen["height"]
    below = max(0, height - top - view)
    place = f"Page, {top} pixels above this window and {below} below it{', still loading' if seen['loading'] else ''}:"
    return "\n".join(
        [place, seen["text"] or "(nothing)", *(["(there is more than can be told at once: read, or scroll)"] if seen["full"] else [])]
    )


@cache
def _script() -> str:
    lines = _SCRIPT.read_text(encoding="utf-8").splitlines()
    return "\n".join(line for line in lines if not line.lstrip().startswith("//")).strip()
