"""Uploaded files, as rows; their bytes lie in the object store."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from passel.core.ids import FileId, OrgId
from passel.store.database import ReadConnection, WriteConnection


@dataclass(frozen=True, slots=True)
class File:
    """`media_type` is what the bytes show, `sha256` their digest in hexadecimal."""

    org_id: OrgId
    id: FileId
    filename: str
    media_type: str
    size_bytes: int
    sha256: str
    created_at: datetime

    @property
    def blob_path(self) -> str:
        return f"files/{self.org_id}/{self.id}"


async def insert_file(c: WriteConnection, file: File) -> None:
    await c.execute("insert_file", file.org_id, file.id, file.filename, file.media_type, file.size_bytes, file.sha256, file.created_at)


async def find_files(c: ReadConnection, org_id: OrgId, file_ids: Sequence[str]) -> dict[str, File]:
    """By id. What is not there, another organisation's or doomed is left out."""
    return {row["id"]: File(**row) for row in await c.fetch("find_files", org_id, file_ids)}


async def hold_files(c: WriteConnection, org_id: OrgId, file_ids: Sequence[str]) -> dict[str, File]:
    """Those of the files that are there, which stay until this transaction ends."""
    return {row["id"]: File(**row) for row in await c.fetch("hold_files", org_id, file_ids)}


async def use_files(c: WriteConnection, org_id: OrgId, file_ids: Sequence[str], holder_id: str) -> None:
    """Files that are held stay from now on, until all of their holders are deleted."""
    await c.execute("use_files", org_id, file_ids, holder_id)


async def release_files(c: WriteConnection, holder_ids: Sequence[str], now: datetime) -> None:
    """Of holders that are about to be deleted; the first lock of such a transaction."""
    if used := await c.fetch("lock_used_files", holder_ids):
        await c.execute("release_files", [row["id"] for row in used], now)


async def unuse_file(c: WriteConnection, file_id: str, holder_id: str, now: datetime) -> None:
    """This holder needs the file no more."""
    if locked := await c.fetch("lock_file", file_id):
        await c.execute("release_files", [row["id"] for row in locked], now)
        await c.execute("unuse_file", file_id, holder_id)


async def doom_files_if_unused(c: WriteConnection, before: datetime, limit: int) -> list[File]:
    """Files that nothing has named since before that moment, which nothing can name any more then."""
    locked = await c.fetch("lock_unused_files", before, limit)
    rows = await c.fetch("doom_files", [row["id"] for row in locked]) if locked else []
    return [File(**{name: row[name] for name in File.__slots__}) for row in rows if row["doomed"]]


async def delete_files_if_doomed(c: WriteConnection, file_ids: Sequence[str]) -> None:
    await c.execute("delete_doomed_files", file_ids)
