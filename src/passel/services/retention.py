"""What is kept for a while only: sessions and batches of whatever kind that ended long ago, where the operator says so, and
the order in which all that happens is told."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from passel.core.ids import BatchId, SessionId
from passel.services.deps import Deps
from passel.store import deleting, org_ledger
from passel.store.database import WriteConnection


@dataclass(frozen=True, slots=True)
class OldSessions:
    """Sweeps sessions of no batch in which nothing has happened for `keep`. They have gone with the first step."""

    deps: Deps
    keep: timedelta

    async def doom(self, c: WriteConnection, limit: int) -> list[SessionId]:
        quiet_since = self.deps.now() - self.keep
        old = await deleting.old_sessions(c, quiet_since, limit)
        return await deleting.delete_if_idle(c, old, self.deps.now(), quiet_since) if old else []

    async def remove(self, doomed: Sequence[SessionId]) -> None:
        return


@dataclass(frozen=True, slots=True)
class OldBatches:
    """Sweeps batches that have expired, and those that finished longer ago than `keep`, unless that is None. What they consist of is deleted in steps, by
    `passel.engine.duties.Deleter`."""

    deps: Deps
    keep: timedelta | None

    async def doom(self, c: WriteConnection, limit: int) -> list[BatchId]:
        now = self.deps.now()
        return await deleting.doom_old_batches(c, None if self.keep is None else now - self.keep, now, limit)

    async def remove(self, doomed: Sequence[BatchId]) -> None:
        return


@dataclass(frozen=True, slots=True)
class OldOrder:
    """Sweeps what the firehose is read by, of events longer ago than `keep`. The events themselves stay."""

    deps: Deps
    keep: timedelta

    async def doom(self, c: WriteConnection, limit: int) -> range:
        return range(await org_ledger.forget(c, self.deps.now() - self.keep, limit))

    async def remove(self, doomed: Sequence[int]) -> None:
        return
