"""The rule that text must be storable.

PostgreSQL's jsonb takes no U+0000 and no lone surrogate, so neither may enter a ledger. What a client sends is
refused with the field's name; what a model or a server answers is cleaned, since refusing it would lose a paid answer.
"""

import re
from typing import Any, cast

from passel.core.errors import Unprocessable

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


def clean(text: str) -> str:
    """`text` with what no ledger can hold replaced by U+FFFD."""
    return _UNSTORABLE.sub("\ufffd", text)


def clean_json(value: Any) -> Any:
    """The same of every text in a JSON value; tuples become lists."""
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, dict):
        return {clean(name): clean_json(one) for name, one in cast(dict[str, Any], value).items()}
    return [clean_json(one) for one in cast(list[Any], value)] if isinstance(value, list | tuple) else value


def is_storable(text: str) -> bool:
    return _UNSTORABLE.search(text) is None


def leaf_name(filename: str) -> str:
    """The last part of a file's name, at most 255 printable characters; empty where there is none."""
    leaf = "".join(ch for ch in clean(filename).replace("\\", "/").rsplit("/", 1)[-1] if ch.isprintable())[:255]
    return "" if leaf in (".", "..") else leaf


def require_storable(text: str, field: str) -> str:
    """`text` itself. Raises `Unprocessable` with `field` when no ledger can hold it."""
    if not is_storable(text):
        raise Unprocessable(f"{field} holds a NUL character or half of a surrogate pair; remove it", field=field)
    return text
