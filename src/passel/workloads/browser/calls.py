"""What the API asks of a browser that runs here, by name."""

from collections.abc import Mapping
from typing import Any

from passel.core.browser.events import API
from passel.workloads.browser.session import Call, Live


class WrongCall(Exception):
    """`status` is what HTTP calls it."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


async def pages(live: Live, asked: Mapping[str, Any]) -> Any:
    """Each page's id, title and address, in the order in which they were opened."""
    return [{"id": tab.id, "title": tab.title, "url": tab.url} for tab in await live.tabs.read()]


async def end(live: Live, asked: Mapping[str, Any]) -> Any:
    live.end(asked.get("reason", API))
    return {}


QUIET = frozenset({"pages", "end", "recording"})
"""Calls that do not count as a use of the session: it may be idle all the same (D6)."""

CALLS: Mapping[str, Call] = {"pages": pages, "end": end}
