"""Tools of an agent: what a version declares of them, and values held against their JSON Schemas.

Schemas are of draft 2020-12 unless they name another (`$schema`), and stand alone: what a `$ref` outside would fetch is
refused.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import jsonschema_rs
import orjson

from passel.core.text import clean

EXTERNAL = "external"

_SHOWN = 5
_LONGEST = 300


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


def schema_problem(schema: Any) -> str | None:
    """What makes `schema` no JSON Schema that stands alone; None when it is one."""
    try:
        _compile(orjson.dumps(schema))
    except (ValueError, TypeError, RecursionError, jsonschema_rs.ReferencingError) as error:
        return clean(str(error).split("\n", 1)[0])[:_LONGEST]
    return None


def problem(schema: dict[str, Any], value: Any) -> str | None:
    """What of a JSON value breaks a schema, up to five places with their paths; None when nothing does."""
    found: list[str] = []
    for error in _compile(orjson.dumps(schema)).iter_errors(value):
        place = ".".join(str(step) for step in error.instance_path)
        found.append(clean(f"{place}: {error.message}" if place else error.message)[:_LONGEST])
        if len(found) == _SHOWN:
            break
    return "; ".join(found) or None


@lru_cache(maxsize=1000)
def _compile(schema: bytes) -> Any:
    return jsonschema_rs.validator_for(orjson.loads(schema), retriever=_refuse)


def _refuse(uri: str) -> Any:
    raise ValueError(f"the schema refers to {uri[:200]}, and nothing is fetched: write it out under $defs")
