"""What a workload of agents is given when it is made, beside the models: where specs and files come from."""

from dataclasses import dataclass, field
from typing import Protocol

from passel.core.agent.spec import AgentSpec
from passel.core.ids import OrgId


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file that a message names. `size` in bytes; `data` is None for what was not asked for."""

    filename: str
    media_type: str
    size: int
    data: bytes | None = field(repr=False)


class Specs(Protocol):
    async def spec(self, version_id: str) -> AgentSpec:
        """What a version says."""
        ...


class Files(Protocol):
    async def read(self, org_id: OrgId, file_id: str, most: int) -> StoredFile:
        """A file of the organisation; without its bytes when it has more than `most`. Raises `KeyError` when there is
        none."""
        ...
