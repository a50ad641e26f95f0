"""Reading YAML that strangers wrote: mappings, strings, known fields, each error with the field that it is about."""

from typing import Any, cast

import yaml

from passel.core.errors import Invalid
from passel.core.text import clean

MOST_BYTES = 256 * 1024


class _Loader(yaml.SafeLoader):
    """Refuses what makes a small file large (merge keys) or says a thing twice (a key that is repeated)."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        if "<<" in keys:
            raise yaml.YAMLError("merge keys (<<) are not allowed: write the fields out")
        twice = {str(key)[:50] for key in keys if keys.count(key) > 1} if len(keys) <= _MOST_KEYS else {"too many keys"}
        if twice:
            raise yaml.YAMLError(f"the key {sorted(twice)[0]} stands twice in one mapping")
        return super().construct_mapping(node, deep)


_MOST_KEYS = 1000


def load(text: bytes, file: str) -> object:
    """Raises `Invalid`, which names `file`."""
    if len(text) > MOST_BYTES:
        raise Invalid(f"{file} is larger than {MOST_BYTES // 1024} KiB", field=file)
    try:
        return yaml.load(text, _Loader)
    except (yaml.YAMLError, ValueError, LookupError, AttributeError, TypeError, OverflowError, RecursionError) as error:
        # the reader raises all of these for tags and numbers that are not what they say
        raise Invalid(f"{file} is not valid YAML: {clean(str(error))[:500]}", field=file) from error


def known(data: dict[str, Any], fields: set[str], where: str) -> None:
    unknown = sorted(set(data) - fields)
    if unknown:
        name = f"{where}.{unknown[0][:100]}"
        raise Invalid(f"{name} is not a field; known are {', '.join(sorted(fields))}", field=name)


def mapping(value: object, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise Invalid(f"{where} must be a mapping", field=where)
    mapping = cast(dict[object, Any], value)
    for key in mapping:
        if not isinstance(key, str):
            raise Invalid(f"{where} has a key that is not a string but {type(key).__name__}: put it in quotes", field=where)
        storable(key, where)
    return cast(dict[str, Any], mapping)


def string(value: object, where: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise Invalid(f"{where} is required and must be a non-empty string", field=where)
    return storable(value, where).strip()


def storable(text: str, where: str) -> str:
    if clean(text) != text:
        raise Invalid(f"{where} holds a NUL character or half of a surrogate pair; remove it", field=where)
    return text


def require_plain_path(path: str, where: str) -> None:
    if path.startswith("/") or any(segment in ("", ".", "..") for segment in path.split("/")):
        raise Invalid(f"{where} must be a relative path without `.` and `..`", field=where)


def whole_number(value: object, where: str, most: int) -> int:
    """From 1 to `most`."""
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
        raise Invalid(f"{where} must be a whole number from 1 to {most}", field=where)
    return value
