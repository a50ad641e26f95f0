"""What a worker's turns read: specs of versions, keys of models, files. Implements `passel.core.agent.capabilities`."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from passel.core.agent.capabilities import MissingKey, StoredFile
from passel.core.agent.spec import AgentSpec
from passel.core.context import Task
from passel.core.ids import OrgId
from passel.core.llm.options import LlmOption
from passel.services import files
from passel.services.deps import Deps
from passel.store import accounts, agents
from passel.store.database import patiently

_CACHED = 1000
_CREDENTIAL_SECONDS = 5.0  # so long a replaced credential may still be used


@dataclass
class VersionSpecs:
    """Specs of versions never change, so the thousand that were used last are kept. Waits while the database is
    away."""

    deps: Deps
    _specs: "OrderedDict[str, AgentSpec]" = field(default_factory=OrderedDict)
    _reading: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def spec(self, version_id: str) -> AgentSpec:
        if (spec := self._known(version_id)) is None:
            async with self._reading:  # a worker that has just started begins hundreds of turns of one version at once
                spec = self._known(version_id) or await self._read(version_id)
        return spec

    def _known(self, version_id: str) -> AgentSpec | None:
        if version_id in self._specs:
            self._specs.move_to_end(version_id)
        return self._specs.get(version_id)

    async def _read(self, version_id: str) -> AgentSpec:
        async def read() -> AgentSpec:
            async with self.deps.db.read() as c:
                version = await agents.find_version(c, version_id)
            assert version is not None, f"sessions keep their version, but {version_id} is gone"
            return version.spec

        spec = self._specs[version_id] = await patiently(read)
        if len(self._specs) > _CACHED:
            self._specs.popitem(last=False)
        return spec


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


@dataclass(frozen=True, slots=True)
class AttachedFiles:
    """Files of the organisation that the task belongs to, and of no other."""

    deps: Deps

    async def read(self, org_id: OrgId, file_id: str, most: int) -> StoredFile:
        async def find() -> files.KnownFiles:
            async with self.deps.db.read() as c:
                return await files.look_up(c, org_id, [file_id])

        file = (await patiently(find)).files[file_id]
        data = await self.deps.blobs.get(file.blob_path) if file.size_bytes <= most else None
        return StoredFile(file.filename, file.media_type, file.size_bytes, data)
