"""Uploaded files that messages refer to."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from passel.core.errors import NotFound, TooLarge, Unprocessable
from passel.core.ids import OrgId
from passel.core.text import require_storable
from passel.services.deps import Caller, Deps
from passel.store import files as store
from passel.store.database import ReadConnection
from passel.store.files import File

IMAGES = {"image/png", "image/jpeg", "image/gif", "image/webp"}
TEXT = "text/plain"
_BINARY = "application/octet-stream"


def sniff(data: bytes) -> str:
    """The media type that the first bytes show; text when all of it is UTF-8."""
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if data.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if data.startswith((b"GIF87a", b"GIF89a")):
        return "image/gif"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        return _BINARY
    return _BINARY if "\x00" in text else TEXT


async def upload(deps: Deps, caller: Caller, filename: str, data: bytes) -> File:
    if len(data) > deps.limits.file_bytes:
        raise TooLarge(f"a file may have {deps.limits.file_bytes} bytes")
    leaf = "".join(ch for ch in filename.replace("\\", "/").rsplit("/", 1)[-1] if ch.isprintable())[:255]
    leaf = "file" if leaf in ("", ".", "..") else leaf
    require_storable(leaf, "filename")
    digest = hashlib.sha256(data).hexdigest()
    file = File(caller.org_id, deps.ids.file(), leaf, sniff(data), len(data), digest, deps.now())
    await deps.blobs.put(path_of(file), data)
    async with deps.db.write() as c:
        await store.insert_file(c, file)
    return file


def path_of(file: File) -> str:
    return f"files/{file.org_id}/{file.id}"


@dataclass(frozen=True, slots=True)
class KnownFiles:
    """Looks content blocks over against the files that they name."""

    org_id: OrgId
    files: dict[str, File]

    def problem(self, content: Sequence[dict[str, Any]]) -> tuple[str, str] | None:
        """What is wrong with the first bad block: `missing` or `unusable`, and a sentence."""
        for block in content:
            if block["type"] == "text":
                continue
            file = self.files.get(block["file_id"])
            if file is None or file.org_id != self.org_id:
                return "missing", f"there is no file {block['file_id']}"
            if block["type"] == "image" and file.media_type not in IMAGES:
                return "unusable", f"{file.filename} ({file.id}) is no image: png, jpeg, gif and webp are"
        return None

    def require(self, content: Sequence[dict[str, Any]]) -> None:
        problem = self.problem(content)
        if problem:
            kind, sentence = problem
            raise (NotFound if kind == "missing" else Unprocessable)(sentence, field="content")


def named_files(content: Sequence[dict[str, Any]]) -> set[str]:
    return {block["file_id"] for block in content if block["type"] != "text"}


async def look_up(c: ReadConnection, org_id: OrgId, file_ids: Sequence[str]) -> KnownFiles:
    return KnownFiles(org_id, await store.find_files(c, org_id, list(file_ids)) if file_ids else {})
