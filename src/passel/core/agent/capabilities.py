"""What a workload of agents is given when it is made, beside the models: where specs, keys and files come from."""

from dataclasses import dataclass, field
from typing import Protocol

from passel.core.agent.spec import AgentSpec
from passel.core.context import Task
from passel.core.ids import OrgId
from passel.core.llm.options import LlmOption


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file that a message names. `size` in bytes; `data` is None for what was not asked for."""

    filename: str
    media_type: str
    size: int
    data: bytes | None = field(repr=False)


class MissingKey(Exception):
    """The option names a key that is not stored; the message says which and how to store it."""


class Specs(Protocol):
    async def spec(self, version_id: str) -> AgentSpec:
        """What a version says."""
        ...


class Keys(Protocol):
    async def api_key(self, task: Task, option: LlmOption) -> str | None:
        """The key to call an option's model with; None when it is called without one. Raises `MissingKey`, and
        `NotReady` when a stored secret does not open."""
        ...


class Files(Protocol):
    async def read(self, org_id: OrgId, file_id: str, most: int) -> StoredFile:
        """A file of the organisation; without its bytes when it has more than `most`. Raises `KeyError` when there is
        none."""
        ...
