"""OS control (2.6 of the `anchor` contract): mouse, keyboard, clipboard and screenshots by calls, on the page in front.

There is no desktop: what the record does with one is done by CDP, so it works headless. Shortcuts that address the window around pages
(Ctrl+T and the like) do what they do in a window; those for which there is none are refused.
"""

import asyncio
import base64
import json
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from passel.core.browser.guard import url_problem
from passel.workloads.browser import acting, keyboard
from passel.workloads.browser.calls import WrongCall
from passel.workloads.browser.keyboard import CONTROL, META, SHIFT, Key
from passel.workloads.browser.mux import Message
from passel.workloads.browser.session import Call, Live
from passel.workloads.browser.tabs import Tab

_SECONDS = 15.0
_STEP_PIXELS, _DRAG_STEPS = 100.0, 10
_LOOK_SECONDS = 0.05
_MOST_MILLISECONDS = 60_000.0
_EDITS = {"a": "selectAll", "c": "copy", "v": "paste", "x": "cut", "z": "undo", "y": "redo"}

_FIND = """((selector, index) => {
  const found = document.querySelectorAll(selector)[index]
  if (!found) return null
  found.scrollIntoView({block: 'center', inline: 'center', behavior: 'instant'})
  const box = found.getBoundingClientRect()
  return box.width && box.height ? [box.x + box.width / 2, box.y + box.height / 2] : null
})"""


def _front(live: Live) -> Tab:
    if (tab := live.tabs.front) is None:
        raise WrongCall("this session has no page open", 404)
    return tab


def _call(work: Callable[[Live, Tab, Mapping[str, Any]], Awaitable[Any]], *, dialog: bool = False) -> Call:
    """A call on the page in front. It does not wait for ever: a page stands still behind a dialog."""

    async def called(live: Live, asked: Mapping[str, Any]) -> Any:
        tab = _front(live)
        if tab.dialog is not None and not dialog:
            raise WrongCall(f"the page waits for an answer to its {tab.dialog['type']}: press Enter or Escape", 409)
        try:
            async with asyncio.timeout(_SECONDS + float(asked.get("patience", 0))):
                return await work(live, tab, asked)
        except TimeoutError as error:
            raise WrongCall("the page did not answer in time", 409) from error

    return called


async def screenshot(live: Live, tab: Tab, asked: Mapping[str, Any]) -> bytes:
    shot = await live.tabs.call(tab, "Page.captureScreenshot", {"format": "png"})
    return base64.b64decode(shot["data"])


async def click(live: Live, tab: Tab, asked: Mapping[str, Any]) -> Any:
    """At a point, or in the middle of the element that a selector finds within `timeout` milliseconds."""
    if (selector := asked.get("selector")) is not None:
        x, y = await _middle(live, tab, selector, int(asked["index"]), float(asked["timeout"]))
    else:
        x, y = asked["x"], asked["y"]
    click_at(live, tab, x, y, asked["button"], int(asked["clicks"]))
    await done(live, tab)
    return {}


def click_at(live: Live, tab: Tab, x: float, y: float, button: str, clicks: int) -> None:
    live.tabs.tell(tab, *acting.mouse("mouseMoved", x, y))
    for number in range(1, clicks + 1):
        live.tabs.tell(tab, *acting.mouse("mousePressed", x, y, button, number))
        live.tabs.tell(tab, *acting.mouse("mouseReleased", x, y, button, number))


async def done(live: Live, tab: Tab) -> None:
    """Commands of one session are done in their order, so that what was told before has happened then; unless a dialog is in the way."""
    asked = asyncio.ensure_future(live.tabs.call(tab, "Runtime.evaluate", {"expression": "0"}))
    try:
        while not asked.done() and tab.dialog is None:
            await asyncio.wait([asked], timeout=_LOOK_SECONDS)
    finally:
        asked.cancel()


