"""What an organisation's profile allows (D4 of the `check` contract)."""

from dataclasses import replace

from passel.core.errors import Forbidden, QuotaExceeded
from passel.core.ids import OrgId
from passel.core.limits import Limits
from passel.core.verification.claims import Claim
from passel.services.deps import Caller, Deps
from passel.services.verification import settings


async def allowed(deps: Deps, org_id: OrgId, claim: Claim) -> Claim:
    """The claim, with whether a person decides what methods cannot. Raises `Forbidden` for a method outside the profile."""
    chosen = await settings.of(deps, org_id)
    for method in claim.methods:
        if method not in chosen.limits.methods:
            raise Forbidden(f"Method '{method}' is not available on the {chosen.profile} plan.")
    return claim if chosen.review else replace(claim, options=replace(claim.options, review=False))


async def batch_limits(deps: Deps, caller: Caller) -> Limits:
    """The server's limits, narrowed to those of the profile. Raises `QuotaExceeded` where it has no batches."""
    profile, server = (await settings.of(deps, caller.org_id)).limits, deps.limits
    if not profile.has_batches:
        raise QuotaExceeded(f"Batch processing is not available on the {profile.name} plan.")
    return replace(
        server,
        json_items=min(server.json_items, profile.batch_items or server.json_items),
        upload_bytes=min(server.upload_bytes, profile.upload_bytes or server.upload_bytes),
        upload_hours=min(server.upload_hours, profile.file_hours or server.upload_hours),
        result_days=min(server.result_days, profile.result_days or server.result_days),
    )
