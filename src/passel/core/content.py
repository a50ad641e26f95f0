"""Content blocks of a user message, and the rule that text must be storable.

PostgreSQL's jsonb takes no U+0000 and no lone surrogate, so neither may enter a ledger. What a client sends is
refused with the field's name; what a model answers is cleaned, since refusing it would lose a paid answer.
"""

import re
from dataclasses import dataclass
from typing import Any

from passel.core.errors import Unprocessable
from passel.core.ids import FileId

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Text:
    text: str


@dataclass(frozen=True, slots=True)
class FileRef:
    file_id: FileId
    image: bool = False


Block = Text | FileRef


def clean(text: str) -> str:
    """`text` with what no ledger can hold replaced by U+FFFD."""
    return _UNSTORABLE.sub("\ufffd", text)


def require_storable(text: str, field: str) -> str:
    if _UNSTORABLE.search(text):
        raise Unprocessable(f"{field} holds a NUL character or half of a surrogate pair; remove it", field=field)
    return text


def block_to_json(block: Block) -> dict[str, Any]:
    match block:
        case Text(text):
            return {"type": "text", "text": text}
        case FileRef(file_id, image):
            return {"type": "image" if image else "file", "file_id": file_id}
