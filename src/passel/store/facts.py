"""Facts of organisations, and the shelf that says whether they have changed.

A change locks the shelf first and takes its next version, so versions are committed in their order: who has seen a version
has seen all that is below it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from passel.core.ids import OrgId
from passel.core.verification.facts import Fact, NewFact
from passel.store.database import ReadConnection, WriteConnection

_PAGE = 2000


@dataclass(frozen=True, slots=True)
class Shelf:
    """`size` facts at a version; the last one that took some away was `thinned`."""

    version: int
    thinned: int
    size: int


async def turn_shelf(c: WriteConnection, org_id: OrgId) -> Shelf:
    """The shelf at its next version, locked; the first lock of such a transaction."""
    row = await c.fetchrow("turn_fact_shelf", org_id)
    assert row is not None
    return Shelf(**row)


async def find_shelf(c: ReadConnection, org_id: OrgId) -> Shelf:
    row = await c.fetchrow("find_fact_shelf", org_id)
    return Shelf(0, 0, 0) if row is None else Shelf(**row)


async def grow_shelf(c: WriteConnection, org_id: OrgId, count: int) -> None:
    await c.execute("grow_fact_shelf", org_id, count)


async def upsert_facts(
    c: WriteConnection,
    org_id: OrgId,
    ids: Sequence[str],
    facts: Sequence[NewFact],
    embeddings: Sequence[bytes],
    version: int,
    now: datetime,
) -> list[Fact]:
    """Texts must differ. One that is there already keeps its id, so ids that come back tell which are new."""
    columns: list[list[Any]] = [
        list(ids),
        [fact.text for fact in facts],
        [fact.polarity for fact in facts],
        [fact.source for fact in facts],
        [fact.date for fact in facts],
        list(embeddings),
    ]
    return [Fact(**row) for row in await c.fetch("upsert_facts", org_id, *columns, version, now)]


async def list_facts(c: ReadConnection, org_id: OrgId, limit: int, offset: int) -> list[Fact]:
    """Newest first."""
    return [Fact(**row) for row in await c.fetch("list_facts", org_id, limit, offset)]


async def delete_fact(c: WriteConnection, org_id: OrgId, fact_id: str) -> bool:
    return await c.execute("delete_fact", org_id, fact_id) == "DELETE 1"


async def list_new(c: ReadConnection, org_id: OrgId, since: int) -> list[tuple[Fact, bytes]]:
    """All facts written after a version, in pages, so that many of them hold the loop up in no one piece."""
    found: list[tuple[Fact, bytes]] = []
    version, id = since, ""
    while True:
        rows = await c.fetch("list_new_facts", org_id, since, version, id, _PAGE)
        found += [(Fact(**{name: row[name] for name in Fact.__slots__}), row["embedding"]) for row in rows]
        if len(rows) < _PAGE:
            return found
        version, id = rows[-1]["version"], rows[-1]["id"]


async def list_ids(c: ReadConnection, org_id: OrgId) -> frozenset[str]:
    return frozenset(row["id"] for row in await c.fetch("list_fact_ids", org_id))
