"""Uploaded files of claims: their good items are kept for the one batch that is made of them."""

import asyncio
import re
import uuid
from collections.abc import AsyncIterable, AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, NamedTuple

from passel.core.errors import NotFound
from passel.core.ids import OrgId
from passel.services.deps import Caller, Deps
from passel.services.verification.allowance import batch_limits
from passel.services.verification.items import Checks, ItemRequest
from passel.store import uploads as store
from passel.store.database import WriteConnection
from passel.store.uploads import Upload, blob_path

_TEXTS = {
    "Content is required": "Content is empty",
    "Content exceeds maximum length": "Content exceeds maximum length (50000 chars)",
}
_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class Record(NamedTuple):
    """A record of a file: the item in it, or what is wrong with its form. `line` is where it begins, where lines count."""

    row: int
    item: ItemRequest | None
    problem: str | None = None
    line: int | None = None


class Unusable(Exception):
    """Nothing can be made of a file; `problems` say why, each with its row."""

    def __init__(self, problems: Sequence[dict[str, Any]]) -> None:
        super().__init__("File parsing failed")
        self.problems = list(problems)


@dataclass(frozen=True, slots=True)
class Kept:
    """An upload, and what was left out of it."""

    upload: Upload
    problems: Sequence[dict[str, Any]]
    wrong: int


async def keep(deps: Deps, caller: Caller, filename: str, format: str, records: AsyncIterable[Sequence[Record]]) -> Kept:
    """Keep the good items; others are left out and told (3.3). The row is there before the bytes, so that a sweep finds what a
    process that dies leaves behind. Raises `Unusable` where there is no good item, and what reading the records raises."""
    limits, now = await batch_limits(deps, caller), deps.now()
    begun = Upload(caller.org_id, str(uuid.uuid4()), filename, format, 0, now, now + timedelta(hours=limits.upload_hours))
    async with deps.db.write() as c:
        await store.insert(c, begun)
    try:
        sieve = await _put(deps, begun, records, limits.json_items)
        upload = replace(begun, items=sieve.count)
        async with deps.db.write() as c:
            if not await store.fill(c, upload):
                raise gone()  # it took so long that it has expired
    except Exception:
        await _forget(deps, begun)
        raise
    return Kept(upload, sieve.checks.problems, sieve.checks.wrong)


async def _put(deps: Deps, upload: Upload, records: AsyncIterable[Sequence[Record]], most: int) -> "_Sieve":
    """The good items into the object store."""
    sieve = _Sieve(most)
    failures: list[Exception] = []

    async def lines() -> AsyncIterator[bytes]:
        try:
            async for group in records:
                if packed := sieve.good(group):
                    yield packed
        except Exception as failure:
            failures.append(failure)  # the store hides what its source raises
            raise

    try:
        await deps.blobs.put(upload.blob_path, lines())
    except Exception:
        if failures:
            raise failures[0] from None
        raise
    if not sieve.count:
        raise Unusable(sieve.checks.problems or [{"row": 1, "error": "The file has no items"}])
    return sieve


async def _forget(deps: Deps, upload: Upload) -> None:
    await deps.blobs.delete(upload.blob_path)
    async with deps.db.write() as c:
        await store.delete(c, [upload.id])


@dataclass(slots=True)
class _Sieve:
    most: int
    count: int = 0
    checks: Checks = field(default_factory=Checks)

    def good(self, records: Sequence[Record]) -> bytes:
        packed: list[bytes] = []
        for row, item, problem, line in records:
            problem = problem or (self.checks.problem(item) if item is not None else None)
            if problem is not None:
                further = {} if line is None else {"line": line}
                self.checks.note(row, f"{_TEXTS.get(problem, problem)}, row skipped", **further)
            elif item is not None:
                self.count += 1
                if self.count > self.most:
                    raise Unusable([{"row": row, "error": f"File exceeds maximum of {self.most} items"}])
                packed.append(item.pack())
        return b"".join(packed)


async def find(deps: Deps, caller: Caller, id: str) -> Upload:
    """One that the caller may make a batch of. Raises `NotFound` (D12)."""
    upload = None
    if _ID.fullmatch(id):
        async with deps.db.read() as c:
            upload = await store.find(c, caller.org_id, id, deps.now())
    if upload is None:
        raise gone()
    return upload


def gone() -> NotFound:
    return NotFound("File not found, expired, or already used")


async def items(deps: Deps, upload: Upload) -> AsyncIterator[list[ItemRequest]]:
    """In groups, in the order of the file. Raises `NotFound` when it has gone meanwhile."""
    rest = b""
    try:
        async for part in deps.blobs.stream(upload.blob_path):
            *lines, rest = (rest + part).split(b"\n")
            if lines:
                yield await asyncio.to_thread(lambda lines=lines: [ItemRequest.unpack(line) for line in lines])
    except KeyError as error:
        raise gone() from error


@dataclass(frozen=True, slots=True)
class OldUploads:
    """Sweeps files that were used or have expired: first the bytes, then the row, so that a sweep that breaks off leaves nothing
    that the next one would not find."""

    deps: Deps

    async def doom(self, c: WriteConnection, limit: int) -> list[tuple[OrgId, str]]:
        return await store.old(c, self.deps.now(), limit)

    async def remove(self, doomed: Sequence[tuple[OrgId, str]]) -> None:
        for org_id, id in doomed:
            await self.deps.blobs.delete(blob_path(org_id, id))
        async with self.deps.db.write() as c:
            await store.delete(c, [id for _, id in doomed])
