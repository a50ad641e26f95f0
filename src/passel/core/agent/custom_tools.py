"""`custom_tools` of a manifest: what each entry and its `tool.yml` say (sections 6.2 and 6.4 of the `dari` contract).

Served now are tools of the kind `external`, which the client runs. Those that would run here are refused by name.
"""

import re
from collections.abc import Mapping
from typing import Any, cast

import orjson

from passel.core.agent.fields import known, load, mapping, require_plain_path, string, whole_number
from passel.core.agent.tools import EXTERNAL, ToolSpec
from passel.core.errors import Invalid
from passel.core.schemas import schema_problem

BUILT_IN = ("read", "bash", "edit", "write", "grep", "find", "ls")

_ENTRY = {
    "name",
    "path",
    "kind",
    "description",
    "timeout_seconds",
    "input_schema_json",
    "output_schema_json",
    "runtime",
    "handler",
    "retries",
}
_TOOL_FILE = {"name", "description", "input_schema", "output_schema", "timeout_seconds", "runtime", "handler", "retries", "kind"}
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")  # what models take as the name of a function
_DAY, _LONGEST_TIMEOUT = 24 * 3600, 30 * 24 * 3600
_MOST_TOOLS, _LONGEST_DESCRIPTION, _LARGEST_SCHEMA = 128, 10_000, 64 * 1024


def custom_tools(value: object, files: Mapping[str, bytes]) -> tuple[dict[str, ToolSpec], dict[str, str]]:
    """The tools and their directories, by name, in the order of the manifest. Raises `Invalid`."""
    if value is None:
        return {}, {}
    if not isinstance(value, list):
        raise Invalid("custom_tools must be a list", field="custom_tools")
    entries = cast(list[object], value)
    if len(entries) > _MOST_TOOLS:
        raise Invalid(f"custom_tools has {len(entries)} entries; {_MOST_TOOLS} are allowed", field="custom_tools")
    tools: dict[str, ToolSpec] = {}
    paths: dict[str, str] = {}
    for n, entry in enumerate(entries):
        tool, path = _tool(mapping(entry, f"custom_tools[{n}]"), f"custom_tools[{n}]", files)
        if tool.name in tools:
            raise Invalid(f"custom_tools[{n}].name: there are two tools {tool.name}", field=f"custom_tools[{n}].name")
        tools[tool.name], paths[tool.name] = tool, path
    return tools, paths


def _tool(entry: dict[str, Any], where: str, files: Mapping[str, bytes]) -> tuple[ToolSpec, str]:
    known(entry, _ENTRY, where)
    name = string(entry.get("name"), f"{where}.name")
    if not _NAME.fullmatch(name):
        raise Invalid(f"{where}.name must be 1 to 64 letters, digits, `_` and `-`", field=f"{where}.name")
    if name in BUILT_IN:
        raise Invalid(f"{where}.name: {name} is a built-in tool; choose another name", field=f"{where}.name")
    path = _directory(entry, where, files)
    file = f"{path}/tool.yml"
    told = mapping(load(files[file], file), file) if file in files else {}
    known(told, _TOOL_FILE, file)
    _require_external(entry, told, where, file)
    description = entry.get("description", told.get("description"))
    if description is not None or not told:
        description = string(description, f"{where}.description")
    if len(description or "") > _LONGEST_DESCRIPTION:
        raise Invalid(f"{where}.description is longer than {_LONGEST_DESCRIPTION} characters", field=f"{where}.description")
    inputs = _schema("input", entry, told, where, path, files)
    outputs = _schema("output", entry, told, where, path, files)
    timeout = entry.get("timeout_seconds", told.get("timeout_seconds", _DAY))
    seconds = whole_number(timeout, f"{where}.timeout_seconds", _LONGEST_TIMEOUT)
    return ToolSpec(name, description or name, inputs or {"type": "object"}, outputs, seconds), path


def _directory(entry: dict[str, Any], where: str, files: Mapping[str, bytes]) -> str:
    """The tool's directory; it must be there, unless the entry says everything itself."""
    path = string(entry.get("path"), f"{where}.path").removesuffix("/")
    require_plain_path(path, f"{where}.path")
    if not path.startswith("tools/"):
        raise Invalid(f"{where}.path must lie under tools/", field=f"{where}.path")
    if not any(name.startswith(f"{path}/") for name in files):
        raise Invalid(f"{where}.path names {path}, which is not in the bundle", field=f"{where}.path")
    return path


def _require_external(entry: dict[str, Any], told: dict[str, Any], where: str, file: str) -> None:
    kind = entry.get("kind", told.get("kind"))
    if kind == "main":
        raise Invalid(
            f"{where}: tools of the kind main need a sandbox, which this server does not have yet: "
            "write `kind: external` and answer its calls yourself, or remove it",
            field=f"{where}.kind",
        )
    if kind != EXTERNAL:
        raise Invalid(f"{where}.kind is required: `external` or `main`", field=f"{where}.kind")
    for data, place in ((entry, where), (told, file)):
        for name in ("runtime", "handler", "retries"):
            if name in data:
                raise Invalid(f"{place}.{name}: an external tool is run by the client; remove it", field=f"{place}.{name}")


def _schema(
    which: str, entry: dict[str, Any], told: dict[str, Any], where: str, path: str, files: Mapping[str, bytes]
) -> dict[str, Any] | None:
    """The schema `which`: inline in the entry, or in a file that `tool.yml` names."""
    inline = entry.get(f"{which}_schema_json")
    if inline is not None:
        return _checked(
            _parsed(inline, f"{where}.{which}_schema_json") if isinstance(inline, str) else inline, f"{where}.{which}_schema_json"
        )
    field = f"{path}/tool.yml: {which}_schema"
    name = told.get(f"{which}_schema")
    if name is None:
        return None
    if isinstance(name, dict):
        return _checked(cast(object, name), field)
    require_plain_path(string(name, field), field)
    if f"{path}/{name}" not in files:
        raise Invalid(f"{field} names {name}, which is not in {path}", field=field)
    return _checked(_parsed(files[f"{path}/{name}"], f"{path}/{name}"), f"{path}/{name}")


def _parsed(text: str | bytes, where: str) -> object:
    if len(text) > _LARGEST_SCHEMA:
        raise Invalid(f"{where} is larger than {_LARGEST_SCHEMA // 1024} KiB", field=where)
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise Invalid(f"{where} is not JSON: {error}", field=where) from error


def _checked(schema: object, where: str) -> dict[str, Any]:
    found = mapping(schema, where)
    wrong = schema_problem(found)
    if wrong is not None:
        raise Invalid(f"{where} is no JSON Schema: {wrong}", field=where)
    if b"\\u0000" in orjson.dumps(found):
        raise Invalid(f"{where} holds a NUL character; remove it", field=where)
    return found
