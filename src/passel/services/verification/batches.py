"""Batches of verifications: from items inline or from a file, read by offset, cancelled."""

import asyncio
from collections.abc import AsyncIterable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from passel.core.errors import Conflict, NotFound, Unprocessable
from passel.core.ids import BatchId
from passel.core.verification import KIND
from passel.core.verification.claims import Claim
from passel.services import batches
from passel.services.deps import Caller, Deps
from passel.services.intake import Intake
from passel.services.planning import Planned, Refused
from passel.services.verification import uploads
from passel.services.verification.allowance import batch_limits
from passel.services.verification.items import Checks, ItemRequest
from passel.services.verification.models import lane_of, with_models
from passel.services.verification.usage import require_room
from passel.store import batches as batch_store
from passel.store import uploads as upload_store
from passel.store import verifications as store
from passel.store.batches import Batch
from passel.store.database import WriteConnection
from passel.store.uploads import Upload
from passel.store.verifications import VerificationItem

PREFIX = "ver"


@dataclass(frozen=True, slots=True)
class BatchHead:
    """What a batch says beside its items. `claim` is what all of them have in common: methods, options, and the batch's
    context."""

    claim: Claim
    name: str | None = None


Groups = AsyncIterable[Sequence[ItemRequest]]


class VerificationPlanner:
    """Every item of a checked request can be made."""

    kind, subject_id = KIND, None

    def __init__(self, now: Callable[[], datetime], upload: Upload | None = None) -> None:
        self._now, self._upload = now, upload
        self.claim = Claim("", {})

    async def take_subject(self, subject_id: str | None) -> None: ...

    async def learn(self, index: int, item: ItemRequest) -> None: ...

    async def prepare(self) -> Sequence[str]:
        return [lane_of(self.claim)]

    async def lock(self, c: WriteConnection) -> None:
        """A file is used up by the batch that is made of it (D12)."""
        if self._upload is not None and not await upload_store.use(c, self._upload.org_id, self._upload.id, self._now()):
            raise uploads.gone()

    def build(self, index: int, item: ItemRequest) -> Planned | Refused:
        claim = replace(self.claim, content=item.content, context={**self.claim.context, **(item.context or {})})
        spec = {"context": item.context, "key": item.key} | ({} if item.row is None else {"row": item.row})
        return Planned(None, spec, lane_of(self.claim), {}, claim.to_json(), prefix=PREFIX)

    def pack(self, item: ItemRequest) -> bytes:
        return item.pack()

    def identity(self, item: ItemRequest, line: bytes) -> bytes:
        return line

    def unpack(self, line: bytes) -> ItemRequest:
        return ItemRequest.unpack(line)

    def again(self, asked: dict[str, Any]) -> ItemRequest:
        raise AssertionError("every item can be made")


async def create(deps: Deps, caller: Caller, groups: Groups, head: Callable[[], BatchHead], key: str | None = None) -> Batch:
    """A batch of items that come in group by group; `head` is asked for when all are in. It has failed at once where an item is
    wrong: then none of them runs (3.3). With the `key` of an earlier request it is that one's. Raises `Unprocessable` for none, or
    too many, `Conflict` for a key that came with another request, and what `head` raises."""
    planner, checks = VerificationPlanner(deps.now), Checks()
    most, total = (await batch_limits(deps, caller)).json_items, 0
    with Intake(planner) as intake:
        async for group in groups:
            await asyncio.to_thread(checks.take, total + 1, group)
            total += len(group)
            if total > most:
                raise Unprocessable(f"Batch exceeds maximum of {most} items", field="items")
            if not checks.wrong:
                await intake.take(group)
        told = head()
        if not total:
            raise Unprocessable("items must hold at least one item", field="items")
        if not checks.wrong:
            return await _make(deps, caller, planner, intake, told, {"format": "json", "file": None, "total": total}, key)
    with Intake(planner) as nothing:
        further = {"format": "json", "file": None, "total": total, "problems": checks.problems, "problem_count": checks.wrong}
        return await _make(deps, caller, planner, nothing, told, further, key)


