"""What the API asks of a browser that runs here, by name."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from passel.core.browser.events import API
from passel.workloads.browser.driver import Driver
from passel.workloads.browser.session import Live


class WrongCall(Exception):
    """`status` is what HTTP calls it."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


async def pages(live: Live, asked: Mapping[str, Any]) -> Any:
    """Each page's id, title and address, in the order in which they were opened."""
    driver = await Driver.of(live.chromium.mux)
    try:
        return [{"id": one["targetId"], "title": one["title"], "url": one["url"]} for one in reversed(await driver.pages())]
    finally:
        await driver.leave()


async def end(live: Live, asked: Mapping[str, Any]) -> Any:
    live.end(asked.get("reason", API))
    return {}


CALLS: Mapping[str, Callable[[Live, Mapping[str, Any]], Awaitable[Any]]] = {"pages": pages, "end": end}
