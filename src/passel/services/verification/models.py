"""Which models the methods of a verification ask: chosen once, when it is made, so that every try asks the same."""

from dataclasses import replace

from passel.core.errors import FieldError, Unprocessable
from passel.core.ids import OrgId
from passel.core.llm.keys import provider_key_name
from passel.core.llm.options import LOCAL, OPENAI, LlmOption, lane_name, split_ref
from passel.core.text import require_storable
from passel.core.verification import ASKING
from passel.core.verification.calibration import Calibrator
from passel.core.verification.claims import Claim
from passel.services.deps import Deps
from passel.services.verification import settings
from passel.services.verification.allowance import allowed
from passel.store import accounts

LANE = "verification/methods"

_HOW = (
    "needs a model: set PASSEL_VERIFICATION_MODEL to `provider:model`, give the organisation one (`model` in PUT /v1/settings), "
    "or name one in options.model"
)


async def with_models(deps: Deps, org_id: OrgId, claim: Claim, place: str = "") -> Claim:
    """The claim with what its methods ask. Raises `Unprocessable` for a model that cannot be, and where all of its methods
    need one and there is none (D42); and `Forbidden` for a method that the organisation's profile does not have. `place` is where its
    fields stand in the body."""
    claim = await allowed(deps, org_id, claim)
    asked = claim.options.model
    chosen = [_named(deps, asked, f"{place}options.model")] if asked is not None else await _set_up(deps, org_id)
    if not chosen and all(method in ASKING for method in claim.methods):
        method = next(iter(claim.methods))
        raise Unprocessable(f"{method} {_HOW}", errors=[FieldError(f"{place}methods.{method}", f"{method} {_HOW}")])
    calibrators = {method: Calibrator(**one) for method, one in (await settings.of(deps, org_id)).calibrators.items()}
    return replace(claim, models=tuple(await _with_keys(deps, org_id, chosen)), calibrators=calibrators)


async def _set_up(deps: Deps, org_id: OrgId) -> list[LlmOption]:
    """The organisation's own choice, or else the server's."""
    own = await settings.of(deps, org_id)
    if own.model is not None:
        return _options(deps, [own.model, *own.panel], own.base_url, None)
    defaults = deps.verification_models
    return _options(deps, [ref for ref in (defaults.model, *defaults.panel) if ref], defaults.base_url, defaults.price)


def _options(deps: Deps, refs: list[str], base_url: str | None, price: dict[str, float] | None) -> list[LlmOption]:
    if base_url is None:
        return [_named(deps, ref, "model") for ref in dict.fromkeys(refs)]
    names = dict.fromkeys(ref.removeprefix(f"{OPENAI}:") for ref in refs)
    return [LlmOption(OPENAI, name, base_url, price=price) for name in names]


def _named(deps: Deps, ref: str, field: str) -> LlmOption:
    provider, model = split_ref(require_storable(ref, field))
    if not model.strip():
        raise Unprocessable(f"{field} must name a model, such as openai:gpt-5.5 or local:smollm2", field=field)
    if provider == LOCAL and ("/" in model or model.endswith(".gguf")) and not deps.allow_private_urls:
        raise Unprocessable(f"{field} names a file of the server, which this server does not allow", field=field)
    return LlmOption(provider, model)


async def _with_keys(deps: Deps, org_id: OrgId, chosen: list[LlmOption]) -> list[LlmOption]:
    """With the organisation's own keys, where it stored some (BYOK): for the provider, or for an address that it chose itself, never
    for one that the server's operator did."""
    foreign = deps.verification_models.base_url
    asked = [option for option in chosen if option.provider != LOCAL and (option.base_url is None or option.base_url != foreign)]
    names = sorted({provider_key_name(option.provider) for option in asked})
    if not names:
        return chosen
    async with deps.db.read() as c:
        stored = await accounts.find_credentials(c, org_id, names)
    own = {name for name in names if stored.get(name) is not None}
    keyed = [option for option in asked if provider_key_name(option.provider) in own]
    return [replace(option, api_key_secret=provider_key_name(option.provider)) if option in keyed else option for option in chosen]


def lane_of(claim: Claim) -> str:
    """Verifications that ask the same model with the same key stand in one line."""
    asks = claim.models and any(method in ASKING for method in claim.methods)
    return lane_name(claim.models[0], None, {}) if asks else LANE
