"""Signals between programs of an organisation, each taken by one who waits for its name."""

from datetime import datetime
from typing import Any

from passel.core.ids import OrgId
from passel.store.database import WriteConnection


async def insert(
    c: WriteConnection, org_id: OrgId, name: str, data: dict[str, Any], now: datetime, most: int, forgotten: datetime, bell: str
) -> bool:
    """Rings `bell`. False where `most` were not taken yet; older ones than `forgotten` do not count and go."""
    return await c.fetchrow("insert_signal", org_id, name, data, now, most, forgotten, bell) is not None


async def take(c: WriteConnection, org_id: OrgId, name: str, forgotten: datetime) -> dict[str, Any] | None:
    row = await c.fetchrow("take_signal", org_id, name, forgotten)
    return None if row is None else row["data"]
