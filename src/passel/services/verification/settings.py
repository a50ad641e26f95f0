"""What an organisation has chosen for its verifications: its profile, and the models that are asked."""

from dataclasses import asdict, dataclass, replace
from typing import Any

from passel.core.ids import OrgId
from passel.core.verification.profiles import PROFILES, UNLIMITED, Profile
from passel.services.deps import Deps


@dataclass(frozen=True, slots=True)
class OrgSettings:
    """`model` and `panel` are `provider:model`, or models of the OpenAI-compatible server at `base_url`; None and empty leave
    it to the server's own. `monthly_limit` counts verifications, None is without. Without `review` nobody is asked to decide
    what methods could not."""

    profile: str = UNLIMITED
    model: str | None = None
    base_url: str | None = None
    panel: tuple[str, ...] = ()
    monthly_limit: int | None = None
    review: bool = True

    @property
    def limits(self) -> Profile:
        return PROFILES[self.profile]

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"panel": list(self.panel)}

    @staticmethod
    def from_json(data: dict[str, Any]) -> "OrgSettings":
        return replace(OrgSettings(**data), panel=tuple(data.get("panel", ())))


async def of(deps: Deps, org_id: OrgId) -> OrgSettings:
    """As they are now, or were some seconds ago."""
    return OrgSettings.from_json(await deps.choices.of(org_id))
