"""Idempotency keys of items, in the database. Implements `passel.core.verification.keys`."""

from dataclasses import dataclass

from passel.core.context import Task
from passel.core.states import COMPLETED
from passel.core.verification.claims import Claim
from passel.core.verification.keys import Busy, Known, Mine, Standing, Taken, digests
from passel.services.deps import Deps
from passel.store import verifications as store
from passel.store.database import patiently


@dataclass(frozen=True, slots=True)
class VerificationKeys:
    deps: Deps

    async def claim(self, task: Task, key: str, claim: Claim) -> Standing:
        """Waits while the database is away."""
        content, request = digests(claim)

        async def ask() -> store.KeyHolder | None:
            async with self.deps.db.write() as c:
                return await store.claim_key(c, task.org_id, key, content, request, task.session_id)

        holder = await patiently(ask)
        if holder is None:
            return Busy()  # somebody took it in the same moment
        if holder.session_id == task.session_id:
            return Mine()
        if holder.content_hash != content:
            return Taken()
        if holder.state == COMPLETED and holder.result is not None:
            return Known(holder.result.get("reused", holder.session_id), holder.result)
        return Busy() if holder.request_hash == request else Mine()
