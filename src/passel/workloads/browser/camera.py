"""Pictures of the page in front, for whoever wants them: the live view and the recorder share one screencast.

Chromium sends a picture when the page has changed, and the next one once that is acknowledged; the acknowledgement waits as long as the
one who wants the most pictures a second allows. While nobody wants any there is no screencast.
"""

import asyncio
import base64
import contextlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from passel.workloads.browser.mux import CommandFailed, Gone, Message
from passel.workloads.browser.tabs import Changed, Tab, Tabs

_QUALITY = 70
_AGAIN_SECONDS, _SHOT_SECONDS = 0.1, 2.0
_TRIES = 50


class Frame(NamedTuple):
    """`jpeg` is the page's view, `width` and `height` are what it stands for in CSS pixels, `at` is the monotonic clock's."""

    jpeg: bytes
    tab_id: str
    width: int
    height: int
    at: float


@dataclass(slots=True, eq=False)
class _Viewer:
    """Gets at most `rate` pictures a second, and always the last one before it is still."""

    sink: Callable[[Frame], None]
    rate: float
    _due: float = 0.0
    _waiting: Frame | None = None
    _later: asyncio.TimerHandle | None = None

    def offer(self, frame: Frame) -> None:
        now = time.monotonic()
        if now >= self._due:
            self._give(frame, now)
            return
        self._waiting = frame
        if self._later is None:
            self._later = asyncio.get_running_loop().call_later(self._due - now, self._give_waiting)

    def leave(self) -> None:
        if self._later is not None:
            self._later.cancel()

    def _give_waiting(self) -> None:
        self._later = None
        if self._waiting is not None:
            self._give(self._waiting, time.monotonic())

    def _give(self, frame: Frame, now: float) -> None:
        self._due, self._waiting = now + 1 / self.rate, None
        self.sink(frame)


class Camera:
    """`size` is the largest that a picture is, in pixels."""

    def __init__(self, tabs: Tabs, size: tuple[int, int]) -> None:
        self._tabs, self._size = tabs, size
        self._viewers: list[_Viewer] = []
        self._on: Tab | None = None
        self._turning: asyncio.Task[None] | None = None
        self._shooting: asyncio.Task[None] | None = None
        self._acks: set[asyncio.TimerHandle] = set()
        self._last: Frame | None = None
        self._sent = 0.0
        self._stop = (tabs.listen(self._changed), tabs.listen_to_events(self._told))

    def watch(self, sink: Callable[[Frame], None], rate: float) -> Callable[[], None]:
        """`sink` gets the picture as it is, and then at most `rate` a second. Returns what ends it."""
        viewer = _Viewer(sink, rate)
        self._viewers.append(viewer)
        if self._last is not None:
            viewer.offer(self._last)
        self._turn()

        def leave() -> None:
            viewer.leave()
            if viewer in self._viewers:
                self._viewers.remove(viewer)
                self._turn()

        return leave

    def close(self) -> None:
        for stop in self._stop:
            stop()
        for handle in self._acks:
            handle.cancel()
        for task in (self._turning, self._shooting):
            if task is not None:
                task.cancel()

    def _changed(self, changed: Changed) -> None:
        if changed.what in ("front", "closed", "navigated"):
            self._turn()

    def _turn(self) -> None:
        """To the page in front, or off."""
        if self._turning is None or self._turning.done():
            self._turning = asyncio.create_task(self._turn_as_wanted())

    async def _turn_as_wanted(self) -> None:
        tries = 0
        if self._shooting is not None:
            self._shooting.cancel()
        while (wanted := self._tabs.front if self._viewers else None) is not self._on and tries < _TRIES:
            before, self._on = self._on, None
            with contextlib.suppress(CommandFailed, Gone):
                if before is not None and self._tabs.find(before.id) is not None:
                    await self._tabs.call(before, "Page.stopScreencast")
            if wanted is None:
                self._last = None
                continue
            try:
                await self._begin(wanted)
                self._on = wanted
            except Gone:
                return
            except CommandFailed:  # the page is on its way from one process to another
                tries += 1
                await asyncio.sleep(_AGAIN_SECONDS)

    async def _begin(self, tab: Tab) -> None:
        width, height = self._size
        asked = {"format": "jpeg", "quality": _QUALITY, "maxWidth": width, "maxHeight": height}
        await self._tabs.call(tab, "Page.startScreencast", asked)
        self._shooting = asyncio.create_task(self._shoot(tab))

    async def _shoot(self, tab: Tab) -> None:
        """A page that stands still sends no pictures. None comes while a dialog is open, or another page is in front."""
        with contextlib.suppress(TimeoutError, CommandFailed, Gone):
            async with asyncio.timeout(_SHOT_SECONDS):
                shot = await self._tabs.call(tab, "Page.captureScreenshot", {"format": "jpeg", "quality": _QUALITY})
            if tab is self._on:
                self._show(Frame(base64.b64decode(shot["data"]), tab.id, *self._size, time.monotonic()))

    def _told(self, tab: Tab, message: Message) -> None:
        if message["method"] == "Page.screencastFrame":
            self._frame(tab, message["params"])

    def _frame(self, tab: Tab, params: Mapping[str, Any]) -> None:
        now = time.monotonic()
        rate = max((viewer.rate for viewer in self._viewers), default=1.0)
        due = max(0.0, self._sent + 1 / rate - now)
        self._sent = now + due
        loop = asyncio.get_running_loop()
        handle = loop.call_later(due, lambda: self._acknowledge(tab, params["sessionId"], handle))
        self._acks.add(handle)
        if tab is self._on or self._on is None:
            size = params["metadata"]
            self._show(Frame(base64.b64decode(params["data"]), tab.id, int(size["deviceWidth"]), int(size["deviceHeight"]), now))

    def _show(self, frame: Frame) -> None:
        self._last = frame
        for viewer in list(self._viewers):
            viewer.offer(frame)

    def _acknowledge(self, tab: Tab, number: int, handle: asyncio.TimerHandle) -> None:
        self._acks.discard(handle)
        with contextlib.suppress(Gone):
            self._tabs.driver.tell("Page.screencastFrameAck", {"sessionId": number}, tab.session_id)
