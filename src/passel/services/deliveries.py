"""The desk that deliveries are read at: what the workload `webhook` needs (`passel.core.webhook.letters.Desk`)."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from passel.core.events import Draft, Event
from passel.core.ids import BatchId, SessionId
from passel.core.states import Counts
from passel.core.webhook.letters import Letter, Undeliverable
from passel.services.batches import Batch, Item
from passel.services.deps import Deps
from passel.services.webhooks import sealed_for
from passel.store import batches as batch_store
from passel.store import sessions, webhooks
from passel.store.database import Row, patiently

_MOST_ITEMS = 1000
_TAIL = 10_000

Describe = Callable[[Batch, Counts, list[Item] | None], dict[str, Any]]
"""A batch in a face's words, with the counts that it had then. The items are None where they are too many for a body."""

About = Callable[[Letter], Awaitable[dict[str, Any]]]
"""What a letter says of a session, of a kind whose events do not say it all. Raises `Undeliverable`."""


@dataclass
class DeliveryDesk:
    """`describe` has a function for each kind that announces its batches, `about` for those whose sessions must be read. Letters
    that are asked for at once are read together."""

    deps: Deps
    describe: Mapping[str, Describe]
    about: Mapping[str, About] = field(default_factory=dict[str, About])
    _asked: "dict[str, asyncio.Future[Row | None]]" = field(default_factory=dict)
    _reading: "asyncio.Task[None] | None" = None

    async def letter(self, delivery_id: str, again: bool) -> Letter:
        row = await self._find(delivery_id)
        if row is None or row["kind"] is None or not (again or row["same_webhook"]):
            raise Undeliverable("the webhook was deleted")
        if row["event_seq"] is not None and row["event_type"] is None:
            raise Undeliverable("what it tells of was deleted")
        return self._letter(row)

    def _letter(self, row: Row) -> Letter:
        sealed = [row["sealed"]]
        if row["previous"] is not None and row["previous_until"] is not None and self.deps.now() < row["previous_until"]:
            sealed.append(row["previous"])
        return Letter(
            org_id=row["org_id"],
            id=row["id"],
            kind=row["kind"],
            type=row["type"],
            subject_id=row["subject_id"],
            scope_id=row["scope_id"],
            sequence=row["sequence"],
            watermark=row["watermark"],
            created_at=row["created_at"],
            url=row["url"],
            secrets=tuple(self.deps.vault.open(one, sealed_for(row["subject_id"])) for one in sealed),
            event=_event(row),
            spec=row["spec"] or {},
            metadata=row["metadata"] or {},
        )

    async def compose(self, letter: Letter, counts: dict[str, int] | None) -> dict[str, Any] | None:
        if letter.event is None:
            assert counts is not None, "a delivery tells of an event, or of a batch"
            return await self._batch(letter, counts)
        about = self.about.get(letter.kind)
        return await about(letter) if about else None

    async def disable(self, letter: Letter) -> None:
        async def write() -> None:
            async with self.deps.db.write() as c:
                await webhooks.disable_webhook(c, letter.subject_id, self.deps.now())

        await patiently(write)

    async def _batch(self, letter: Letter, counts: dict[str, int]) -> dict[str, Any]:
        async def read() -> tuple[Batch | None, list[Item]]:
            async with self.deps.db.snapshot() as c:
                batch = await batch_store.find_batch(c, letter.scope_id)
                few = batch is not None and batch.counts.size <= _MOST_ITEMS
                return batch, await batch_store.list_items(c, BatchId(letter.scope_id), -1, _MOST_ITEMS) if few else []

        batch, items = await patiently(read)
        if batch is None:
            raise Undeliverable("what it tells of was deleted")
        return self.describe[letter.kind](batch, Counts(**counts), items or None)

    async def is_over(self, letter: Letter) -> bool:
        event = letter.event
        if event is None:
            return False

        async def read() -> list[Event]:
            async with self.deps.db.read() as c:
                return await sessions.list_events(c, letter.scope_id, event.seq, _TAIL)

        return self.deps.announcing.kinds[letter.kind].is_over(event, await patiently(read))

    async def tell_of_failure(self, delivery_id: str, draft: Draft) -> None:
        async def write() -> None:
            async with self.deps.db.write() as c:
                await webhooks.tell_of_failure(c, delivery_id, draft, self.deps.now())

        await patiently(write)

    async def _find(self, delivery_id: str) -> Row | None:
        """One statement for all that is asked for while the one before is under way."""
        future = self._asked.get(delivery_id)
        if future is None:
            future = self._asked[delivery_id] = asyncio.get_running_loop().create_future()
        if self._reading is None:
            self._reading = asyncio.create_task(self._read())
        return await asyncio.shield(future)

    async def _read(self) -> None:
        try:
            while self._asked:
                asked, self._asked = self._asked, {}
                await self._answer(asked)
        finally:
            self._reading = None

    async def _answer(self, asked: "dict[str, asyncio.Future[Row | None]]") -> None:
        async def read() -> dict[str, Row]:
            async with self.deps.db.read() as c:
                return await webhooks.find_deliveries(c, list(asked))

        try:
            found = await patiently(read)
        except Exception as error:
            for future in asked.values():
                future.set_exception(error)
            return
        for delivery_id, future in asked.items():
            future.set_result(found.get(delivery_id))


def _event(row: Row) -> Event | None:
    if row["event_seq"] is None:
        return None
    told = row["event_message_id"], row["event_type"], row["event_data"], row["event_created_at"]
    return Event(row["org_id"], SessionId(row["scope_id"]), row["event_seq"], *told)
