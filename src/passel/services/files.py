"""Uploaded files that messages refer to."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from passel.core.errors import FieldError, NotFound, TooLarge, Unprocessable
from passel.core.ids import OrgId
from passel.core.text import leaf_name
from passel.services.deps import Caller, Deps
from passel.store import files as store
from passel.store.database import ReadConnection, WriteConnection
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
    """Of `filename` the last part is kept, at most 255 printable characters. The bytes are stored before the row.
    Raises `TooLarge`."""
    if len(data) > deps.limits.file_bytes:
        raise TooLarge(f"a file may have {deps.limits.file_bytes} bytes")
    leaf = leaf_name(filename) or "file"
    digest = hashlib.sha256(data).hexdigest()
    file = File(caller.org_id, deps.ids.file(), leaf, sniff(data), len(data), digest, deps.now())
    await deps.blobs.put(file.blob_path, data)
    async with deps.db.write() as c:
        await store.insert_file(c, file)
    return file


@dataclass(frozen=True, slots=True)
class KnownFiles:
    """Looks content blocks over against the files that they name."""

    org_id: OrgId
    files: dict[str, File]

    def problems(self, content: Sequence[dict[str, Any]]) -> list[FieldError]:
        """What is wrong with each bad block."""
        found: list[FieldError] = []
        for n, block in enumerate(content):
            if block["type"] == "text":
                continue
            where, file = f"content[{n}].file_id", self._find(block)
            if file is None:
                found.append(FieldError(where, f"there is no file {block['file_id']}"))
            elif block["type"] == "image" and file.media_type not in IMAGES:
                found.append(FieldError(where, f"{file.filename} ({file.id}) is no image: png, jpeg, gif and webp are"))
        return found

    def require(self, content: Sequence[dict[str, Any]], place: str = "content") -> None:
        """Raises `NotFound` or `Unprocessable`. `place` is where the blocks stand in the body."""
        problems = self.problems(content)
        if problems:
            missing = any(block["type"] != "text" and self._find(block) is None for block in content)
            told = [replace(problem, loc=problem.loc.replace("content", place, 1)) for problem in problems]
            raise (NotFound if missing else Unprocessable)("; ".join(problem.msg for problem in told[:3]), errors=told)

    def _find(self, block: dict[str, Any]) -> File | None:
        file = self.files.get(block["file_id"])
        return file if file is not None and file.org_id == self.org_id else None


def named_files(content: Sequence[dict[str, Any]]) -> set[str]:
    return {block["file_id"] for block in content if block["type"] != "text"}


async def hold(c: WriteConnection, org_id: OrgId, file_ids: Iterable[str]) -> KnownFiles:
    """The files that a message or a batch is about to name; no sweep takes them before this transaction ends. The first
    lock of such a transaction."""
    named = sorted(file_ids)
    return KnownFiles(org_id, await store.hold_files(c, org_id, named) if named else {})


async def use(c: WriteConnection, org_id: OrgId, file_ids: Iterable[str], holder_id: str) -> None:
    """Files that are held stay as long as this holder (a session, or a batch) does, and any other."""
    if named := sorted(file_ids):
        await store.use_files(c, org_id, named, holder_id)


async def look_up(c: ReadConnection, org_id: OrgId, file_ids: Sequence[str]) -> KnownFiles:
    """What is not there, another organisation's or about to be swept is left out."""
    return KnownFiles(org_id, await store.find_files(c, org_id, list(file_ids)) if file_ids else {})


@dataclass(frozen=True, slots=True)
class UnusedFiles:
    """Sweeps files that nothing has named for `keep`, be it since their upload or since the last thing that named them was
    deleted. Their bytes go before their rows, so that a sweep that breaks off leaves nothing that the next one would not
    find."""

    deps: Deps
    keep: timedelta

    async def doom(self, c: WriteConnection, limit: int) -> list[File]:
        return await store.doom_files_if_unused(c, self.deps.now() - self.keep, limit)

    async def remove(self, doomed: Sequence[File]) -> None:
        for file in doomed:
            await self.deps.blobs.delete(file.blob_path)
        async with self.deps.db.write() as c:
            await store.delete_files_if_doomed(c, [file.id for file in doomed])
