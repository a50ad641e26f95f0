"""Organisations' own keys of model providers: stored sealed among the credentials, under names that no manifest can say."""

from passel.core.errors import NotFound, Unprocessable
from passel.core.llm.keys import provider_key_name
from passel.core.llm.options import LOCAL, PROVIDERS
from passel.core.text import require_storable
from passel.services.deps import Caller, Deps
from passel.store import accounts
from passel.store.accounts import Credential

HOSTED = tuple(provider for provider in PROVIDERS if provider != LOCAL)
_NAMES = {provider_key_name(provider): provider for provider in HOSTED}


async def put(deps: Deps, caller: Caller, provider: str, key: str) -> tuple[Credential, bool]:
    """Returns what is known of it and whether it is new. Raises `NotFound` for a provider that there is not, `Unprocessable` for a
    key that cannot be one."""
    name = _name(provider)
    require_storable(key, "key")
    if not key.strip() or len(key) > deps.limits.secret_chars:
        raise Unprocessable(f"key must have 1 to {deps.limits.secret_chars} characters", field="key")
    credential = Credential(caller.org_id, name, deps.ids.credential(), deps.now(), deps.now())
    async with deps.db.write() as c:
        return await accounts.put_credential(c, credential, deps.vault.seal(key.strip(), f"{caller.org_id}/{name}"))


async def list_keys(deps: Deps, caller: Caller) -> list[tuple[str, Credential]]:
    """Providers, and what is known of their keys."""
    async with deps.db.read() as c:
        return [(_NAMES[one.name], one) for one in await accounts.list_credentials(c, caller.org_id) if one.name in _NAMES]


async def delete(deps: Deps, caller: Caller, provider: str) -> None:
    """Raises `NotFound`, also when repeated. Workers may go on with it for some seconds."""
    async with deps.db.write() as c:
        if await accounts.delete_credential(c, caller.org_id, _name(provider)) is None:
            raise NotFound(f"No key of {provider} is stored")


def _name(provider: str) -> str:
    if provider not in HOSTED:
        raise NotFound(f"There is no provider {provider[:100]}; keys are of {', '.join(HOSTED)}")
    return provider_key_name(provider)
