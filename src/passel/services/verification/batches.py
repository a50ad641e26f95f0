"""Batches of verifications: from items inline or from a file, read by offset, cancelled."""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import orjson

from passel.core.errors import NotFound, Unprocessable
from passel.core.ids import BatchId
from passel.core.verification import KIND
from passel.core.verification.claims import MOST_CHARACTERS, Claim
from passel.services import batches
from passel.services.deps import Caller, Deps
from passel.services.intake import Intake
from passel.services.planning import Planned, Refused
from passel.services.verification.models import lane_of, with_models
from passel.store import batches as batch_store
from passel.store import verifications as store
from passel.store.batches import Batch
from passel.store.database import WriteConnection
from passel.store.verifications import VerificationItem

PREFIX = "ver"

_SHOWN_PROBLEMS = 100
_LONGEST_KEY = 255
_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class ItemRequest:
    """`content` and `context` as the client gave them, which may be anything."""

    content: Any
    context: Any = None
    key: str | None = None

    def problem(self) -> str | None:
        """What is wrong with it, in the words of the `check` contract (3.3)."""
        if not isinstance(self.content, str) or not self.content.strip():
            return "Content is required"
        if len(self.content) > MOST_CHARACTERS:
            return "Content exceeds maximum length"
        if self.context is not None and not isinstance(self.context, dict):
            return "Context must be an object"
        if self.key is not None and len(self.key) > _LONGEST_KEY:
            return f"idempotencyKey exceeds maximum length ({_LONGEST_KEY} chars)"
        return None


@dataclass(frozen=True, slots=True)
class BatchRequest:
    """`claim` is what all items have in common: methods, options, and the batch's context."""

    claim: Claim
    items: Sequence[ItemRequest]
    name: str | None = None


class VerificationPlanner:
    """Every item of a checked request can be made."""

    kind, subject_id = KIND, None

    def __init__(self, claim: Claim) -> None:
        self._claim, self._lane = claim, lane_of(claim)

    async def take_subject(self, subject_id: str | None) -> None: ...

    async def learn(self, index: int, item: ItemRequest) -> None: ...

    async def prepare(self) -> Sequence[str]:
        return [self._lane]

    async def lock(self, c: WriteConnection) -> None: ...

    def build(self, index: int, item: ItemRequest) -> Planned | Refused:
        claim = replace(self._claim, content=item.content, context={**self._claim.context, **(item.context or {})})
        spec = {"context": item.context, "key": item.key}
        return Planned(None, spec, self._lane, {}, claim.to_json(), prefix=PREFIX)

    def pack(self, item: ItemRequest) -> bytes:
        return orjson.dumps([item.content, item.context, item.key], option=orjson.OPT_APPEND_NEWLINE)

    def identity(self, item: ItemRequest, line: bytes) -> bytes:
        return line

    def unpack(self, line: bytes) -> ItemRequest:
        return ItemRequest(*orjson.loads(line))

    def again(self, asked: dict[str, Any]) -> ItemRequest:
        raise AssertionError("every item can be made")


async def create(deps: Deps, caller: Caller, request: BatchRequest) -> Batch:
    """A batch, which has failed at once where an item is wrong: then none of them runs (3.3). Raises `Unprocessable` for
    none, or too many."""
    if not request.items:
        raise Unprocessable("items must hold at least one item", field="items")
    if len(request.items) > deps.limits.json_items:
        raise Unprocessable(f"Batch exceeds maximum of {deps.limits.json_items} items", field="items")
    problems = _problems(request.items)
    planner = VerificationPlanner(await with_models(deps, caller.org_id, request.claim))
    spec: dict[str, Any] = {
        "name": request.name,
        "format": "json",
        "file": None,
        "methods": request.claim.methods,
        "context": request.claim.context or None,
        "options": request.claim.to_json()["options"],
        "total": len(request.items),
    }
    if problems:
        spec |= {"problems": problems[:_SHOWN_PROBLEMS], "problem_count": len(problems)}
    with Intake(planner) as intake:
        if not problems:
            await intake.take_all(_groups(request.items))
        expires_at = deps.now() + timedelta(days=deps.limits.result_days)
        made = await batches.create(deps, caller, planner, intake, None, None, spec, expires_at)
    return made.batch


async def _groups(items: Sequence[ItemRequest]) -> AsyncGenerator[Sequence[ItemRequest]]:
    for start in range(0, len(items), _AT_ONCE):
        yield items[start : start + _AT_ONCE]


def _problems(items: Sequence[ItemRequest]) -> list[dict[str, Any]]:
    """Rows count from 1 (D14)."""
    found: list[dict[str, Any]] = []
    keys: set[str] = set()
    for row, item in enumerate(items, 1):
        problem = item.problem()
        if problem is None and item.key is not None and item.key in keys:
            problem = "Duplicate idempotencyKey"
        if item.key is not None:
            keys.add(item.key)
        if problem is not None:
            found.append({"row": row, "error": problem})
    return found


async def get(deps: Deps, caller: Caller, batch_id: str) -> Batch:
    """Raises `NotFound`, also for one of another organisation (D13) and for one that has expired."""
    async with deps.db.read() as c:
        batch = await batch_store.find_batch(c, batch_id)
    if batch is None or batch.kind != KIND or batch.org_id != caller.org_id or (batch.expires_at or deps.now()) < deps.now():
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
