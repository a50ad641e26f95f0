"""Admission: which held messages become ready, and the lanes that they wait in."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from passel.core.ids import BatchId, LaneId, OrgId
from passel.store.database import WriteConnection

READY_CHANNEL = "passel_ready"
EVICT_CHANNEL = "passel_evict"

_TOUCH_EVERY = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Capacity:
    """How many messages of a lane may hold a place at once, where the lane itself does not say: by the lane's class,
    else `default`."""

    default: int
    classes: Mapping[str, int] = field(default_factory=dict[str, int])


async def admit(c: WriteConnection, lanes: Sequence[LaneId], capacity: Capacity, now: datetime, *, locked: bool = False) -> int:
    """Fill the room of `lanes` from what batches hold back, and wake the workers. Returns how many became ready.

    `locked` says that the caller holds the locks of the lanes and of the batches that admission may count.
    """
    if not locked:
        await c.fetch("lock_lanes", lanes)
        await c.fetch("lock_batches", lanes, [])
    rows = await c.fetch("admit_items", lanes, list(capacity.classes), list(capacity.classes.values()), capacity.default, now)
    return sum(row["n"] for row in rows)


async def hold_back(c: WriteConnection, held: Mapping[tuple[OrgId, BatchId, LaneId], int]) -> None:
    """Count what batches hold back anew, under the locks of the lanes."""
    keys = sorted(held)
    org_ids, batch_ids, lanes = zip(*keys, strict=True)
    await c.execute("open_batch_lanes", org_ids, batch_ids, lanes, [held[key] for key in keys])


async def feed(c: WriteConnection, capacity: Capacity, now: datetime) -> int:
    """Fill lanes that have room and something held back. Returns how many messages became ready."""
    rows = await c.fetch("hungry_lanes", list(capacity.classes), list(capacity.classes.values()), capacity.default)
    return await admit(c, [row["id"] for row in rows], capacity, now) if rows else 0


async def ensure_lanes(c: WriteConnection, org_id: OrgId, names: Sequence[str], now: datetime) -> dict[str, LaneId]:
    """The ids of lanes, by name. They are made when they are new, and kept from being swept for a day. Those that were used
    lately need no lock for that."""
    wanted = set(names)
    rows = await c.fetch("find_lanes", org_id, list(wanted))
    lanes = {row["name"]: LaneId(row["id"]) for row in rows if now - row["used_at"] <= _TOUCH_EVERY}
    if others := sorted(wanted - lanes.keys()):
        lanes |= await _keep_lanes(c, org_id, others, now)
    return lanes


async def _keep_lanes(c: WriteConnection, org_id: OrgId, names: Sequence[str], now: datetime) -> dict[str, LaneId]:
    """Lanes that are not there, or that the sweeper might take just now."""
    rows = await c.fetch("hold_lanes", org_id, names)
    if len(rows) < len(names):
        await c.execute("create_lanes", org_id, names, now)
        rows = await c.fetch("hold_lanes", org_id, names)
    await c.execute("touch_lanes", [row["id"] for row in rows], now)
    return {row["name"]: row["id"] for row in rows}


async def sweep_lanes(c: WriteConnection, unused_since: datetime) -> int:
    """Remove lanes that nothing waits in and nobody has used since then. Returns how many."""
    return len(await c.fetch("sweep_lanes", unused_since))


async def recount_lanes(c: WriteConnection) -> list[str]:
    """Set right what lanes say of their places, of at most 100 at a time; returns the names of those that were wrong,
    which none ever should be."""
    lanes = [row["id"] for row in await c.fetch("lanes_to_recount")]
    if not lanes:
        return []
    await c.fetch("lock_lanes", lanes)
    return [row["name"] for row in await c.fetch("recount_lanes", lanes)]
