"""Batches of browser sessions: N browsers of one configuration."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from passel.core.browser import KIND
from passel.core.browser.configuration import Configuration
from passel.core.browser.events import BATCH_CANCELLED
from passel.core.errors import Conflict, Invalid, NotFound, PasselError, QuotaExceeded
from passel.core.ids import BatchId, SessionId
from passel.services import batches, growth
from passel.services.browser import certificates, extensions, profiles, rates
from passel.services.browser.rates import Standing
from passel.services.browser.reach import Reach
from passel.services.browser.requests import BrowserPlanner, BrowserRequest
from passel.services.deps import Caller, Deps
from passel.services.growth import Wanted
from passel.services.intake import Intake
from passel.store import batches as batch_store
from passel.store import browsers as store
from passel.store.batches import Batch
from passel.store.browsers import BrowserItem
from passel.store.database import ReadConnection

PENDING, PROCESSING, COMPLETED, FAILED, CANCELLED = "pending", "processing", "completed", "failed", "cancelled"
STATUSES = (PENDING, PROCESSING, COMPLETED, FAILED, CANCELLED)
_AT_ONCE = 500
_DELETE_TRIES = 50
_END_SECONDS, _LOOK_SECONDS = 10.0, 0.1


@dataclass(frozen=True, slots=True)
class ReadBatch:
    """`phase` is that of the least advanced item which is not ready yet (3.5 of the `anchor` contract)."""

    batch: Batch
    items: list[BrowserItem]
    phase: str

    @property
    def configuration(self) -> Configuration:
        return Configuration.from_json(self.batch.spec["configuration"])


def status(batch: Batch) -> str:
    """3.1 and D7 of the `anchor` contract."""
    counts = batch.counts
    if batch.cancel_requested_at is not None:
        return CANCELLED
    if batch.finished_at is None:
        return PENDING if counts.queued == counts.size else PROCESSING
    return COMPLETED if counts.completed else FAILED


class Begun(NamedTuple):
    """`standing` is how many more sessions may be made, where that is limited."""

    batch: Batch
    standing: Standing | None


async def create(deps: Deps, caller: Caller, request: BrowserRequest, count: int, metadata: dict[str, Any]) -> Begun:
    """Items for which there is no room yet wait for it. Raises `QuotaExceeded` for more than can ever run at once (D8),
    `Invalid` for a proxy that may not be used, and `TooMany`."""
    async with deps.db.read() as c:
        most = await store.capacity(c)
    if most and count > most:
        raise QuotaExceeded(f"batch of {count} exceeds the limit of {most} concurrent sessions")
    await request.require_open(deps)
    await extensions.require(deps, caller, request.configuration)
    await certificates.require(deps, caller, request.configuration)
    await profiles.require(deps, caller, request.configuration)
    standing = await rates.take_batch(deps, caller, count)
    planner = BrowserPlanner(caller, request.secrets)

    async def groups() -> AsyncIterator[list[BrowserRequest]]:
        for start in range(0, count, _AT_ONCE):
            yield [request] * min(_AT_ONCE, count - start)

    with Intake(planner) as intake:
        await intake.take_all(groups())
        spec = {"metadata": metadata, **request.request}
        return Begun((await batches.create(deps, caller, planner, intake, None, None, spec)).batch, standing)


async def get(deps: Deps, caller: Caller, batch_id: str) -> Batch:
    """Raises `NotFound`, and `Forbidden` for one of another organisation."""
    try:
        return await batches.get(deps, caller, KIND, batch_id)
    except NotFound as error:
        raise NotFound("Batch not found") from error


async def read(deps: Deps, caller: Caller, batch_id: str, *, items: bool = True) -> ReadBatch:
    """All of one moment. Raises what `get` raises."""
    await get(deps, caller, batch_id)
    async with deps.db.snapshot() as c:
        return await _read(c, await batches.own(deps, caller, c, KIND, batch_id), items)


async def read_for_all(deps: Deps, batch_id: str) -> ReadBatch:
    """For somebody whose right to see it was checked. Raises `NotFound`."""
    async with deps.db.snapshot() as c:
        batch = await batch_store.find_batch(c, batch_id)
        if batch is None or batch.kind != KIND:
            raise NotFound("Batch not found")
        return await _read(c, batch, items=True)


async def _read(c: ReadConnection, batch: Batch, items: bool) -> ReadBatch:
    found = await store.list_items(c, batch.id) if items else []
    phase = "queued" if batch.counts.queued else "ready"
    if batch.counts.running and not batch.counts.queued:
        phase = await store.phase(c, batch.id)
    return ReadBatch(batch, found, phase)


async def list_batches(
    deps: Deps,
    caller: Caller,
    wanted: str | None,
    created_after: datetime | None,
    created_before: datetime | None,
    limit: int,
    offset: int,
) -> tuple[list[Batch], int]:
    """Newest first, and how many there are."""
    async with deps.db.read() as c:
        return await store.list_batches(c, caller.org_id, wanted, created_after, created_before, limit, offset)


async def cancel(deps: Deps, caller: Caller, reach: Reach, batch_id: str) -> tuple[Batch, int]:
    """Ends what runs and what has not begun; returns how many sessions were running. These are asked to end, so that what they recorded
    and downloaded is kept, and cut off when they take too long. Raises `Conflict` when it is over (D9)."""
    batch = await get(deps, caller, batch_id)
    if (now := status(batch)) not in (PENDING, PROCESSING):
        raise Conflict(f"Batch is already {now}")
    running = await _running(deps, batch.id)
    await _end(deps, reach, batch.id, running)
    return await batches.cancel(deps, caller, KIND, batch.id), len(running)


async def _running(deps: Deps, batch_id: BatchId) -> dict[SessionId, str]:
    async with deps.db.read() as c:
        return await store.running(c, batch_id)


async def _end(deps: Deps, reach: Reach, batch_id: BatchId, running: dict[SessionId, str]) -> None:
    """Ask them all, and wait for a while until they have ended."""

    async def ask(session_id: SessionId, address: str) -> None:
        with contextlib.suppress(PasselError):  # it has just ended, or its worker is gone
            await reach.call(address, session_id, "end", reason=BATCH_CANCELLED)

    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_END_SECONDS):
            await asyncio.gather(*(ask(*one) for one in running.items()))
            while running.keys() & (await _running(deps, batch_id)).keys():  # noqa: ASYNC110 - workers end them, and ledgers say when
                await asyncio.sleep(_LOOK_SECONDS)


async def delete(deps: Deps, caller: Caller, batch_id: str) -> int:
    """Ends what runs, and removes the batch with its sessions. Returns how many these were."""
    batch = await get(deps, caller, batch_id)
    for tries in range(_DELETE_TRIES):
        await batches.cancel(deps, caller, KIND, batch.id)
        try:
            await batches.delete(deps, caller, KIND, batch.id)
            break
        except Conflict:
            if tries == _DELETE_TRIES - 1:
                raise
            await asyncio.sleep(0.1)  # a browser has just become ready
    return batch.counts.size


async def retry(deps: Deps, caller: Caller, batch_id: str, *, failed_only: bool, starts: int) -> tuple[Batch, int]:
    """Each failed item gets a new browser, which is started at most `starts` times; unless `failed_only` also items whose session was
    ready and has failed since (D10). Raises `Conflict` while it goes on or when it was cancelled, and `Invalid` when nothing has failed."""
    batch = await get(deps, caller, batch_id)
    if (now := status(batch)) in (PENDING, PROCESSING, CANCELLED):
        raise Conflict(f"Batch is {now}")

    def begins(spec: dict[str, Any]) -> dict[str, Any]:
        """Tokens that were minted for the session before open that one alone."""
        return {"tags": spec["tags"], "key_id": spec["key_id"], "starts": starts}

    done = await growth.retry(deps, caller, BrowserPlanner(caller), batch.id, Wanted(broken=not failed_only, begins=begins))
    if not done.retried:
        raise Invalid("No failed sessions to retry")
    return done.batch, done.retried
