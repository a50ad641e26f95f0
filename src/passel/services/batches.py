"""Batches: created whole or not at all, watched, cancelled, read out, deleted. They grow and try again in
`passel.services.growth`.

A creation has two passes. The first takes every item in and learns what the items need (`passel.services.intake`); the
second writes all rows by COPY in one transaction. A crash anywhere before the commit leaves nothing, and the same
request with the same key makes the batch then.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any

from passel.core.errors import Conflict, Unprocessable
from passel.core.ids import LaneId, OrgId
from passel.services.deps import Caller, Deps, require_own
from passel.services.intake import Intake
from passel.services.planning import Planner, R, new_item
from passel.store import admission, cancelling, deleting
from passel.store import batches as store
from passel.store.batches import Batch, Item, Result
from passel.store.creation import BatchWriter, FailedItem, NewItem
from passel.store.database import ReadConnection

_CHUNK = 1000
_CANCEL_AT_ONCE = 2000
_DELETE_AT_ONCE, _DELETE_STEPS = 500, 2


@dataclass(frozen=True, slots=True)
class Made:
    """`replayed` when the idempotency key was known: then nothing new was made."""

    batch: Batch
    replayed: bool


async def find_by_key(deps: Deps, caller: Caller, kind: str, key: str) -> Batch | None:
    """The caller's batch of that kind and key."""
    async with deps.db.read() as c:
        return await store.find_batch_by_key(c, caller.org_id, kind, key)


async def create(
    deps: Deps,
    caller: Caller,
    planner: Planner[R],
    intake: Intake[R],
    key: str | None,
    max_concurrency: int | None,
    spec: dict[str, Any] | None = None,
    expires_at: datetime | None = None,
) -> Made:
    """Make a batch of what was taken in; or find the one that a concurrent request with the same key has made (decision
    23 of the `dari` contract). Without a key every call makes one. `spec` is what the kind keeps of the batch. Raises what the planner's `prepare` and `lock`
    raise."""
    lanes = await ensure_lanes(deps, caller.org_id, await planner.prepare())
    batch_id = deps.ids.batch()

    def build(numbered: tuple[int, R]) -> NewItem | FailedItem:
        index, item = numbered
        return new_item(deps, index, planner.build(index, item), lanes)

    async with deps.db.write() as c:
        await planner.lock(c)
        writer = BatchWriter(c, caller.org_id, batch_id, planner.kind, deps.now())
        fresh = await writer.begin(planner.subject_id, key, intake.digest, max_concurrency, spec, expires_at)
        if fresh:
            await fill(writer, map(build, enumerate(intake.items())))
            await writer.end(deps.capacity, deps.announcing)
            batch = await store.find_batch(c, batch_id)
        else:
            batch = await store.find_batch_by_key(c, caller.org_id, planner.kind, key or "")
    assert batch is not None
    return Made(batch, replayed=not fresh)


def require_same(deps: Deps, known: Batch, intake: Intake[R], max_concurrency: int | None, spec: dict[str, Any]) -> None:
    """Raises `Unprocessable` when the server is strict and the batch of a known key was made of something else."""
    if deps.strict_idempotency and (known.request_hash, known.max_concurrency, known.spec) != (
        intake.digest,
        max_concurrency,
        spec,
    ):
        raise Unprocessable(
            f"this idempotency_key made {known.id} of another body before: use a new key, or mode complete_missing", field="idempotency_key"
        )


async def ensure_lanes(deps: Deps, org_id: OrgId, names: Iterable[str]) -> dict[str, LaneId]:
    """The ids of lanes, by name; new ones are made."""
    async with deps.db.write() as c:
        return await admission.ensure_lanes(c, org_id, sorted(names), deps.now())


async def fill(writer: BatchWriter, items: Iterator[NewItem | FailedItem]) -> None:
    """Build a chunk of rows in a thread while PostgreSQL takes in the one before: both have work all the time, and
    the loop stays free for other requests."""

    def build() -> list[NewItem | FailedItem]:
        return list(islice(items, _CHUNK))

    chunk = await asyncio.to_thread(build)
    while chunk:
        # both are waited for even if one fails: the connection and the file are still in use until then
        following, added = await asyncio.gather(asyncio.to_thread(build), writer.add(chunk), return_exceptions=True)
        for outcome in (added, following):
            if isinstance(outcome, BaseException):
                raise outcome
        assert isinstance(following, list)
        chunk = following


