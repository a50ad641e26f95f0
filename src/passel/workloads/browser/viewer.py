"""A person who watches a session, and may act in it (4.7 of the `anchor` contract).

    server  binary  width and height of the page (two unsigned 16-bit numbers, big-endian), then a JPEG
            JSON    hello {act, width, height}   tabs {tabs: [{id, title, url}], front}   dialog {kind, message, default} or {kind: null}
                    clipboard {text}   problem {message}   ended {reason}
    client  JSON    mouse {action, x, y, button, clicks, modifiers}   wheel {x, y, dx, dy, modifiers}   key {action, key, code, keyCode, text,
                    modifiers}   text {text}   copy   cut   edit {command}   navigate {url}   back   forward   reload   tab {id}   open   close {id}
                    dialog {accept, text}

Who may only watch is read, and not heard. A viewer that is slow misses pictures, and gets the newest.
"""

import asyncio
import contextlib
import struct
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import orjson
from aiohttp import WSCloseCode, WSMsgType, web

from passel.core.browser.guard import url_problem
from passel.workloads.browser import acting
from passel.workloads.browser.camera import Frame
from passel.workloads.browser.mux import CommandFailed, Gone
from passel.workloads.browser.session import Live
from passel.workloads.browser.tabs import Changed, Tab

FASTEST, SLOWEST = 25.0, 0.2
_LARGEST_MESSAGE = 1024 * 1024
_PING_SECONDS, _TITLES_SECONDS = 30.0, 1.0
_ACTIONS = {"move": "mouseMoved", "down": "mousePressed", "up": "mouseReleased"}
_EDITS = frozenset({"selectAll", "undo", "redo", "delete"})


class Hands:
    """What a person does. Methods raise `KeyError`, `TypeError` and `ValueError` for what is not as it has to be, `CommandFailed` and `Gone`.

    Input is sent without waiting for what comes of it: a click that opens a dialog is answered when that is closed."""

    def __init__(self, live: Live, say: Callable[..., None]) -> None:
        self._tabs, self._live, self._say = live.tabs, live, say

    async def mouse(self, tab: Tab, asked: Mapping[str, Any]) -> None:
        button = asked.get("button", "none")
        if button not in (*acting.BUTTONS, "none"):
            raise ValueError
        at = float(asked["x"]), float(asked["y"])
        command = acting.mouse(_ACTIONS[asked["action"]], *at, button, int(asked.get("clicks", 0)), int(asked.get("modifiers", 0)))
        self._tabs.tell(tab, *command)

    async def wheel(self, tab: Tab, asked: Mapping[str, Any]) -> None:
        x, y, dx, dy = (float(asked[name]) for name in ("x", "y", "dx", "dy"))
        self._tabs.tell(tab, *acting.wheel(x, y, dx, dy, int(asked.get("modifiers", 0))))

    async def key(self, tab: Tab, asked: Mapping[str, Any]) -> None:
        down = {"down": True, "up": False}[asked["action"]]
        pressed: dict[str, Any] = {
            "key": str(asked["key"]),
            "code": str(asked.get("code", "")),
            "modifiers": int(asked.get("modifiers", 0)),
        }
        pressed["windowsVirtualKeyCode"] = int(asked.get("keyCode", 0))
        text = str(asked.get("text") or "") if down else ""
        if text:
            pressed |= {"text": text, "unmodifiedText": text}
        self._tabs.tell(tab, *acting.key("keyUp" if not down else "keyDown" if text else "rawKeyDown", pressed))

    async def text(self, tab: Tab, asked: Mapping[str, Any]) -> None:
        self._tabs.tell(tab, *acting.insert(str(asked["text"])))

    async def copy(self, tab: Tab, asked: Mapping[str, Any]) -> None:
        self._say("clipboard", text=await acting.selection(self._tabs, tab))

    async def cut(self, tab: Tab, asked: Mapping[str, Any]) -> None:
        await self.copy(tab, asked)
        self._edit(tab, "delete")

    async def edit(self, tab: Tab, asked: Mapping[str, Any]) -> None:
        if asked["command"] not in _EDITS:
            raise ValueError
        self._edit(tab, asked["command"])

    def _edit(self, tab: Tab, command: str) -> None:
        for one in acting.edit(command):
            self._tabs.tell(tab, *one)

    async def navigate(self, tab: Tab, asked: Mapping[str, Any]) -> None:
        url = str(asked["url"]).strip()
        if (problem := url_problem(url, self._live.place.extensions)) is not None:
            self._say("problem", message=problem)
        else:
            self._tabs.tell(tab, "Page.navigate", {"url": url})

    async def back(self, tab: Tab, asked: Mapping[str, Any]) -> None:
        await acting.go_back(self._tabs, tab)

    async def forward(self, tab: Tab, asked: Mapping[str, Any]) -> None:
        await acting.go_back(self._tabs, tab, 1)

    async def reload(self, tab: Tab, asked: Mapping[str, Any]) -> None:
        self._tabs.tell(tab, "Page.reload", {})

    async def open(self, tab: Tab, asked: Mapping[str, Any]) -> None:
        await acting.open_tab(self._tabs)

    async def to_front(self, tab: Tab, asked: Mapping[str, Any]) -> None:
        if (wanted := self._tabs.find(str(asked["id"]))) is not None:
            await self._tabs.bring_to_front(wanted)

    async def close(self, tab: Tab, asked: Mapping[str, Any]) -> None:
        if (wanted := self._tabs.find(str(asked["id"]))) is not None:
            await acting.close_tab(self._tabs, wanted)

    async def dialog(self, tab: Tab, asked: Mapping[str, Any]) -> None:
        text = asked.get("text")
        if tab.dialog is not None:
            await self._tabs.answer(tab, bool(asked["accept"]), None if text is None else str(text))


