"""Source snapshots that came to nothing."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from passel.services.deps import Deps
from passel.store import agents as store
from passel.store.agents import Snapshot
from passel.store.database import WriteConnection

_GRACE = timedelta(hours=1)
"""For so long after its upload URL has expired a client may still ask what became of a snapshot."""


@dataclass(frozen=True, slots=True)
class StaleSnapshots:
    """Sweeps reservations that expired and archives that did not hold what was announced. The archive goes before the
    row, so that a sweep that breaks off leaves nothing that the next one would not find."""

    deps: Deps
    grace: timedelta = _GRACE

    async def doom(self, c: WriteConnection, limit: int) -> list[Snapshot]:
        return await store.fail_snapshots_if_stale(c, self.deps.now() - self.grace, limit)

    async def remove(self, doomed: Sequence[Snapshot]) -> None:
        for snapshot in doomed:
            if snapshot.blob_path is not None:
                await self.deps.blobs.delete(snapshot.blob_path)
        async with self.deps.db.write() as c:
            await store.delete_snapshots_if_failed(c, [snapshot.id for snapshot in doomed])
