"""Tools of an agent: what a version declares of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from passel.core.schemas import problem

EXTERNAL = "external"


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """A tool whose calls the client answers. `timeout_seconds` is how long a call waits for that."""

    name: str
    description: str
    input_schema: dict[str, Any]
    output_schema: dict[str, Any] | None
    timeout_seconds: float

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "description": self.description,
            "input_schema": self.input_schema,
            "output_schema": self.output_schema,
            "timeout_seconds": self.timeout_seconds,
        }

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> "ToolSpec":
        return ToolSpec(data["name"], data["description"], data["input_schema"], data["output_schema"], data["timeout_seconds"])

    def input_problem(self, arguments: Any) -> str | None:
        """What of a call's arguments breaks the schema; None when nothing does."""
        return problem(self.input_schema, arguments)

    def output_problem(self, result: Any) -> str | None:
        """What of a result breaks the schema; None when nothing does, or there is no schema."""
        return None if self.output_schema is None else problem(self.output_schema, result)
