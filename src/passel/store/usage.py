"""What organisations use in a month: counted by the transactions in which it is used, as the last row that they lock."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from passel.core.ids import OrgId
from passel.core.usage import crossed, percent, period_of
from passel.core.webhook.events import said
from passel.store import announcing
from passel.store.announcing import Announcing, Delivery, Watch
from passel.store.database import ReadConnection, Row, WriteConnection

Used = Mapping[tuple[OrgId, str], int]
"""How much more was used, by organisation and kind."""


async def find(c: ReadConnection, org_id: OrgId, kind: str, period: str) -> int:
    return await c.fetchval("find_usage", org_id, kind, period) or 0


async def count(c: WriteConnection, used: Used, announced: Announcing | None, now: datetime) -> None:
    """Whoever comes over a mark of its limit is told so, once: the row is locked."""
    ordered, period = sorted(used), period_of(now)
    columns = [org_id for org_id, _ in ordered], [kind for _, kind in ordered], [period] * len(ordered), [used[key] for key in ordered]
    for row in await c.fetch("count_usage", *columns):
        marks = crossed(row["used"] - used[row["org_id"], row["kind"]], row["used"], row["most"])
        if marks and announced is not None:
            deliveries = [one for watch in await _watches(c, row) for one in _told(announced, watch, row, marks)]
            await announcing.insert_deliveries(c, deliveries, announced.ids, now)


async def _watches(c: WriteConnection, row: Row) -> Sequence[Watch]:
    found = await c.fetch("list_webhooks", row["org_id"], row["kind"])
    return [
        Watch(one["id"], one["kind"], one["subject_id"], one["lane_id"], one["event_types"], one["batch_items"])
        for one in found
        if one["disabled_at"] is None
    ]


def _told(announced: Announcing, watch: Watch, row: Row, marks: Sequence[int]) -> list[Delivery]:
    vocabulary = announced.kinds.get(watch.kind)
    types = dict(vocabulary.usage_types) if vocabulary else {}
    data = {"period": row["period"], "used": row["used"], "limit": row["most"], "percent": percent(row["used"], row["most"])}
    scope = f"usage/{row['org_id']}/{row['period']}"
    return [
        Delivery(row["org_id"], watch, scope, types[mark], None, said(types[mark], data))
        for mark in marks
        if types.get(mark) in watch.event_types
    ]
