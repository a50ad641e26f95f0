"""Batches that go on after they ended: failed items tried again, and items added under the batch's own key.

A try is a session of its own; the tries before stay readable. A batch that gets work again leaves its terminal state,
and its finish is told anew.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from passel.core.errors import Conflict, NotFound, Unprocessable
from passel.core.ids import LaneId
from passel.core.states import CANCELLED_ERROR
from passel.services import batches
from passel.services.deps import Caller, Deps
from passel.services.intake import Intake
from passel.services.planning import Planned, Planner, R, Refused, new_item
from passel.store import batches as store
from passel.store import tries
from passel.store.batches import Batch, Result
from passel.store.creation import BatchWriter, FailedItem, NewItem
from passel.store.database import WriteConnection
from passel.store.tries import FailedTry

_PAGE = 1000
_GROWTH_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which failed items are tried again: those whose error holds any of `errors`, whose metadata has all of
    `metadata`, and that `accepts` (what a kind asks of their spec). Cancelled ones only when `errors` names them; where `broken` also
    those that had completed and failed afterwards. `begins` is the spec of the next try, made of that of the last."""

    errors: Sequence[str] = ()
    metadata: dict[str, str] = field(default_factory=dict[str, str])
    accepts: Callable[[dict[str, Any]], bool] = lambda spec: True
    broken: bool = False
    begins: Callable[[dict[str, Any]], dict[str, Any]] = lambda spec: spec

    def matches(self, item: FailedTry) -> bool:
        if self.errors:
            if not any(part in item.error for part in self.errors):
                return False
        elif item.error == CANCELLED_ERROR:
            return False
        return self.metadata.items() <= item.metadata.items() and self.accepts(item.spec)


@dataclass(frozen=True, slots=True)
class Retried:
    """The batch with how many of its items run again."""

    batch: Batch
    retried: int


@dataclass(frozen=True, slots=True)
class Grown:
    """`unchanged` are the indexes of items that completed or still run, which were left alone."""

    batch: Batch
    unchanged: tuple[int, ...]


async def retry(deps: Deps, caller: Caller, planner: Planner[R], batch_id: str, wanted: Wanted) -> Retried:
    """Run failed items again, each as a new try: what could be made as it was, the rest planned anew.

    Two passes, as in a creation: the first learns what the items need, the second writes. What fails in between is left
    to the next request. Raises `NotFound` or `Forbidden` for the batch, what the planner raises, and `Conflict` while
    the batch is being cancelled, or when another request makes it grow for more than 30 s.
    """
    batch = await batches.get(deps, caller, planner.kind, batch_id)
    await planner.take_subject(batch.subject_id)
    chosen, lane_names = await _learn(deps, planner, batch_id, wanted)
    lanes = await batches.ensure_lanes(deps, caller.org_id, {*lane_names, *await planner.prepare()})
    count = 0
    async with _growing(deps, caller, planner.kind, batch_id) as (c, batch, writer):
        await planner.lock(c)
        async for page in _failed_pages(c, batch_id, broken=wanted.broken):
            again = [item for item in page if chosen.get(item.index) == item.try_number]
            if again:
                await writer.add(await asyncio.to_thread(_next_tries, deps, planner, batch, wanted, again, lanes))
                count += len(again)
        if count:
            await _close(deps, writer)
    return Retried(await batches.get(deps, caller, planner.kind, batch_id), count)


async def _learn(deps: Deps, planner: Planner[R], batch_id: str, wanted: Wanted) -> tuple[dict[int, int], set[str]]:
    """The items that are wanted, by index with the numbers of their tries, and the lanes of their sessions."""
    chosen: dict[int, int] = {}
    lanes: set[str] = set()
    after = -1
    while True:
        async with deps.db.read() as c:
            page = await tries.list_failed(c, batch_id, after, _PAGE, broken=wanted.broken)
        if not page:
            return chosen, lanes
        after = page[-1].index
        for item in filter(wanted.matches, page):
            chosen[item.index] = item.try_number
            if item.session is not None:
                lanes.add(item.session.lane)
            else:
                await planner.learn(item.index, planner.again(item.asked))