async def create_of_file(deps: Deps, caller: Caller, upload_id: str, head: BatchHead, key: str | None = None) -> Batch:
    """A batch of an uploaded file, which is used up by it. Raises `NotFound` (D12), and `Conflict` as `create` does."""
    asked = _spec(head, {"upload": upload_id})
    if (known := await _known(deps, caller, asked, key)) is not None:
        return known
    await batch_limits(deps, caller)
    try:
        upload = await uploads.find(deps, caller, upload_id)
        planner = VerificationPlanner(deps.now, upload)
        with Intake(planner) as intake:
            await intake.take_all(uploads.items(deps, upload))
            further = {"format": upload.format, "file": upload.filename, "upload": upload.id, "total": upload.items}
            return await _make(deps, caller, planner, intake, head, further, key)
    except NotFound:
        if (known := await _known(deps, caller, asked, key)) is not None:
            return known  # the file was used up meanwhile by a request with this key
        raise


async def _make(
    deps: Deps,
    caller: Caller,
    planner: VerificationPlanner,
    intake: Intake[ItemRequest],
    head: BatchHead,
    further: dict[str, Any],
    key: str | None,
) -> Batch:
    spec = _spec(head, {**further, "digest": intake.digest})
    if (known := await _known(deps, caller, spec, key)) is not None:
        return known
    planner.claim = await with_models(deps, caller.org_id, head.claim)
    await require_room(deps, caller.org_id, 0 if "problems" in further else further["total"])
    expires_at = deps.now() + timedelta(days=(await batch_limits(deps, caller)).result_days)
    made = await batches.create(deps, caller, planner, intake, key, None, spec, expires_at)
    return _same(made.batch, spec) if made.replayed else made.batch


def _spec(head: BatchHead, further: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": head.name,
        "methods": head.claim.methods,
        "context": head.claim.context or None,
        "options": head.claim.to_json()["options"],
        **further,
    }


async def _known(deps: Deps, caller: Caller, asked: dict[str, Any], key: str | None) -> Batch | None:
    """The batch of a key; a repeated request is no further use, and has no limits."""
    known = None if key is None else await batches.find_by_key(deps, caller, KIND, key)
    return None if known is None else _same(known, asked)


def _same(known: Batch, asked: dict[str, Any]) -> Batch:
    """The batch of a key, if it was made of the same request. Raises `Conflict`."""
    if any(known.spec.get(name) != value for name, value in asked.items()):
        raise Conflict("Idempotency-Key was already used with a different request")
    return known


async def get(deps: Deps, caller: Caller, batch_id: str) -> Batch:
    """Raises `NotFound`, also for one of another organisation (D13) and for one that has expired."""
    async with deps.db.read() as c:
        batch = await batch_store.find_batch(c, batch_id)
    if batch is None or batch.kind != KIND or batch.org_id != caller.org_id or batch.has_expired(deps.now()):
        raise NotFound("Batch not found")
    return batch


async def list_batches(deps: Deps, caller: Caller, statuses: Sequence[str] | None, limit: int, offset: int) -> tuple[list[Batch], int]:
    """Newest first, and how many there are."""
    async with deps.db.read() as c:
        return await store.list_batches(c, caller.org_id, statuses, limit, offset, deps.now())


async def results(
    deps: Deps,
    caller: Caller,
    batch_id: str,
    *,
    statuses: Sequence[str] | None,
    verdicts: Sequence[str] | None,
    decisions: Sequence[str] | None,
    limit: int,
    offset: int,
) -> tuple[Batch, list[VerificationItem], int]:
    """A page of items, in input order, and how many match. Raises `NotFound`."""
    batch = await get(deps, caller, batch_id)
    async with deps.db.read() as c:
        if statuses is None and verdicts is None and decisions is None:
            return batch, await store.page_items(c, batch.id, limit, offset), batch.counts.size
        items, total = await store.list_items(
            c, batch.id, statuses=statuses, verdicts=verdicts, decisions=decisions, limit=limit, offset=offset
        )
    return batch, items, total


async def cancel(deps: Deps, caller: Caller, batch_id: str) -> Batch | None:
    """None where it is over. Raises `NotFound`."""
    batch = await get(deps, caller, batch_id)
    if batch.finished_at is not None or batch.cancel_requested_at is not None:
        return None
    return await batches.cancel(deps, caller, KIND, BatchId(batch_id))