ACTS: Mapping[str, Callable[[Hands, Tab, Mapping[str, Any]], Awaitable[None]]] = {
    "mouse": Hands.mouse,
    "wheel": Hands.wheel,
    "key": Hands.key,
    "text": Hands.text,
    "copy": Hands.copy,
    "cut": Hands.cut,
    "edit": Hands.edit,
    "navigate": Hands.navigate,
    "back": Hands.back,
    "forward": Hands.forward,
    "reload": Hands.reload,
    "open": Hands.open,
    "tab": Hands.to_front,
    "close": Hands.close,
    "dialog": Hands.dialog,
}


class Viewer:
    """`act` says whether the person may do something, `rate` how many pictures a second are wanted at most; `page` binds to one tab."""

    def __init__(self, live: Live, act: bool, rate: float, page: str | None) -> None:
        self._live, self._act, self._rate, self._page = live, act, min(FASTEST, max(SLOWEST, rate)), page
        self._ws = web.WebSocketResponse(max_msg_size=_LARGEST_MESSAGE, compress=False, heartbeat=_PING_SECONDS)
        self._said: list[bytes] = []
        self._frame: Frame | None = None
        self._some = asyncio.Event()
        self._reason: str | None = None
        self._sent_at = 0.0
        self._hands = Hands(live, self._say)

    async def serve(self, request: web.Request) -> web.WebSocketResponse:
        live = self._live
        await self._ws.prepare(request)
        live.timers.connected()
        live.viewers.add(self._end)
        live.hands += self._act
        stop = (live.tabs.listen(self._changed), live.camera.watch(self._seen, self._rate))
        self._say("hello", act=self._act, width=live.configuration.width, height=live.configuration.height)
        self._tell_tabs()
        if (front := live.tabs.front) is not None and front.dialog is not None:
            self._tell_dialog(front)
        writing, reading = asyncio.create_task(self._write()), asyncio.create_task(self._read_titles())
        try:
            if self._act and (bound := self._bound()) is not None:
                await self._quietly(live.tabs.bring_to_front(bound))
            async for message in self._ws:
                if message.type is WSMsgType.TEXT and self._act:
                    await self._received(message.data)
        finally:
            for end in stop:
                end()
            live.hands -= self._act
            live.viewers.discard(self._end)
            live.timers.disconnected()
            reading.cancel()
            self._end(None)
            await writing
        return self._ws

    async def _read_titles(self) -> None:
        """A page may change its title at any time, which the browser does not tell."""
        with contextlib.suppress(Gone, CommandFailed):
            while True:
                await asyncio.sleep(_TITLES_SECONDS)
                await self._live.tabs.read()

    def _bound(self) -> Tab | None:
        return self._live.tabs.find(self._page) if self._page else None

    def _tab(self) -> Tab | None:
        """The one that is acted on."""
        return self._bound() if self._page else self._live.tabs.front

    async def _received(self, text: str) -> None:
        try:
            asked = orjson.loads(text)
            act = ACTS[asked["type"]]
        except (orjson.JSONDecodeError, KeyError, TypeError):
            self._say("problem", message="a message is a JSON object with a type that is known here")
            return
        try:
            if (tab := self._tab()) is not None:
                await act(self._hands, tab, asked)
        except (KeyError, TypeError, ValueError, AttributeError):
            self._say("problem", message=f"{asked['type']}: something is missing or of the wrong kind")
        except CommandFailed as failure:
            self._say("problem", message=failure.message)
        except Gone:
            return  # whoever ends the session says why

    async def _quietly(self, work: Awaitable[object]) -> None:
        with contextlib.suppress(CommandFailed, Gone):
            await work

    def _changed(self, changed: Changed) -> None:
        if changed.what == "dialog":
            self._tell_dialog(changed.tab)
        else:
            self._tell_tabs()

    def _tell_tabs(self) -> None:
        tabs = self._live.tabs
        shown = [{"id": tab.id, "title": tab.title, "url": tab.url} for tab in tabs.all()]
        self._say("tabs", tabs=shown, front=tabs.front.id if tabs.front else None)

    def _tell_dialog(self, tab: Tab) -> None:
        dialog = tab.dialog
        if dialog is None:
            self._say("dialog", kind=None)
        else:
            self._say("dialog", kind=dialog["type"], message=dialog["message"], default=dialog.get("defaultPrompt", ""))

    def _seen(self, frame: Frame) -> None:
        if self._page is None or frame.tab_id == self._page:
            self._frame = frame
            self._some.set()

    def _say(self, type: str, **data: Any) -> None:
        self._said.append(orjson.dumps({"type": type, **data}))
        self._some.set()

    def _end(self, reason: str | None) -> None:
        if reason is not None:
            self._say("ended", reason=reason)
        self._reason = reason or ""
        self._some.set()

    async def _write(self) -> None:
        """What is said comes first, then the newest picture, not sooner than the rate has it."""
        try:
            while True:
                await self._some.wait()
                self._some.clear()
                said, self._said = self._said, []
                for data in said:
                    await self._ws.send_frame(data, WSMsgType.TEXT)
                if self._reason is not None:
                    break
                if self._frame is not None:
                    await self._send_frame()
        except (ConnectionError, RuntimeError):
            return
        said = f"session ended: {self._reason}" if self._reason else ""
        await self._ws.close(code=WSCloseCode.GOING_AWAY if said else WSCloseCode.OK, message=said.encode())

    async def _send_frame(self) -> None:
        wait = self._sent_at + 1 / self._rate - time.monotonic()
        if wait > 0.001:
            asyncio.get_running_loop().call_later(wait, self._some.set)
            return
        frame, self._frame = self._frame, None
        assert frame is not None
        self._sent_at = time.monotonic()
        await self._ws.send_frame(struct.pack(">HH", frame.width, frame.height) + frame.jpeg, WSMsgType.BINARY)
