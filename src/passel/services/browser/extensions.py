"""Extensions that browser sessions load (2.10 of the `anchor` contract): kept as other files are, looked at when they are uploaded."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

from passel.core.browser import extensions as rules
from passel.core.browser.configuration import Configuration
from passel.core.browser.package import BadPackage, read_manifest
from passel.core.errors import Invalid, QuotaExceeded, TooLarge
from passel.core.ids import OrgId
from passel.core.text import clean_json
from passel.services.deps import Caller, Deps, require_own
from passel.store import extensions as store
from passel.store import files
from passel.store.extensions import Extension
from passel.store.files import File

PREFIX = "ext"
_PART = 1024 * 1024
_MOST = 200
_FIELD = "browser.extensions"


async def upload(deps: Deps, caller: Caller, name: str, package: IO[bytes], size: int) -> Extension:
    """Raises `TooLarge`, `QuotaExceeded`, and `Invalid` that names what no extension may have here, and why."""
    if size > deps.limits.browser_extension_bytes:
        raise TooLarge(f"file: an extension may have {deps.limits.browser_extension_bytes} bytes", field="file")
    try:
        given = await asyncio.to_thread(read_manifest, package)
        manifest = rules.judge(given)
    except BadPackage as bad:
        raise Invalid(f"file: {bad}", field="file") from bad
    except ValueError as error:
        raise Invalid(f"file: {rules.MANIFEST}: {error}", field="file") from error
    digest = hashlib.sha256()

    async def parts() -> AsyncIterator[bytes]:
        await asyncio.to_thread(package.seek, 0)
        while part := await asyncio.to_thread(package.read, _PART):
            await asyncio.to_thread(digest.update, part)
            yield part

    id, now = deps.ids.file(), deps.now()
    await deps.blobs.put(File(caller.org_id, id, "", "", 0, "", now).blob_path, parts())
    file = File(caller.org_id, id, "extension.zip", "application/zip", size, digest.hexdigest(), now)
    told = clean_json({"manifest_version": 3, **asdict(manifest)})
    extension = Extension(caller.org_id, deps.ids.new(PREFIX), name, told, file.id, now)
    async with deps.db.write() as c:
        if not await store.insert_if_fewer(c, extension, file, _MOST):
            raise QuotaExceeded(f"there are {_MOST} extensions already: delete some")
    return extension


async def list_extensions(deps: Deps, caller: Caller) -> list[Extension]:
    """The oldest first."""
    async with deps.db.read() as c:
        return await store.list_extensions(c, caller.org_id)


async def get(deps: Deps, caller: Caller, id: str) -> Extension:
    """Raises `NotFound`, and `Forbidden` for one of another organisation."""
    async with deps.db.read() as c:
        found = await store.find(c, id)
    require_own(deps, caller, found and found.org_id, "extension")
    assert found is not None
    return found


async def delete(deps: Deps, caller: Caller, id: str) -> None:
    """Sessions that run go on with it, those that begin later fail. Raises what `get` raises."""
    found = await get(deps, caller, id)
    async with deps.db.write() as c:
        await store.delete(c, found, deps.now())


async def require(deps: Deps, caller: Caller, configuration: Configuration) -> None:
    """Raises `Invalid` for one that the organisation does not have."""
    if not configuration.extensions:
        return
    async with deps.db.read() as c:
        found = {one.id for one in await store.list_extensions(c, caller.org_id, configuration.extensions)}
    for number, id in enumerate(configuration.extensions):
        if id not in found:
            field = f"{_FIELD}.{number}"
            raise Invalid(f"{field}: there is no such extension; POST /v1/extensions makes one, and tells its id", field=field)


@dataclass(frozen=True, slots=True)
class ExtensionShelf:
    """Implements `passel.core.browser.extensions.Extensions`."""

    deps: Deps

    async def fetch(self, org_id: OrgId, id: str, into: Path) -> bool:
        deps = self.deps
        async with deps.db.read() as c:
            found = await store.find(c, id)
            kept = {} if found is None or found.org_id != org_id else await files.find_files(c, org_id, [found.file_id])
        if not kept:
            return False
        [file] = kept.values()
        with await asyncio.to_thread(into.open, "wb") as target:
            async for part in deps.blobs.stream(file.blob_path):
                await asyncio.to_thread(target.write, part)
        return True
