"""Saved states of browsers (2.7 and D16 of the `anchor` contract): made by sessions as they end, and what sessions begin with.

One session at a time writes a profile. It claims it when it is made, and holds it until it has ended, however that comes: who holds it
is asked of the session itself, so that nothing has to be given back.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from passel.core.browser.configuration import Configuration
from passel.core.browser.profiles import Unfit
from passel.core.errors import Conflict, Invalid, NotFound
from passel.core.ids import OrgId, SessionId
from passel.services.deps import Caller, Deps
from passel.store import files
from passel.store import profiles as store
from passel.store.database import WriteConnection, patiently
from passel.store.files import File
from passel.store.profiles import Profile, Written

_PREFIX = "profile"
_PART = 1024 * 1024
_FIELD = "browser.profile.name"


async def list_profiles(deps: Deps, caller: Caller) -> list[Profile]:
    async with deps.db.read() as c:
        return await store.list_profiles(c, caller.org_id)


async def get(deps: Deps, caller: Caller, name: str) -> Profile:
    """Raises `NotFound`."""
    async with deps.db.read() as c:
        found = await store.find(c, caller.org_id, name)
    if found is None:
        raise NotFound("Profile not found")
    return found


async def create(deps: Deps, caller: Caller, name: str, description: str | None, session_id: SessionId) -> None:
    """The state of a session that runs, when it ends. Raises `Conflict` for a name that is taken."""
    async with deps.db.write() as c:
        id, now = deps.ids.new(_PREFIX), deps.now()
        if not await store.claim_if_free(c, caller.org_id, name, id, session_id, now, new=True, description=description):
            raise Conflict(f"there is a profile {name} already: delete it first, or take another name", field="name")


async def delete(deps: Deps, caller: Caller, name: str) -> None:
    """A session that would write it saves nothing. Raises `NotFound`."""
    found = await get(deps, caller, name)
    async with deps.db.write() as c:
        await store.delete(c, found, deps.now())


async def claim(deps: Deps, caller: Caller, c: WriteConnection, configuration: Configuration, session_id: SessionId) -> None:
    """What a new session needs of its profile, in the transaction that makes it. Raises `Invalid` and `Conflict`."""
    name = configuration.profile
    if name is None:
        return
    if configuration.persist:
        if not await store.claim_if_free(c, caller.org_id, name, deps.ids.new(_PREFIX), session_id, deps.now()):
            raise Conflict(_held(name), field=_FIELD)
    else:
        _require_saved(await store.find(c, caller.org_id, name), name)


async def require(deps: Deps, caller: Caller, configuration: Configuration) -> None:
    """The same of a batch, whose sessions claim when they begin."""
    if (name := configuration.profile) is None:
        return
    async with deps.db.read() as c:
        found = await store.find(c, caller.org_id, name)
    if not configuration.persist:
        _require_saved(found, name)
    elif found is not None and found.held:
        raise Conflict(_held(name), field=_FIELD)


def _held(name: str) -> str:
    return f"{_FIELD}: another session writes the profile {name}, until it has ended"


def _require_saved(found: Profile | None, name: str) -> None:
    if found is None:
        raise Invalid(f"{_FIELD}: there is no profile {name}; a session with persist: true makes one", field=_FIELD)
    if found.file_id is None:
        raise Conflict(f"{_FIELD}: {name} is saved when its session has ended; its status is then ready", field=_FIELD)


class _NotOurs(Exception):
    pass


@dataclass(frozen=True, slots=True)
class Saving:
    """Implements `passel.core.browser.profiles.Saver`."""

    deps: Deps
    session_id: SessionId
    profile: Written

    @property
    def name(self) -> str:
        return self.profile.name

    async def save(self, archive: Path) -> bool:
        """Bytes are stored before the row, as with every file."""
        deps, digest, size = self.deps, hashlib.sha256(), 0

        async def parts() -> AsyncIterator[bytes]:
            nonlocal size
            with await asyncio.to_thread(archive.open, "rb") as source:
                while part := await asyncio.to_thread(source.read, _PART):
                    size += len(part)
                    await asyncio.to_thread(digest.update, part)
                    yield part

        id, now = deps.ids.file(), deps.now()
        path = File(self.profile.org_id, id, "", "", 0, "", now).blob_path
        await deps.blobs.put(path, parts())
        file = File(self.profile.org_id, id, "profile.tar.gz", "application/gzip", size, digest.hexdigest(), now)

        async def note() -> bool:
            async with deps.db.write() as c:
                if await files.find_files(c, file.org_id, [file.id]):
                    return True  # a try whose answer was lost
                if not await store.store_if_writer(c, self.profile, self.session_id, file, deps.now()):
                    raise _NotOurs  # and nothing of it was written
                return True

        try:
            return await patiently(note)
        except _NotOurs:
            await deps.blobs.delete(path)
            return False


@dataclass(frozen=True, slots=True)
class ProfileShelf:
    """Implements `passel.core.browser.profiles.Profiles`."""

    deps: Deps

    async def fetch(self, org_id: OrgId, session_id: SessionId, name: str, persist: bool, into: Path) -> bool:
        deps = self.deps
        if persist:
            async with deps.db.write() as c:
                if not await store.claim_if_free(c, org_id, name, deps.ids.new(_PREFIX), session_id, deps.now()):
                    raise Unfit(_held(name))
        async with deps.db.read() as c:
            found = await store.find(c, org_id, name)
            kept = await files.find_files(c, org_id, [found.file_id]) if found is not None and found.file_id is not None else {}
        if not kept:
            if persist:
                return False
            raise Unfit(f"{_FIELD}: there is no profile {name} any more")
        [file] = kept.values()
        with await asyncio.to_thread(into.open, "wb") as target:
            async for part in deps.blobs.stream(file.blob_path):
                await asyncio.to_thread(target.write, part)
        return True

    async def begin_saving(self, session_id: SessionId) -> Sequence[Saving]:
        async def begin() -> Sequence[Written]:
            async with self.deps.db.write() as c:
                return await store.begin_saving(c, session_id)

        return [Saving(self.deps, session_id, one) for one in await patiently(begin)]