async def complete_missing(deps: Deps, caller: Caller, planner: Planner[R], batch_id: str, intake: Intake[R]) -> Grown:
    """Run what never ran or failed, as the new request says, and take in the items behind the batch's last. Raises
    `Unprocessable` for items of another subject and for fewer items than the batch has, else what `retry` raises."""
    lanes = await batches.ensure_lanes(deps, caller.org_id, await planner.prepare())
    async with _growing(deps, caller, planner.kind, batch_id) as (c, batch, writer):
        size = batch.counts.size
        if planner.subject_id != batch.subject_id:
            raise Unprocessable("these items are another agent's than the batch's", field="items")
        if intake.count < size:
            raise Unprocessable(
                f"the batch has {size} items and this request {intake.count}: send all of them, in their order", field="items"
            )
        await planner.lock(c)
        failed = {item.index: item.try_number async for page in _failed_pages(c, batch_id) for item in page}

        def build() -> Iterator[NewItem | FailedItem]:
            for index, item in enumerate(intake.items()):
                if index >= size or index in failed:
                    yield new_item(deps, index, planner.build(index, item), lanes, failed.get(index, 0))

        if failed or intake.count > size:
            await batches.fill(writer, build())
            await _close(deps, writer)
    unchanged = tuple(index for index in range(size) if index not in failed)
    return Grown(await batches.get(deps, caller, planner.kind, batch_id), unchanged)


async def list_tries(deps: Deps, caller: Caller, kind: str, batch_id: str, index: int) -> list[Result]:
    """Every try of an item, the oldest first. Raises `NotFound` when the batch has no such item; for the batch
    `NotFound` or `Forbidden`."""
    async with deps.db.snapshot() as c:
        await batches.own(deps, caller, c, kind, batch_id)
        found = await store.list_tries(c, batch_id, index)
    if not found:
        raise NotFound(f"the batch has no item {index}")
    return found


@asynccontextmanager
async def _growing(deps: Deps, caller: Caller, kind: str, batch_id: str) -> AsyncGenerator[tuple[WriteConnection, Batch, BatchWriter]]:
    """One transaction in which nobody else grows the batch. Who has to wait for that holds no connection meanwhile."""
    deadline = time.monotonic() + _GROWTH_SECONDS
    while True:
        async with deps.db.write() as c:
            batch = await batches.own(deps, caller, c, kind, batch_id)
            writer = BatchWriter(c, caller.org_id, batch.id, kind, deps.now())
            if await writer.reopen():
                batch = await batches.own(deps, caller, c, kind, batch_id)  # as the request before ours has left it
                if batch.state == "cancelling":
                    raise Conflict("this batch is being cancelled: try again when it has ended")
                yield c, batch, writer
                return
        if time.monotonic() > deadline:
            raise Conflict("another request makes this batch grow just now: try again when it is done")
        await asyncio.sleep(0.1)


async def _close(deps: Deps, writer: BatchWriter) -> None:
    if not await writer.end(deps.capacity, deps.announcing):
        raise Conflict("this batch was cancelled or deleted meanwhile: nothing was tried again")


async def _failed_pages(c: WriteConnection, batch_id: str, *, broken: bool = False) -> AsyncIterator[list[FailedTry]]:
    after = -1
    while page := await tries.list_failed(c, batch_id, after, _PAGE, broken=broken):
        yield page
        after = page[-1].index


def _next_tries(
    deps: Deps, planner: Planner[R], batch: Batch, wanted: Wanted, again: Sequence[FailedTry], lanes: dict[str, LaneId]
) -> list[NewItem | FailedItem]:
    """The items of the next tries. Those that had a session get another one like it. Runs in a thread."""

    def plan(item: FailedTry) -> Planned | Refused:
        if item.session is None:
            return planner.build(item.index, planner.again(item.asked))
        old = item.session
        secrets = None if old.secrets is None else deps.vault.open(old.secrets, old.id)
        # the try before, which cannot be deleted while its batch grows, holds these files
        prefix = old.id.partition("_")[0]
        return Planned(batch.subject_id, wanted.begins(item.spec), old.lane, item.metadata, old.request, secrets, old.file_ids, prefix)

    return [new_item(deps, item.index, plan(item), lanes, item.try_number, item.state) for item in again]
