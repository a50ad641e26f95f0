"""Signals (2.10 of the `anchor` contract): one program waits for what another one signals under a name, such as a code that a person was
sent. A signal may come before anybody waits for it, and is taken once."""

import hashlib
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

from passel.core.errors import Invalid, QuotaExceeded
from passel.services.deps import Caller, Deps
from passel.services.following import Following
from passel.store import signals as store

KEPT = timedelta(days=1)
_MOST = 1000
_LOOK_SECONDS = 5.0
_LONGEST_NAME = 255


async def signal(deps: Deps, caller: Caller, name: str, data: dict[str, Any]) -> None:
    """It is kept for a day. Raises `QuotaExceeded` where a thousand are waiting to be taken."""
    _check(name)
    now = deps.now()
    async with deps.db.write() as c:
        there_is_room = await store.insert(c, caller.org_id, name, data, now, _MOST, now - KEPT, _bell(caller, name))
    if not there_is_room:
        raise QuotaExceeded(f"{_MOST} signals wait to be taken")


async def wait(
    deps: Deps, caller: Caller, following: Following, name: str, seconds: float, gone: Callable[[], Awaitable[bool]]
) -> dict[str, Any] | None:
    """What is or will be signalled within so many seconds; None when nothing is. Who is `gone` takes nothing."""
    _check(name)
    until = deps.now() + timedelta(seconds=seconds)
    with following.bell.listening(_bell(caller, name)) as ring:
        while not await gone():
            async with deps.db.write() as c:
                data = await store.take(c, caller.org_id, name, deps.now() - KEPT)
            left = (until - deps.now()).total_seconds()
            if data is not None or left <= 0 or following.bell.closed:
                return data
            await ring.wait(min(left, _LOOK_SECONDS))
    return None


def _check(name: str) -> None:
    if not 0 < len(name) <= _LONGEST_NAME:
        raise Invalid(f"the name of an event has 1 to {_LONGEST_NAME} characters")


def _bell(caller: Caller, name: str) -> str:
    return f"signal/{caller.org_id}/{hashlib.sha256(name.encode()).hexdigest()}"
