"""What an organisation has chosen for its verifications: its profile, and the models that are asked."""

import math
from dataclasses import asdict, dataclass, field, replace
from typing import Any
from urllib.parse import urlsplit

from passel.core.errors import Forbidden, Unprocessable
from passel.core.ids import OrgId
from passel.core.llm.options import split_ref
from passel.core.text import require_storable
from passel.core.verification import FORMAL, METHODS
from passel.core.verification.profiles import PROFILES, UNLIMITED, Profile
from passel.network import leads_inside
from passel.services.deps import Caller, Deps
from passel.store import accounts

_LONGEST = 2048


@dataclass(frozen=True, slots=True)
class OrgSettings:
    """`model` and `panel` are `provider:model`, or models of the OpenAI-compatible server at `base_url`; None and empty leave
    it to the server's own. `monthly_limit` counts verifications, None is without. Without `review` nobody is asked to decide
    what methods could not. `calibrators` are by method (`passel.core.verification.calibration`)."""

    profile: str = UNLIMITED
    model: str | None = None
    base_url: str | None = None
    panel: tuple[str, ...] = ()
    monthly_limit: int | None = None
    review: bool = True
    calibrators: dict[str, Any] = field(default_factory=dict[str, Any])

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


async def read(deps: Deps, org_id: OrgId) -> OrgSettings:
    """As they are now."""
    async with deps.db.read() as c:
        return OrgSettings.from_json(await accounts.find_settings(c, org_id))


async def change(deps: Deps, caller: Caller, org_id: OrgId, changes: dict[str, Any]) -> OrgSettings:
    """`changes` are fields of `OrgSettings`; what is not named stays. Raises `Unprocessable` for what cannot be, and `Forbidden`
    where an organisation would change limits that the one which owns it has set."""
    await _check(deps, changes)
    async with deps.db.write() as c:
        await accounts.lock_organisation(c, org_id)
        known = OrgSettings.from_json(await accounts.find_settings(c, org_id))
        new = replace(known, **changes)
        if org_id == caller.org_id and (new.profile, new.monthly_limit) != (known.profile, known.monthly_limit):
            found = await accounts.find_organisation(c, org_id)
            if found is not None and found.owner_id is not None:
                raise Forbidden("profile and monthlyLimit are set by the organisation that owns this one")
        await accounts.put_settings(c, org_id, new.to_json())
    deps.choices.forget(org_id)
    return new


async def _check(deps: Deps, changes: dict[str, Any]) -> None:
    profile, limit = changes.get("profile", UNLIMITED), changes.get("monthly_limit")
    if profile not in PROFILES:
        raise Unprocessable(f"profile must be one of {', '.join(PROFILES)}", field="profile")
    if limit is not None and not 0 <= limit < 2**53:
        raise Unprocessable("monthlyLimit must be a whole number from 0 on, or null for none", field="monthlyLimit")
    for method, told in changes.get("calibrators", {}).items():
        _check_calibrator(method, told)
    for n, ref in enumerate((changes.get("model"), *changes.get("panel", ()))):
        if ref is not None:
            _check_model(ref, f"panel[{n - 1}]" if n else "model")
    if (base_url := changes.get("base_url")) is not None:
        await _check_url(deps, base_url)


def _check_calibrator(method: str, told: dict[str, Any]) -> None:
    field = f"calibrators.{method}"
    if method not in METHODS or method == FORMAL:
        others = ", ".join(one for one in METHODS if one != FORMAL)
        raise Unprocessable(f"{field}: calibrators are of {others}", field=field)
    require_storable(told["version"], field)
    if not all(math.isfinite(told[name]) and abs(told[name]) < 1e6 for name in ("a", "b")):
        raise Unprocessable(f"{field}: a and b must be numbers", field=field)


def _check_model(ref: str, field: str) -> None:
    require_storable(ref, field)
    if not split_ref(ref)[1].strip() or len(ref) > _LONGEST:
        raise Unprocessable(f"{field} must name a model, such as openai:gpt-5.5, in at most {_LONGEST} characters", field=field)


async def _check_url(deps: Deps, url: str) -> None:
    require_storable(url, "baseUrl")
    try:
        host, scheme = urlsplit(url).hostname, urlsplit(url).scheme
    except ValueError:
        host = scheme = None
    if not host or scheme not in ("http", "https") or len(url) > _LONGEST:
        raise Unprocessable("baseUrl must be an absolute URL such as https://models.example.com/v1", field="baseUrl")
    if not deps.allow_private_urls and await leads_inside(host):
        raise Unprocessable(f"baseUrl leads to a private address ({host}), which this server does not allow", field="baseUrl")
