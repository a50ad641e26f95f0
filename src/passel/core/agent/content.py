"""Content blocks of a user's message."""

from dataclasses import dataclass
from typing import Any

from passel.core.ids import FileId


@dataclass(frozen=True, slots=True)
class Text:
    text: str


@dataclass(frozen=True, slots=True)
class FileRef:
    """An `image` is shown to the model; of another file it is told the text, if there is one."""

    file_id: FileId
    image: bool = False


Block = Text | FileRef


def block_to_json(block: Block) -> dict[str, Any]:
    """The block as a ledger keeps it."""
    match block:
        case Text(text):
            return {"type": "text", "text": text}
        case FileRef(file_id, image):
            return {"type": "image" if image else "file", "file_id": file_id}
