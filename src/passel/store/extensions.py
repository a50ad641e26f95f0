"""Extensions of browsers, as rows; a package is a file that its extension holds."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from passel.core.ids import FileId, OrgId
from passel.store import files
from passel.store.database import ReadConnection, WriteConnection
from passel.store.files import File


@dataclass(frozen=True, slots=True)
class Extension:
    """`manifest` is what is told of it: its name, version, description and permissions."""

    org_id: OrgId
    id: str
    name: str
    manifest: dict[str, Any]
    file_id: FileId
    created_at: datetime


async def find(c: ReadConnection, id: str) -> Extension | None:
    """Of whatever organisation."""
    row = await c.fetchrow("find_browser_extension", id)
    return None if row is None else Extension(**row)


async def list_extensions(c: ReadConnection, org_id: OrgId, ids: Sequence[str] | None = None) -> list[Extension]:
    """The oldest first; those of `ids` where they are given."""
    return [Extension(**row) for row in await c.fetch("list_browser_extensions", org_id, ids)]


async def insert_if_fewer(c: WriteConnection, extension: Extension, file: File, most: int) -> bool:
    """False where the organisation has `most`. Then the transaction must be rolled back."""
    await files.insert_file(c, file)
    await files.use_files(c, file.org_id, [file.id], extension.id)
    one = extension
    made = await c.fetchrow("insert_browser_extension", one.org_id, one.id, one.name, one.manifest, one.file_id, one.created_at, most)
    return made is not None


async def delete(c: WriteConnection, extension: Extension, now: datetime) -> None:
    """Sessions that have begun with it keep it."""
    await files.unuse_file(c, extension.file_id, extension.id, now)
    await c.execute("delete_browser_extension", extension.id)
