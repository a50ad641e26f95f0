"""Hands on a page: mouse, keyboard, text and what browsers do around pages, as CDP has them. For people who watch, and for OS control."""

import json
from collections.abc import Mapping
from typing import Any

from passel.workloads.browser.mux import CommandFailed
from passel.workloads.browser.tabs import Command, Tab, Tabs

BUTTONS = ("left", "middle", "right", "back", "forward")
_HELD = {"left": 1, "right": 2, "middle": 4, "back": 8, "forward": 16}

_EDITOR = """(text => {
  const editor = document.body.appendChild(document.createElement('textarea'))
  editor.value = text
  editor.focus()
  editor.select()
})"""
_SELECTION = """(() => {
  let root = document.activeElement
  while (root?.shadowRoot?.activeElement) root = root.shadowRoot.activeElement
  while (root?.contentDocument?.activeElement) root = root.contentDocument.activeElement
  if (root && typeof root.selectionStart === 'number') return root.type === 'password' ? '' : root.value.slice(root.selectionStart, root.selectionEnd)
  return String((root?.ownerDocument ?? document).getSelection())
})()"""


def mouse(kind: str, x: float, y: float, button: str = "none", clicks: int = 0, modifiers: int = 0) -> Command:
    """`kind` is mouseMoved, mousePressed or mouseReleased; a button that is held while the mouse moves is named too."""
    held = _HELD.get(button, 0) if kind != "mouseReleased" else 0
    asked = {"type": kind, "x": x, "y": y, "button": button, "buttons": held, "clickCount": clicks, "modifiers": modifiers}
    return "Input.dispatchMouseEvent", asked


def wheel(x: float, y: float, dx: float, dy: float, modifiers: int = 0) -> Command:
    """In CSS pixels; positive is right and down."""
    asked = {"type": "mouseWheel", "x": x, "y": y, "deltaX": dx, "deltaY": dy, "modifiers": modifiers}
    return "Input.dispatchMouseEvent", asked


def drag(kind: str, x: float, y: float, data: Any) -> Command:
    """`kind` is dragEnter, dragOver or drop, `data` what is dragged (`Input.dragIntercepted`)."""
    return "Input.dispatchDragEvent", {"type": kind, "x": x, "y": y, "data": data}


def key(kind: str, pressed: Mapping[str, Any]) -> Command:
    """`kind` is keyDown, rawKeyDown or keyUp; `pressed` has what CDP takes beside it: key, code, windowsVirtualKeyCode, modifiers,
    text, commands."""
    return "Input.dispatchKeyEvent", {"type": kind, **pressed}


def insert(text: str) -> Command:
    """As an input method or a paste does it."""
    return "Input.insertText", {"text": text}


def edit(command: str) -> tuple[Command, Command]:
    """An editing command: selectAll, copy, cut, paste, undo, redo, delete."""
    return key("rawKeyDown", {"key": "Unidentified", "commands": [command]}), key("keyUp", {"key": "Unidentified"})


async def selection(tabs: Tabs, tab: Tab) -> str:
    """What is selected on the page; of a password nothing."""
    found = await tabs.call(tab, "Runtime.evaluate", {"expression": _SELECTION, "returnByValue": True})
    value = found["result"].get("value")
    return value if isinstance(value, str) else ""


async def clipboard(tabs: Tabs, text: str | None = None) -> str:
    """Write a text into it, or read it. No page of a client's is touched, nor asked whether it allows that: a page of our own, which is
    not shown, has an editor."""
    async with tabs.aside() as page:
        await tabs.driver.call("Emulation.setFocusEmulationEnabled", {"enabled": True}, page)
        await tabs.driver.call("Runtime.evaluate", {"expression": f"{_EDITOR}({json.dumps(text or '')})"}, page)
        command = "paste" if text is None else "copy"
        await tabs.driver.call("Input.dispatchKeyEvent", {"type": "rawKeyDown", "key": "Unidentified", "commands": [command]}, page)
        read = {"expression": "document.querySelector('textarea').value", "returnByValue": True}
        return (await tabs.driver.call("Runtime.evaluate", read, page))["result"]["value"]


async def go_back(tabs: Tabs, tab: Tab, steps: int = -1) -> None:
    """In the tab's history; forward where `steps` is 1. Nothing happens at its ends."""
    history = await tabs.call(tab, "Page.getNavigationHistory")
    at = history["currentIndex"] + steps
    if 0 <= at < len(history["entries"]):
        await tabs.call(tab, "Page.navigateToHistoryEntry", {"entryId": history["entries"][at]["id"]})


async def open_tab(tabs: Tabs, url: str = "about:blank") -> str:
    """Returns its id."""
    return (await tabs.driver.call("Target.createTarget", {"url": url}))["targetId"]


async def close_tab(tabs: Tabs, tab: Tab) -> None:
    """The last one is emptied instead: a browser without pages ends."""
    if len(tabs.all()) == 1:
        await tabs.call(tab, "Page.navigate", {"url": "about:blank"})
        return
    try:
        await tabs.driver.call("Target.closeTarget", {"targetId": tab.id})
    except CommandFailed:
        return  # it has just been closed
