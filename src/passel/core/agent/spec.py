"""What a published version of an agent says, with its files read: all that a turn needs."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from passel.core.agent.follow_up import FollowUp
from passel.core.agent.tools import ToolSpec
from passel.core.llm.options import LlmOption

FOLLOW_UP = "follow_up"


@dataclass(frozen=True, slots=True)
class AgentSpec:
    """`llms` by the ids of the manifest's options. A manifest with a single `llm` has it under None, and `default_llm`
    is None."""

    name: str
    system_prompt: str
    default_llm: str | None
    llms: dict[str | None, LlmOption]
    tools: dict[str, ToolSpec] = field(default_factory=dict[str, ToolSpec])

    def option(self, llm_id: str | None) -> LlmOption:
        """The option of that id; of the default when `llm_id` is None. KeyError when there is none."""
        return self.llms[self.default_llm if llm_id is None else llm_id]

    def to_json(self) -> dict[str, Any]:
        """As a version's row keeps it. `llms` are pairs, since an id may be None."""
        options = [[key, option.to_json()] for key, option in self.llms.items()]
        tools = [tool.to_json() for tool in self.tools.values()]
        return {
            "name": self.name,
            "system_prompt": self.system_prompt,
            "default": self.default_llm,
            "llms": options,
            "tools": tools,
        }

    @staticmethod
    def from_json(data: dict[str, Any]) -> "AgentSpec":
        llms = {key: LlmOption(**option) for key, option in data["llms"]}
        tools = {tool["name"]: ToolSpec.from_json(tool) for tool in data["tools"]}
        return AgentSpec(data["name"], data["system_prompt"], data["default"], llms, tools)


@dataclass(frozen=True, slots=True)
class SessionSpec:
    """What the session of an agent keeps as its spec. `llm_id` None is the version's default. `follow_up` is begun with the answer to its
    first message."""

    version_id: str
    llm_id: str | None = None
    internet_access: bool = False
    follow_up: FollowUp | None = None

    def to_json(self) -> dict[str, Any]:
        spec = {"version_id": self.version_id, "llm_id": self.llm_id, "internet_access": self.internet_access}
        return spec if self.follow_up is None else spec | {FOLLOW_UP: self.follow_up.to_json()}

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> "SessionSpec":
        return SessionSpec(data["version_id"], data["llm_id"], data["internet_access"], FollowUp.from_json(data.get(FOLLOW_UP)))
