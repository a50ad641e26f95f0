"""JSON Schemas, and values held against them.

Schemas are of draft 2020-12 unless they name another (`$schema`), and stand alone: what a `$ref` outside would fetch is
refused.
"""

from functools import lru_cache
from typing import Any

import jsonschema_rs
import orjson

from passel.core.text import clean

_SHOWN = 5
_LONGEST = 300


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
