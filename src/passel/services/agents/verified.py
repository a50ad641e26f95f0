"""Batches of agent sessions whose answers are verified as they end: what each answer is followed up with, and what came of it.

Tools that agents call may begin verifications in the same way: `Step.spawns`, with an effect that waits for its end.
"""

from dataclasses import dataclass, field
from typing import Any

from passel.core.agent.follow_up import REFUSED, FollowUp
from passel.core.states import COMPLETED, FAILED, QUEUED, RUNNING, Counts
from passel.core.verification import KIND
from passel.core.verification.claims import MOST_CHARACTERS, Claim, Options
from passel.services.batches import Batch, Result
from passel.services.deps import Caller, Deps
from passel.services.verification.batches import PREFIX
from passel.services.verification.models import lane_of, with_models
from passel.services.verification.usage import require_room
from passel.store import batches as store

VERIFY = "verify"
"""What a batch keeps of it in its spec."""


@dataclass(frozen=True, slots=True)
class Verify:
    """How answers are verified. The `context` is that of each."""

    methods: dict[str, float]
    options: Options
    context: dict[str, Any] = field(default_factory=dict[str, Any])

    def to_json(self) -> dict[str, Any]:
        return self._claim.to_json()

    @staticmethod
    def of_batch(batch: Batch) -> "Verify | None":
        if VERIFY not in batch.spec:
            return None
        claim = Claim.from_json(batch.spec[VERIFY])
        return Verify(claim.methods, claim.options, claim.context)

    @property
    def _claim(self) -> Claim:
        return Claim("", self.methods, self.context, self.options)

    async def follow_up(self, deps: Deps, caller: Caller, count: int) -> FollowUp:
        """What is begun with each of `count` answers. Raises what a verification would be refused with: `Unprocessable` where a model is
        needed and there is none, `Forbidden` for a method, `QuotaExceeded`."""
        claim = await with_models(deps, caller.org_id, self._claim, f"{VERIFY}.")
        await require_room(deps, caller.org_id, count)
        return FollowUp(KIND, PREFIX, lane_of(claim), MOST_CHARACTERS, claim.to_json(), {"metadata": {}})


@dataclass(frozen=True, slots=True)
class Verified:
    """What came of an item's verification. `state` is that of its message; one that could not begin has no `id`, and an `error`.
    `result` is what it concluded (`passel.core.verification.progress`), with a person's review if there was one."""

    id: str | None
    state: str | None
    result: dict[str, Any]
    error: str | None


def of_result(found: Result) -> Verified | None:
    """None as long as the item has no answer."""
    if (begun := found.follow_up) is not None:
        return Verified(begun.session_id, begun.state, begun.result or {}, begun.error)
    refused = (found.result or {}).get(REFUSED)
    return None if refused is None else Verified(None, None, {}, refused)


async def count(deps: Deps, batch: Batch) -> Counts | None:
    """The verifications that its answers have begun; None where it verifies none."""
    if VERIFY not in batch.spec:
        return None
    async with deps.db.read() as c:
        counts = await store.count_begun(c, batch.id)
    return Counts(*(counts[phase] for phase in (QUEUED, RUNNING, COMPLETED, FAILED)))