async def _middle(live: Live, tab: Tab, selector: str, index: int, milliseconds: float) -> tuple[float, float]:
    until = time.monotonic() + min(milliseconds, _MOST_MILLISECONDS) / 1000
    asked = {"expression": f"{_FIND}({json.dumps(selector)}, {index})", "returnByValue": True}
    while True:
        found = await live.tabs.call(tab, "Runtime.evaluate", asked)
        if "exceptionDetails" in found:
            raise WrongCall(f"selector: {selector} is no valid CSS selector")
        if (at := found["result"].get("value")) is not None:
            return at[0], at[1]
        if time.monotonic() > until:
            raise WrongCall(f"selector: no visible element matches {selector} at index {index}", 404)
        await asyncio.sleep(_LOOK_SECONDS)


async def mouse(live: Live, tab: Tab, asked: Mapping[str, Any]) -> Any:
    """One event: `kind` is mouseMoved, mousePressed or mouseReleased."""
    live.tabs.tell(tab, *acting.mouse(asked["kind"], asked["x"], asked["y"], asked.get("button", "none"), int(asked.get("clicks", 0))))
    await done(live, tab)
    return {}


async def drag(live: Live, tab: Tab, asked: Mapping[str, Any]) -> Any:
    """In steps, as a hand does it: pages look at what lies under the way. What can be dragged by the browser itself is taken over from it,
    which would move it on a desktop, and dropped."""
    x, y, to_x, to_y, button = (asked[name] for name in ("startX", "startY", "endX", "endY", "button"))
    dragged: list[Any] = []
    released = False

    def heard(one: Tab, message: Message) -> None:
        if one is tab and message["method"] == "Input.dragIntercepted":
            dragged.append(message["params"]["data"])

    stop = live.tabs.listen_to_events(heard)
    try:
        await live.tabs.call(tab, "Input.setInterceptDrags", {"enabled": True})
        live.tabs.tell(tab, *acting.mouse("mouseMoved", x, y))
        live.tabs.tell(tab, *acting.mouse("mousePressed", x, y, button, 1))
        for step in range(1, _DRAG_STEPS + 1):
            at = x + (to_x - x) * step / _DRAG_STEPS, y + (to_y - y) * step / _DRAG_STEPS
            if not dragged:
                live.tabs.tell(tab, *acting.mouse("mouseMoved", *at, button))
                await done(live, tab)
        if dragged:
            for kind in ("dragEnter", "dragOver", "drop"):
                live.tabs.tell(tab, *acting.drag(kind, to_x, to_y, dragged[0]))
        live.tabs.tell(tab, *acting.mouse("mouseReleased", to_x, to_y, button, 1))
        released = True
        await done(live, tab)
    finally:
        stop()
        if not released:
            live.tabs.tell(tab, *acting.mouse("mouseReleased", to_x, to_y, button, 1))
        live.tabs.tell(tab, "Input.setInterceptDrags", {"enabled": False})
    return {}


async def scroll(live: Live, tab: Tab, asked: Mapping[str, Any]) -> Any:
    """In steps of a wheel, positive is down and right; all at once, or in so many `steps`."""
    steps = int(asked["steps"])
    dx, dy = (asked[name] * _STEP_PIXELS / steps for name in ("deltaX", "deltaY"))
    for _ in range(steps):
        await live.tabs.call(tab, *acting.wheel(asked["x"], asked["y"], dx, dy))
    return {}


async def type_text(live: Live, tab: Tab, asked: Mapping[str, Any]) -> Any:
    """Key by key; what no key types goes in as an input method does it."""
    for character in asked["text"]:
        key = keyboard.of_character(character)
        if key is None:
            live.tabs.tell(tab, *acting.insert(character))
        else:
            live.tabs.tell(tab, *acting.key("keyDown" if key.text else "rawKeyDown", key.pressed(0)))
            live.tabs.tell(tab, *acting.key("keyUp", key.pressed(0, "")))
        if asked["delay"]:
            await asyncio.sleep(asked["delay"] / 1000)
    await done(live, tab)
    return {}


