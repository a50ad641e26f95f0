"""Uploaded files, as rows; their bytes lie in the object store."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from passel.core.ids import FileId, OrgId
from passel.store.database import ReadConnection, WriteConnection


@dataclass(frozen=True, slots=True)
class File:
    org_id: OrgId
    id: FileId
    filename: str
    media_type: str
    size_bytes: int
    sha256: str
    created_at: datetime


async def insert_file(c: WriteConnection, file: File) -> None:
    await c.execute("insert_file", file.org_id, file.id, file.filename, file.media_type, file.size_bytes, file.sha256, file.created_at)


async def find_files(c: ReadConnection, org_id: OrgId, file_ids: Sequence[str]) -> dict[str, File]:
    return {row["id"]: File(**row) for row in await c.fetch("find_files", org_id, file_ids)}
