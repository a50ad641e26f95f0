"""Workers in SQL: who works, and who is silent. Times are the database's own, which all workers share."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import orjson

from passel.core.ids import WorkerId
from passel.store.database import ReadConnection, WriteConnection
from passel.store.queries import SQL

ALIVE_LOCK = 7_254_110
"""With its id each worker holds this advisory lock in a connection that lives as long as its process."""


@dataclass(frozen=True, slots=True)
class Silence:
    """A worker is dead after `total` without a word, or after `unplugged` when its connection is gone too."""

    total: timedelta
    unplugged: timedelta


async def dead_workers(c: WriteConnection, silence: Silence) -> list[tuple[WorkerId, str]]:
    """Workers that are given up, with their names, under the locks of their rows."""
    rows = await c.fetch("dead_workers", silence.total, silence.unplugged, ALIVE_LOCK)
    return [(row["id"], row["name"]) for row in rows]


async def orphaning_workers(c: ReadConnection) -> list[WorkerId]:
    """Workers without a row that messages are still said to be with. There never should be any."""
    return [row["worker_id"] for row in await c.fetch("orphaning_workers")]


# On the connection that lives as long as the worker: these take it bare.


async def register_on(raw: Any, name: str, places: Mapping[str, int]) -> WorkerId:
    """Each call is another worker. `places` by kind."""
    return await raw.fetchval(SQL["register_worker"], name, list(places), orjson.dumps(dict(places)).decode())


async def beat_on(raw: Any, worker: WorkerId) -> bool:
    """False when this worker was given up for dead."""
    return await raw.fetchval(SQL["beat"], worker) is not None


async def hold_alive_lock(raw: Any, worker: WorkerId) -> bool:
    """Whether it is held now. Not waited for: an older connection of ours may hold it still, and goes by itself."""
    return await raw.fetchval(SQL["hold_alive_lock"], ALIVE_LOCK, worker)


async def sign_off_on(raw: Any, worker: WorkerId) -> None:
    """What is still with the worker is not handed back by this. May be repeated."""
    await raw.execute(SQL["sign_off"], worker)