async def get(deps: Deps, caller: Caller, kind: str, batch_id: str) -> Batch:
    """Raises `NotFound` or `Forbidden`."""
    async with deps.db.read() as c:
        return await own(deps, caller, c, kind, batch_id)


async def get_any(deps: Deps, caller: Caller, kinds: Collection[str], batch_id: str) -> Batch:
    """A batch of any of these kinds. Raises `NotFound` or `Forbidden`."""
    async with deps.db.read() as c:
        return await _own_of(deps, caller, c, kinds, batch_id)


async def own(deps: Deps, caller: Caller, c: ReadConnection, kind: str, batch_id: str) -> Batch:
    """The caller's batch, on a connection. Raises `NotFound` or `Forbidden`."""
    return await _own_of(deps, caller, c, (kind,), batch_id)


async def _own_of(deps: Deps, caller: Caller, c: ReadConnection, kinds: Collection[str], batch_id: str) -> Batch:
    batch = await store.find_batch(c, batch_id)
    of_kind = batch if batch and batch.kind in kinds else None
    require_own(deps, caller, of_kind and of_kind.org_id, "batch")
    assert batch is not None
    return batch


async def list_batches(deps: Deps, caller: Caller, kind: str, before: str | None, limit: int) -> list[Batch]:
    """Newest first; `before` is the last id of the page before."""
    async with deps.db.read() as c:
        return await store.list_batches(c, caller.org_id, kind, before, limit)


async def read_items(deps: Deps, caller: Caller, kind: str, batch_id: str, write: Callable[[Batch, list[Item]], None]) -> Batch:
    """Give `write` the batch's items in pages, in input order, all of one moment: the counts fit the items. Nothing of
    a client is waited for in between, since that would hold a connection and its snapshot for as long as the client
    likes. Raises `NotFound` or `Forbidden`."""
    async with deps.db.snapshot() as c:
        batch = await own(deps, caller, c, kind, batch_id)
        after = -1
        while page := await store.list_items(c, batch_id, after, _CHUNK):
            write(batch, page)
            after = page[-1].index
    return batch


async def read_results(deps: Deps, caller: Caller, kind: str, batch_id: str) -> AsyncIterator[Batch | list[Result]]:
    """First the batch, then its items with their results and bills in pages, in input order, each page of its own
    moment. The first step raises `NotFound` or `Forbidden`."""
    yield await get(deps, caller, kind, batch_id)
    after = -1
    while True:
        async with deps.db.read() as c:
            page = await store.list_results(c, batch_id, after, _CHUNK)
        if not page:
            return
        yield page
        after = page[-1].item.index


async def cancel(deps: Deps, caller: Caller, kind: str, batch_id: str) -> Batch:
    """Ends what has not ended. Admission stops with this call; of a large batch a worker ends the rest in steps. May be
    repeated. Raises `NotFound` or `Forbidden`."""
    async with deps.db.write() as c:
        await own(deps, caller, c, kind, batch_id)
        await cancelling.request_cancel(c, batch_id, deps.now())
    ended = 0
    while ended < _CANCEL_AT_ONCE:
        async with deps.db.write() as c:
            done = await cancelling.cancel_some(c, batch_id, 500, deps.now(), deps.capacity, deps.announcing)
        if not done:
            break
        ended += done
    return await get(deps, caller, kind, batch_id)


async def delete(deps: Deps, caller: Caller, kind: str, batch_id: str) -> None:
    """Delete a batch with the sessions of all its tries. It has gone with this call; of a large one a worker removes
    the rest in steps. Raises `Conflict` while something of it is under way."""
    async with deps.db.write() as c:
        batch = await own(deps, caller, c, kind, batch_id)
        if not await deleting.doom_batch(c, batch.id):
            await own(deps, caller, c, kind, batch_id)  # gone is what somebody else has deleted meanwhile
            raise Conflict("this batch, or a message that was sent to a session of it, has not ended: cancel it first, or wait")
    for _ in range(_DELETE_STEPS):
        async with deps.db.write() as c:
            if not await deleting.delete_some(c, batch.id, _DELETE_AT_ONCE, deps.now(), deps.capacity, deps.announcing):
                return
