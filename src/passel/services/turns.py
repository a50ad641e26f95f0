"""What an attempt needs to know beyond its claim: the version's spec, and the key to call the model with."""

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any

from passel.core.context import StoredFile, Turn
from passel.core.ids import VersionId
from passel.core.llm import AgentSpec, LlmOption
from passel.services import files
from passel.services.deps import Deps
from passel.store import accounts as account_store
from passel.store import agents as agent_store
from passel.store.database import patiently
from passel.store.turns import Claim

_CACHED_SPECS = 1000


@dataclass
class TurnLoader:
    """Specs of versions never change, so they are kept; credentials may, so they are read each time.

    `server_keys` maps a provider to the key in the server's settings. It is used only where an option names
    neither a credential nor a base URL of its own, so it goes to nobody but that provider.
    """

    deps: Deps
    server_keys: dict[str, str] = field(repr=False)
    _specs: "OrderedDict[VersionId, AgentSpec]" = field(default_factory=OrderedDict)

    async def load(self, claim: Claim) -> Turn:
        spec = await self._spec(claim.version_id)
        option = spec.option(claim.llm_id)
        lease = claim.lease
        key = await self._api_key(claim, option)
        return Turn(lease.org_id, lease.session_id, lease.message_id, lease.attempt, claim.llm_id, spec, option, key, claim.ledger)

    async def _spec(self, version_id: VersionId) -> AgentSpec:
        if version_id in self._specs:
            self._specs.move_to_end(version_id)
            return self._specs[version_id]

        async def read() -> AgentSpec:
            async with self.deps.db.read() as c:
                version = await agent_store.find_version(c, version_id)
            assert version is not None, f"sessions keep their version, but {version_id} is gone"
            return version.spec

        spec = self._specs[version_id] = await patiently(read)
        if len(self._specs) > _CACHED_SPECS:
            self._specs.popitem(last=False)
        return spec

    async def _api_key(self, claim: Claim, option: LlmOption) -> str | None:
        """Session key before session secret before credential before server key (section 7.4 of the contract)."""
        own: dict[str, Any] = {}
        if claim.secrets is not None:
            own = self.deps.vault.open(claim.secrets, claim.lease.session_id)
        if own.get("llm_api_key"):
            return own["llm_api_key"]
        name = option.api_key_secret
        if name is None:
            return None if option.base_url else self.server_keys.get(option.provider)
        if name in own.get("secrets", {}):
            return own["secrets"][name]

        async def read() -> bytes | None:
            async with self.deps.db.read() as c:
                return (await account_store.find_credentials(c, claim.lease.org_id, [name])).get(name)

        sealed = await patiently(read)
        return None if sealed is None else self.deps.vault.open(sealed, f"{claim.lease.org_id}/{name}")

    async def read_file(self, turn: Turn, file_id: str) -> StoredFile:
        async def read() -> files.KnownFiles:
            async with self.deps.db.read() as c:
                return await files.look_up(c, turn.org_id, [file_id])

        file = (await patiently(read)).files[file_id]
        return StoredFile(file.filename, file.media_type, await self.deps.blobs.get(files.path_of(file)))
