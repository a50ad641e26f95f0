"""What a worker's turns read: specs of versions, files. Implements `passel.core.agent.capabilities`."""

import asyncio
from collections import OrderedDict
from dataclasses import dataclass, field

from passel.core.agent.capabilities import StoredFile
from passel.core.agent.spec import AgentSpec
from passel.core.ids import OrgId
from passel.services import files
from passel.services.deps import Deps
from passel.store import agents
from passel.store.database import patiently

_CACHED = 1000


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
