"""Tools: one call on a session that is there, or on one that is made for it and ends with it."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from passel.core.browser.configuration import Configuration
from passel.core.errors import Unavailable
from passel.services.browser import sessions
from passel.services.browser.reach import Reach
from passel.services.browser.requests import BrowserRequest
from passel.services.deps import Caller, Deps
from passel.services.following import Following

_TAG = "tool"
_MOST_MINUTES = 5.0


async def use(deps: Deps, caller: Caller, following: Following, reach: Reach, id: str | None, do: str, asked: Mapping[str, Any]) -> Any:
    """Raises what `sessions.ask` raises, and `Unavailable` where no browser is free in time."""
    if id is not None:
        return await sessions.ask(deps, caller, reach, id, do, asked)
    async with _temporary(deps, caller, following, reach) as made:
        return await sessions.ask(deps, caller, reach, made, do, asked)


@asynccontextmanager
async def _temporary(deps: Deps, caller: Caller, following: Following, reach: Reach) -> AsyncGenerator[str]:
    """Also one whose client has gone ends, by its timer at the latest."""
    configuration = Configuration(tags=(_TAG,), idle_minutes=1.0, max_minutes=_MOST_MINUTES)
    begun = (await sessions.create(deps, caller, BrowserRequest(configuration))).session
    try:
        found = await sessions.wait_ready(deps, caller, following, begun.id)
        if found.address is None:
            raise Unavailable(f"no browser was there in time{f': {found.message.error}' if found.message.error else ''}")
        yield found.id
    finally:
        await sessions.end(deps, caller, reach, begun.id)
