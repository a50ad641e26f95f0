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


async def use_files(c: WriteConnection, org_id: OrgId, file_ids: Sequence[str], now: datetime) -> None:
    """Files that something names from now on: those of them that are still there are never swept."""
    await c.execute("use_files", org_id, file_ids, now)


async def doom_files_if_unused(c: WriteConnection, before: datetime, limit: int) -> list[File]:
    """Files of before that moment that nothing names, which nothing can name any more then."""
    return [File(**row) for row in await c.fetch("doom_files", before, limit)]


async def delete_files_if_doomed(c: WriteConnection, file_ids: Sequence[str]) -> None:
    await c.execute("delete_doomed_files", file_ids)
