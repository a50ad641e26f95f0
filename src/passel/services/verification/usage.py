"""How many verifications an organisation has had this month, and whether it may have more."""

from dataclasses import dataclass

from passel.core.errors import QuotaExceeded
from passel.core.ids import OrgId
from passel.core.usage import percent, period_of
from passel.core.verification import KIND
from passel.services.deps import Caller, Deps
from passel.services.verification import settings
from passel.store import usage as store


@dataclass(frozen=True, slots=True)
class Usage:
    """Of a month in UTC, such as `2026-11`. `limit` None is none."""

    period: str
    used: int
    limit: int | None

    @property
    def percent(self) -> int | None:
        return None if self.limit is None else percent(self.used, self.limit)


async def get(deps: Deps, caller: Caller) -> Usage:
    return await _usage(deps, caller.org_id, (await settings.read(deps, caller.org_id)).monthly_limit)


async def _usage(deps: Deps, org_id: OrgId, limit: int | None) -> Usage:
    period = period_of(deps.now())
    async with deps.db.read() as c:
        return Usage(period, await store.find(c, org_id, KIND, period), limit)


async def require_room(deps: Deps, org_id: OrgId, count: int = 1) -> None:
    """Raises `QuotaExceeded` where this month's limit does not leave so many. What is under way is not counted yet, so that what is
    asked for at once may go over it."""
    limit = (await settings.of(deps, org_id)).monthly_limit
    if limit is not None and (now := await _usage(deps, org_id, limit)).used + count > limit:
        raise QuotaExceeded(f"Monthly limit of {limit} verifications is reached: {now.used} were used in {now.period}.")
