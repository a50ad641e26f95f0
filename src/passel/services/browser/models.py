"""Which model a web task asks: chosen when it is begun, so that all of its steps ask the same."""

from dataclasses import replace

from passel.core.errors import Invalid, PasselError
from passel.core.ids import OrgId
from passel.core.llm.keys import provider_key_name
from passel.core.llm.options import LOCAL, OPENAI, OPENROUTER, PROVIDERS, LlmOption, split_ref
from passel.core.text import require_storable
from passel.services.deps import Deps
from passel.store import accounts

_LONGEST = 200


class NoModel(PasselError):
    """Web tasks have no model here."""

    code = "no_model"


async def choose(deps: Deps, org_id: OrgId, provider: str | None, model: str | None) -> LlmOption:
    """What a client names, else the server's. With the organisation's own key, where it has stored one (BYOK); never for an address
    that the server's operator chose. Raises `NoModel`, and `Invalid` for what cannot be asked."""
    for field, value in (("provider", provider), ("model", model)):
        require_storable(value or "", field)
        if len(value or "") > _LONGEST:
            raise Invalid(f"{field}: at most {_LONGEST} characters", field=field)
    option = _named(deps, provider or None, model or None)
    if option.provider == LOCAL or option.base_url is not None:
        return option
    name = provider_key_name(option.provider)
    async with deps.db.read() as c:
        own = (await accounts.find_credentials(c, org_id, [name])).get(name)
    if own is not None:
        return replace(option, api_key_secret=name)
    if option.provider not in deps.key_providers:
        needed = f"{option.provider.upper()}_API_KEY on the server, or the organisation's own with PUT /v1/provider-keys/{option.provider}"
        raise NoModel(f"no API key for {option.ref}: set {needed}")
    return option


def _named(deps: Deps, provider: str | None, model: str | None) -> LlmOption:
    rules = deps.web_tasks
    if provider is not None and provider not in PROVIDERS:
        raise Invalid(f"provider: {provider} is not supported by this server, which has {', '.join(PROVIDERS)}", field="provider")
    if provider is None and model is None:
        if rules.model is None:
            raise NoModel("web tasks need a model: set PASSEL_WEB_TASK_MODEL on the server to `provider:model`, or name provider and model")
        return _of_server(deps, rules.model)
    if model is None or not model.strip():
        raise Invalid(f"model: name a model of {provider}", field="model")
    if _has_provider(model):
        named, name = split_ref(model)
        if not name.strip() or provider not in (None, named):
            raise Invalid(f"model: {model} is no model of {provider or named}", field="model")
        return _checked(deps, LlmOption(named, name))
    if provider is not None:
        return _checked(deps, LlmOption(provider, model))
    if rules.model is None:
        raise Invalid("provider: say whose model this is", field="provider")
    return _of_server(deps, model if rules.base_url is not None else f"{split_ref(rules.model)[0]}:{model}")


def _has_provider(model: str) -> bool:
    return split_ref(model)[0] != OPENROUTER or model.startswith("openrouter:")


def _of_server(deps: Deps, ref: str) -> LlmOption:
    rules = deps.web_tasks
    if rules.base_url is not None:
        return LlmOption(OPENAI, ref.removeprefix(f"{OPENAI}:"), rules.base_url, price=rules.price)
    return LlmOption(*split_ref(ref))


def _checked(deps: Deps, option: LlmOption) -> LlmOption:
    """Raises `Invalid` for a client's model that is a file of the server."""
    if option.provider == LOCAL and ("/" in option.model or option.model.endswith(".gguf")) and not deps.allow_private_urls:
        raise Invalid("model: names a file of the server, which this server does not allow", field="model")
    return option
