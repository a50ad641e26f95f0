"""What a live session tells its ledger while it goes on."""

import asyncio
from collections.abc import Awaitable, Callable

from passel.core.browser import events
from passel.core.events import Draft
from passel.core.text import clean
from passel.workloads.browser.tabs import Changed

_MOST_NAVIGATIONS = 1000
_LONGEST_URL = 4096
_TOGETHER_SECONDS = 0.25


class Notes:
    """Written together, a quarter of a second after the first of them: a page may go through ten addresses in that time."""

    def __init__(self, write: Callable[[tuple[Draft, ...]], Awaitable[object]]) -> None:
        self._write = write
        self._waiting: list[Draft] = []
        self._navigations = 0
        self._some = asyncio.Event()

    def add(self, draft: Draft) -> None:
        self._waiting.append(draft)
        self._some.set()

    def changed(self, changed: Changed) -> None:
        """Hears of pages."""
        if changed.what == "navigated" and changed.tab.url != "about:blank" and self._navigations < _MOST_NAVIGATIONS:
            self._navigations += 1
            self.add(events.navigated(changed.tab.id, clean(changed.tab.url)[:_LONGEST_URL]))

    async def keep_writing(self) -> None:
        while True:
            await self._some.wait()
            await asyncio.sleep(_TOGETHER_SECONDS)
            await self._write(self.take())

    def take(self) -> tuple[Draft, ...]:
        """What is not written yet, for whoever writes it now."""
        taken, self._waiting = tuple(self._waiting), []
        self._some.clear()
        return taken
