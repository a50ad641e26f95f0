"""How many browser sessions an organisation makes in a minute, where that is limited (D21 of the `anchor` contract). Counted in the
database, so that it is the same whichever API process is asked."""

from dataclasses import dataclass

from passel.core.errors import RateLimited
from passel.services.deps import Caller, Deps
from passel.store import browsers as store

WINDOW = 60


@dataclass(frozen=True, slots=True)
class Standing:
    """Of the `most` sessions of a minute `left` may still be made; in `seconds` it is over."""

    org_id: str
    most: int
    left: int
    seconds: int


class TooMany(RateLimited):
    def __init__(self, message: str, standing: Standing) -> None:
        super().__init__(message)
        self.standing = standing


async def take(deps: Deps, caller: Caller) -> Standing | None:
    """For one session that is about to be made. None where nobody counts. Raises `TooMany`."""
    return await _take(deps, caller, 1, "Session creation rate limit exceeded.")


async def take_batch(deps: Deps, caller: Caller, count: int) -> Standing | None:
    """The same for a batch, where batches count. One that is larger than a whole minute's limit can never be made."""
    if not deps.limits.batch_browsers_count:
        return None
    most = deps.limits.browsers_a_minute
    return await _take(deps, caller, count, f"Session creation rate limit exceeded: at most {most} a minute, and this batch has {count}.")


async def _take(deps: Deps, caller: Caller, count: int, refusal: str) -> Standing | None:
    """Counted before the session is made, by itself: whoever makes many waits for no other's transaction."""
    most, now = deps.limits.browsers_a_minute, deps.now()
    if not most:
        return None
    async with deps.db.write() as c:
        allowed = await store.count_if_fewer(c, caller.org_id, count, most, now) if count <= most else None
        minute = allowed or await store.find_minute(c, caller.org_id)
    passed = 0.0 if minute is None else (now - minute.began_at).total_seconds()
    seconds = max(1, min(WINDOW, WINDOW - int(passed)))
    left = most if minute is None or passed >= WINDOW else max(0, most - minute.made)
    standing = Standing(caller.org_id, most, left, seconds)
    if allowed is None:
        raise TooMany(refusal, standing)
    return standing
