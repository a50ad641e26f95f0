"""The keys that models are called with. Implements `passel.core.llm.keys`."""

import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from passel.core.context import Task
from passel.core.ids import OrgId
from passel.core.llm.keys import MissingKey
from passel.core.llm.options import LlmOption
from passel.services.deps import Deps
from passel.store import accounts
from passel.store.database import patiently

_CACHED = 1000
_CREDENTIAL_SECONDS = 5.0  # so long a replaced credential may still be used


@dataclass
class KeyRing:
    """Session key before session secret before credential before server key (section 7.4 of the `dari` contract).

    `server_keys` maps a provider to the key in the server's settings. It is used only where an option names neither a
    credential nor a base URL of its own, so it goes to nobody but that provider.
    """

    deps: Deps
    server_keys: Mapping[str, str] = field(repr=False)
    _credentials: "OrderedDict[tuple[OrgId, str], tuple[float, bytes | None]]" = field(default_factory=OrderedDict, repr=False)

    async def api_key(self, task: Task, option: LlmOption) -> str | None:
        own: dict[str, Any] = {}
        if task.secrets is not None:
            own = self.deps.vault.open(task.secrets, task.session_id)
        if own.get("llm_api_key"):
            return own["llm_api_key"]
        name = option.api_key_secret
        if name is None:
            return None if option.base_url else self.server_keys.get(option.provider)
        if name in own.get("secrets", {}):
            return own["secrets"][name]
        sealed = await self._credential(task.org_id, name)
        if sealed is None:
            raise MissingKey(f"the credential {name} that llm.api_key_secret names is not stored: `passel credentials set {name}`")
        return self.deps.vault.open(sealed, f"{task.org_id}/{name}")

    async def _credential(self, org_id: OrgId, name: str) -> bytes | None:
        """Sealed; one that is there is remembered for some seconds, since every turn asks."""
        known = self._credentials.get((org_id, name))
        if known and known[0] > time.monotonic():
            return known[1]

        async def read() -> bytes | None:
            async with self.deps.db.read() as c:
                return (await accounts.find_credentials(c, org_id, [name])).get(name)

        sealed = await patiently(read)
        self._credentials[org_id, name] = (time.monotonic() + (_CREDENTIAL_SECONDS if sealed else 0), sealed)
        if len(self._credentials) > _CACHED:
            self._credentials.popitem(last=False)
        return sealed
