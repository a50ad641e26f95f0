"""Sessions that other sessions begin: written with the step that says so (`passel.core.context.Spawn`)."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

import orjson

from passel.core import events
from passel.core.context import Spawn
from passel.core.ids import IdSource, LaneId, OrgId
from passel.core.states import RUNNING
from passel.store import admission
from passel.store.changes import Changes
from passel.store.database import WriteConnection
from passel.store.leases import Lease

Lanes = Mapping[tuple[OrgId, str], LaneId]


async def ensure_lanes(c: WriteConnection, spawns: Iterable[tuple[Lease, Spawn]], now: datetime) -> Lanes:
    """The lanes that they will wait in, which nobody sweeps for a day: in a transaction of its own, before the one that writes
    them, whose locks are in an order."""
    wanted = defaultdict[OrgId, set[str]](set)
    for lease, spawn in spawns:
        wanted[lease.org_id].add(spawn.lane)
    lanes: dict[tuple[OrgId, str], LaneId] = {}
    for org_id in sorted(wanted):
        found = await admission.ensure_lanes(c, org_id, sorted(wanted[org_id]), now)
        lanes |= {(org_id, name): id for name, id in found.items()}
    return lanes


async def insert(c: WriteConnection, spawns: Sequence[tuple[Lease, Spawn]], lanes: Lanes, ids: IdSource, changes: Changes) -> None:
    """Write them under the locks of the messages that begin them."""
    lane_ids = [lanes[lease.org_id, spawn.lane] for lease, spawn in spawns]
    await c.fetch(
        "insert_spawned",
        [lease.session_id for lease, _ in spawns],
        [spawn.id for _, spawn in spawns],
        [ids.message() for _ in spawns],
        [spawn.kind for _, spawn in spawns],
        [spawn.lane for _, spawn in spawns],
        lane_ids,
        [lease.place.batch_id for lease, _ in spawns],
        [orjson.dumps(spawn.spec) for _, spawn in spawns],
        [orjson.dumps(spawn.request) for _, spawn in spawns],
        events.session_state(RUNNING, events.IDLE).data,
        changes.now,
    )
    for (lease, spawn), lane_id in zip(spawns, lane_ids, strict=True):
        changes.begin(lease.org_id, lease.place.batch_id, lane_id, spawn.kind)
