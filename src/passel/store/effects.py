"""Effects in SQL: begun before anything leaves, ended with what came of it, in doubt when nobody can say."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import orjson

from passel.core.costs import Usage
from passel.core.effects import IN_DOUBT, Effect, Outcome
from passel.core.events import Draft, effect_in_doubt
from passel.core.ids import MessageId
from passel.store.changes import Changes
from passel.store.database import WriteConnection
from passel.store.leases import Lease


def columns_begun(begun: Sequence[tuple[MessageId, Effect]]) -> tuple[list[Any], ...]:
    """Of effects that begin with a write of their message's attempt, as `advance_messages` takes them."""
    return (
        [message_id for message_id, _ in begun],
        [e.id for _, e in begun],
        [e.kind for _, e in begun],
        [e.name for _, e in begun],
        [e.number for _, e in begun],
        [e.request_hash for _, e in begun],
        [None if e.detail is None else orjson.dumps(e.detail) for _, e in begun],
        [e.started_at for _, e in begun],
    )


async def end(c: WriteConnection, ended: Sequence[tuple[Lease, Outcome]], changes: Changes) -> None:
    """Only what this call ended is billed: the bill is made from the rows that changed."""
    rows = await c.fetch(
        "end_effects",
        [o.id for _, o in ended],
        [lease.message_id for lease, _ in ended],
        [lease.attempt for lease, _ in ended],
        [o.state for _, o in ended],
        [o.usage.input_tokens for _, o in ended],
        [o.usage.output_tokens for _, o in ended],
        [o.usage.cache_read_tokens for _, o in ended],
        [o.usage.cost_usd for _, o in ended],
        [o.error for _, o in ended],
        [o.ended_at for _, o in ended],
    )
    changed = {row["id"] for row in rows}
    for lease, outcome in ended:
        if outcome.id in changed and lease.place.batch_id is not None:
            changed.discard(outcome.id)  # named twice in one write, it still ended once
            changes.batches[lease.place.batch_id].bill(outcome.state, outcome.usage)


async def doubt(c: WriteConnection, leases: Iterable[Lease], changes: Changes) -> dict[MessageId, list[Draft]]:
    """What these attempts, which have ended, left open is in doubt from now on. Returns the events that tell of it."""
    by_message = {lease.message_id: lease for lease in leases}
    told: dict[MessageId, list[Draft]] = defaultdict(list)
    if not by_message:
        return told
    sessions = [lease.session_id for lease in by_message.values()]
    for row in await c.fetch("doubt_effects", sessions, list(by_message), changes.now):
        message_id = MessageId(row["message_id"])
        told[message_id].append(effect_in_doubt(_described(row)))
        batch_id = by_message[message_id].place.batch_id
        if batch_id is not None:
            changes.batches[batch_id].bill(IN_DOUBT, Usage())
    return told


def _described(row: Any) -> dict[str, Any]:
    return {name: row[name] for name in ("id", "kind", "name", "number", "attempt", "request_hash", "detail")}
