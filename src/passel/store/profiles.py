"""Saved states of browsers, as rows; a state is an archive, which is a file that its profile holds."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from passel.core.ids import FileId, OrgId, SessionId
from passel.store import files
from passel.store.database import ReadConnection, WriteConnection
from passel.store.files import File

READY, SAVING, PENDING = "ready", "saving", "pending_session"


@dataclass(frozen=True, slots=True)
class Profile:
    """`session_id` is the session whose state it has, or whose state it will have first; `held` says whether a session that has not ended
    writes it. `status` is `ready`, `saving` or `pending_session`: nothing is saved yet."""

    org_id: OrgId
    name: str
    id: str
    description: str | None
    session_id: SessionId | None
    file_id: FileId | None
    created_at: datetime
    status: str
    held: bool


@dataclass(frozen=True, slots=True)
class Written:
    """A profile that a session writes."""

    org_id: OrgId
    name: str
    id: str


async def find(c: ReadConnection, org_id: OrgId, name: str) -> Profile | None:
    rows = await c.fetch("list_browser_profiles", org_id, name)
    return Profile(**rows[0]) if rows else None


async def list_profiles(c: ReadConnection, org_id: OrgId) -> list[Profile]:
    """The oldest first."""
    return [Profile(**row) for row in await c.fetch("list_browser_profiles", org_id, None)]


async def claim_if_free(
    c: WriteConnection,
    org_id: OrgId,
    name: str,
    id: str,
    writer: SessionId,
    now: datetime,
    *,
    new: bool = False,
    description: str | None = None,
) -> bool:
    """Whether the session writes it from now on, until it ends: one at a time does. Where `new` it must not be there yet. Taken before
    lanes, and after files."""
    await c.execute("lock_browser_profile", org_id, name, id, now)
    return await c.fetchrow("claim_browser_profile", org_id, name, writer, new, description) is not None


async def begin_saving(c: WriteConnection, writer: SessionId) -> Sequence[Written]:
    """Those that the session writes."""
    return [Written(**row) for row in await c.fetch("begin_saving_profiles", writer)]


async def store_if_writer(c: WriteConnection, profile: Written, writer: SessionId, file: File, now: datetime) -> bool:
    """Whether the file is the profile's state from now on, and that of before needed no more. Where not, the transaction must be
    rolled back."""
    old = await c.fetchval("find_profile_file", profile.org_id, profile.name)
    if old is not None:
        await files.unuse_file(c, old, profile.id, now)
    await files.insert_file(c, file)
    await files.use_files(c, profile.org_id, [file.id], profile.id)
    return await c.fetchrow("store_browser_profile", profile.org_id, profile.id, writer, file.id) is not None


async def delete(c: WriteConnection, profile: Profile, now: datetime) -> None:
    """Who writes it saves nothing any more."""
    if profile.file_id is not None:
        await files.unuse_file(c, profile.file_id, profile.id, now)
    await c.execute("delete_browser_profile", profile.org_id, profile.name)
