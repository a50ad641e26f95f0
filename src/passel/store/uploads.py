"""Uploaded files of claims, as rows; their items lie in the object store."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from passel.core.ids import OrgId
from passel.store.database import ReadConnection, WriteConnection


@dataclass(frozen=True, slots=True)
class Upload:
    """`items` is how many good ones it has; 0 as long as it comes in."""

    org_id: OrgId
    id: str
    filename: str
    format: str
    items: int
    created_at: datetime
    expires_at: datetime

    @property
    def blob_path(self) -> str:
        return blob_path(self.org_id, self.id)


def blob_path(org_id: OrgId, id: str) -> str:
    return f"uploads/{org_id}/{id}"


async def insert(c: WriteConnection, upload: Upload) -> None:
    one = upload
    await c.execute("insert_upload", one.org_id, one.id, one.filename, one.format, one.items, one.created_at, one.expires_at)


async def fill(c: WriteConnection, upload: Upload) -> bool:
    """It has come in. Whether its row is still there."""
    return await c.fetchval("fill_upload", upload.org_id, upload.id, upload.items) is not None


async def find(c: ReadConnection, org_id: OrgId, id: str, now: datetime) -> Upload | None:
    """One that a batch can be made of."""
    row = await c.fetchrow("find_upload", org_id, id, now)
    return None if row is None else Upload(**row)


async def use(c: WriteConnection, org_id: OrgId, id: str, now: datetime) -> bool:
    """Whether it was there to be used; from then on nobody else can."""
    return await c.fetchval("use_upload", org_id, id, now) is not None


async def old(c: ReadConnection, now: datetime, limit: int) -> list[tuple[OrgId, str]]:
    """Those that nobody needs any more."""
    return [(row["org_id"], row["id"]) for row in await c.fetch("old_uploads", now, limit)]


async def delete(c: WriteConnection, ids: Sequence[str]) -> None:
    await c.execute("delete_uploads", ids)
