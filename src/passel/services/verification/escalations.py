"""What people are asked to decide, and deciding it."""

from collections.abc import Sequence

from passel.core.errors import Conflict, NotFound
from passel.core.verification.escalations import EXPIRED, PENDING, TIME_TO_DECIDE, Review, resolved, status
from passel.services.deps import Caller, Deps
from passel.services.verification.batches import PREFIX
from passel.store import escalations as store
from passel.store.changes import Changes, settle
from passel.store.escalations import Escalation

ESCALATION_PREFIX = "esc"


def id_of(verification_id: str) -> str:
    """An escalation has the id of its verification, with a prefix of its own."""
    return f"{ESCALATION_PREFIX}_{verification_id.partition('_')[2]}"


async def list_escalations(
    deps: Deps,
    caller: Caller,
    *,
    statuses: Sequence[str] | None,
    reasons: Sequence[str] | None,
    priorities: Sequence[str] | None,
    limit: int,
    offset: int,
) -> tuple[list[Escalation], int]:
    """Newest first, and how many there are."""
    async with deps.db.read() as c:
        return await store.list_escalations(
            c,
            caller.org_id,
            statuses=statuses,
            reasons=reasons,
            priorities=priorities,
            expired_before=deps.now() - TIME_TO_DECIDE,
            limit=limit,
            offset=offset,
        )


async def get(deps: Deps, caller: Caller, escalation_id: str) -> Escalation:
    """Raises `NotFound`, also for one of another organisation."""
    prefix, _, token = escalation_id.partition("_")
    async with deps.db.read() as c:
        found = await store.find_escalation(c, caller.org_id, f"{PREFIX}_{token}") if prefix == ESCALATION_PREFIX else None
    if found is None:
        raise NotFound("Escalation not found")
    return found


async def resolve(deps: Deps, caller: Caller, escalation_id: str, resolution: str, verdict: str | None, note: str | None) -> Escalation:
    """The verification's decision is from now on a person's. Raises `NotFound`, and `Conflict` for one that is decided, or
    whose deadline has passed."""
    found = await get(deps, caller, escalation_id)
    changes = Changes(deps.now(), deps.announcing)
    review = Review.of(resolution, verdict, note, caller.key_id, changes.now)
    async with deps.db.write() as c:
        held = await store.resolve(c, found, review.decided(found.result), resolved(review), changes.now - TIME_TO_DECIDE, changes)
        if held:
            await settle(c, changes, deps.capacity)
    found = await get(deps, caller, escalation_id)
    if not held:
        now = status(found.result, found.escalated_at, changes.now)
        raise Conflict("Escalation has expired" if now in (EXPIRED, PENDING) else "Escalation is already resolved")
    return found