async def shortcut(live: Live, tab: Tab, asked: Mapping[str, Any]) -> Any:
    """Keys that are pressed together, held for `holdTime` milliseconds. An open dialog is answered by Enter and Escape."""
    keys = sorted((_named(name) for name in asked["keys"]), key=lambda key: not key.modifier)
    if tab.dialog is not None:
        if keys[-1].key not in ("Enter", "Escape"):
            raise WrongCall(f"the page waits for an answer to its {tab.dialog['type']}: press Enter or Escape", 409)
        await live.tabs.answer(tab, accept=keys[-1].key == "Enter")
        return {}
    if await _of_the_window(live, tab, keys):
        return {}
    held = 0
    try:
        for key in keys:
            held |= key.modifier
            shown = key.shifted() if held & SHIFT else key
            pressed = shown.pressed(held, "" if held & ~SHIFT else None)
            if held & (CONTROL | META) and (command := _EDITS.get(key.key.lower())) is not None:
                pressed["commands"] = ["redo" if command == "undo" and held & SHIFT else command]
            live.tabs.tell(tab, *acting.key("keyDown" if "text" in pressed else "rawKeyDown", pressed))
        await asyncio.sleep(asked["holdTime"] / 1000)
    finally:
        for key in reversed(keys):
            held &= ~key.modifier
            live.tabs.tell(tab, *acting.key("keyUp", key.pressed(held, "")))
    await done(live, tab)
    return {}


def _named(name: str) -> Key:
    key = keyboard.named(name)
    if key is None:
        raise WrongCall(f"keys: there is no key {name[:50]!r}")
    return key


async def _of_the_window(live: Live, tab: Tab, keys: Sequence[Key]) -> bool:
    """Whether these are for the window around the page; then it is done."""
    names = [key.key.lower() for key in keys]
    held, last = set(names[:-1]), names[-1]
    tabs = live.tabs
    command = held == {"control"} or held == {"meta"}
    if command and last == "t":
        await acting.open_tab(tabs)
    elif command and last == "w":
        await acting.close_tab(tabs, tab)
    elif (command and last == "r") or (not held and last == "f5"):
        await tabs.call(tab, "Page.reload")
    elif last == "tab" and held in ({"control"}, {"control", "shift"}):
        opened = tabs.all()
        at = opened.index(tab) + (-1 if "shift" in held else 1)
        await tabs.bring_to_front(opened[at % len(opened)])
    elif held == {"alt"} and last in ("arrowleft", "arrowright"):
        await acting.go_back(tabs, tab, -1 if last == "arrowleft" else 1)
    elif (command and last in ("l", "n", "p", "s", "o", "h", "j", "d")) or last in ("f11", "f12"):
        raise WrongCall(f"keys: {'+'.join(key.key for key in keys)} is not available in headless", 400)
    else:
        return False
    return True


async def copy(live: Live, tab: Tab, asked: Mapping[str, Any]) -> Any:
    """What is selected; it is in the clipboard then."""
    text = await acting.selection(live.tabs, tab)
    for one in acting.edit("copy"):
        live.tabs.tell(tab, *one)
    await done(live, tab)
    return {"text": text}


async def paste(live: Live, tab: Tab, asked: Mapping[str, Any]) -> Any:
    live.tabs.tell(tab, *acting.insert(asked["text"]))
    await done(live, tab)
    return {}


async def goto(live: Live, tab: Tab, asked: Mapping[str, Any]) -> Any:
    url = asked["url"]
    if (problem := url_problem(url, live.place.extensions)) is not None:
        raise WrongCall(f"url: {problem}")
    went = await live.tabs.call(tab, "Page.navigate", {"url": url})
    if went.get("errorText"):
        raise WrongCall(f"url: {went['errorText']}")
    return {}


async def clipboard(live: Live, asked: Mapping[str, Any]) -> Any:
    """Read it, or write `text` into it. Each browser has its own."""
    try:
        async with asyncio.timeout(_SECONDS), live.clipboard_lock:
            return {"text": await acting.clipboard(live.tabs, asked.get("text"))}
    except TimeoutError as error:
        raise WrongCall("the clipboard did not answer in time", 409) from error


CALLS: Mapping[str, Call] = {
    "screenshot": _call(screenshot),
    "click": _call(click),
    "mouse": _call(mouse),
    "drag": _call(drag),
    "scroll": _call(scroll),
    "type": _call(type_text),
    "shortcut": _call(shortcut, dialog=True),
    "copy": _call(copy),
    "paste": _call(paste),
    "goto": _call(goto),
    "clipboard": clipboard,
}
