"""Announcing: deliveries to webhooks, written in the transaction that causes them.

Which of what happens is news, each kind's vocabulary says. A session's or a batch's deliveries are numbered under the
lock that the transaction has of it anyway. They are sessions of the kind `webhook`, whose messages wait for a place in
the webhook's lane; that lane is among those that the transaction locks at its end. Where it could not know in time that a
batch would end, the feeder finds them there.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

import orjson

from passel.core import events
from passel.core.announcements import Vocabulary
from passel.core.events import Event
from passel.core.ids import BatchId, IdSource, LaneId, MessageId, OrgId
from passel.core.states import RUNNING, Counts
from passel.core.webhook import KIND, PREFIX
from passel.core.webhook.events import requested
from passel.store.database import Row, WriteConnection


class Watch(NamedTuple):
    """A webhook, as a transaction meets it: whose sessions it watches, and what it wants to hear of them."""

    id: str
    kind: str
    subject_id: str
    lane_id: LaneId
    event_types: Sequence[str]
    batch_items: bool

    @staticmethod
    def of_row(row: Row) -> "Watch | None":
        """From a statement that says which webhook watches, if any does."""
        if row["webhook_id"] is None:
            return None
        return Watch(row["webhook_id"], row["kind"], row["subject_id"], row["lane_id"], row["event_types"], row["batch_items"])


class Delivery(NamedTuple):
    """A delivery to be written. `event_seq` is the event that it tells of, None for a batch."""

    org_id: OrgId
    watch: Watch
    scope_id: str
    type: str
    event_seq: int | None
    request: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Announcing:
    """What is news in each kind, and where the ids of deliveries come from."""

    ids: IdSource
    kinds: Mapping[str, Vocabulary] = field(default_factory=dict[str, Vocabulary])

    def of_session(
        self, watch: Watch, told: Sequence[Event], idle: bool, result: Mapping[str, Any] | None = None, of_batch: bool = False
    ) -> list[Delivery]:
        """The deliveries that these events of one session cause."""
        vocabulary = self.kinds.get(watch.kind)
        if vocabulary is None or not told:
            return []
        unheard = vocabulary.item_types if of_batch and not watch.batch_items else frozenset[str]()
        return [
            Delivery(told[0].org_id, watch, told[0].session_id, one.type, one.seq, requested(one.type, None))
            for one in vocabulary.of_session(told, idle, result)
            if one.type in watch.event_types and one.type not in unheard
        ]

    def wants_batches(self, watch: Watch) -> bool:
        vocabulary = self.kinds.get(watch.kind)
        return vocabulary is not None and not vocabulary.batch_types.isdisjoint(watch.event_types)

    def of_batch(self, watch: Watch, org_id: OrgId, batch_id: BatchId, counts: Counts, cancelled: bool) -> list[Delivery]:
        vocabulary = self.kinds.get(watch.kind)
        type = vocabulary.of_batch(counts, cancelled) if vocabulary else None
        if type is None or type not in watch.event_types:
            return []
        told = {"queued": counts.queued, "running": counts.running, "completed": counts.completed, "failed": counts.failed}
        return [Delivery(org_id, watch, batch_id, type, None, requested(type, told))]


async def announce_batches(c: WriteConnection, batch_ids: Sequence[BatchId], announcing: Announcing, now: datetime) -> None:
    """Of batches whose last item has just ended, under their locks."""
    deliveries: list[Delivery] = []
    for row in await c.fetch("watched_batches", batch_ids):
        watch = Watch.of_row(row)
        assert watch is not None
        counts = Counts(row["queued"], row["running"], row["completed"], row["failed"])
        deliveries += announcing.of_batch(watch, row["org_id"], row["id"], counts, row["cancelled"])
    await insert_deliveries(c, deliveries, announcing.ids, now)


async def insert_deliveries(c: WriteConnection, deliveries: Iterable[Delivery], ids: IdSource, now: datetime) -> list[str]:
    """Write deliveries, in their order, and return their ids; the caller holds the locks of their scopes."""
    new = list(deliveries)
    if not new:
        return []
    made = [ids.new(PREFIX) for _ in new]
    await c.execute(
        "insert_deliveries",
        [d.org_id for d in new],
        made,
        [MessageId(ids.message()) for _ in new],
        [d.watch.subject_id for d in new],
        [d.watch.lane_id for d in new],
        [d.scope_id for d in new],
        [d.type for d in new],
        [d.event_seq for d in new],
        [orjson.dumps(d.request) for d in new],
        KIND,
        events.session_state(RUNNING, events.IDLE).data,
        now,
        [d.watch.id for d in new],
    )
    return made
