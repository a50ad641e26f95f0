"""Reading the ledger of an organisation (`passel.core.org_ledger`).

Numbers are drawn under the locks of the ledgers that grow, so those of one session or batch are in their order; but who has
drawn one may commit after a higher one was committed, or never. What is behind a number is therefore read only once it is
settled: no transaction that may still write below it is under way.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

import orjson

from passel.core.events import Event
from passel.core.ids import OrgId
from passel.core.org_ledger import OrgEntry, Place, Row, Stretch, Wanted, stretches
from passel.store.batches import entries_of_row
from passel.store.database import ReadConnection, WriteConnection

_ROWS, _EVENTS = 64, 500
_NUMBERS = 10_000


class Page(NamedTuple):
    """What is wanted behind a place, and the place behind all that was looked at; there may be `more`."""

    entries: list[OrgEntry]
    place: Place
    more: bool


class Settled:
    """Up to which number nothing more will be written. `look` asks; each time it may know of more.

    Numbers that follow each other without a gap are settled when they are there. A gap is settled with the end of the last
    transaction that was under way when a number behind it was seen: whoever draws one later draws a higher one. The
    sequence is not asked: after a crash it may give out again what it had given to those who did not commit.
    """

    def __init__(self) -> None:
        self._upto: int | None = None
        self._gap: tuple[int, set[str]] | None = None

    async def look(self, c: ReadConnection) -> int | None:
        """The number up to which all is settled; None when nothing is known yet."""
        if self._upto is None and self._gap is None:
            await self._see_gap(c)
        while True:
            if self._upto is not None:
                self._upto = await self._run(c, self._upto)
            if self._gap is None or not await self._close_gap(c):
                return self._upto

    @property
    def waits(self) -> bool:
        """Whether more may become settled without a further word."""
        return self._gap is not None

    async def _run(self, c: ReadConnection, upto: int) -> int:
        """The last number before the next gap. Where there are very many, nobody has looked for long: then what is behind these
        is waited for like a gap, which skips it."""
        numbers = [row["n"] for row in await c.fetch("org_numbers", upto, _NUMBERS)]
        run = next((k for k, n in enumerate(numbers) if n != upto + 1 + k), len(numbers))
        upto += run
        if run == len(numbers) < _NUMBERS:
            self._gap = None
        elif self._gap is None or self._gap[0] <= upto:
            await self._see_gap(c)
        return upto

    async def _see_gap(self, c: ReadConnection) -> None:
        """The number first: whoever has drawn a lower one, and is under way, is among those who are asked for then."""
        last = await last_number(c)
        self._gap = last, await self._writers(c)

    async def _close_gap(self, c: ReadConnection) -> bool:
        assert self._gap is not None
        last, suspects = self._gap
        if suspects:
            suspects &= await self._writers(c)
        if suspects:
            return False
        self._upto, self._gap = last, None
        return True

    async def _writers(self, c: ReadConnection) -> set[str]:
        return {row["id"] for row in await c.fetch("org_writers")}


async def insert_sessions(c: WriteConnection, org_id: OrgId, lists: Sequence[str], events: int, now: datetime) -> None:
    """Tell of new sessions, each with so many events: lists of ids with commas between them."""
    await c.fetch("insert_org_events", org_id, lists, events, now)


async def first_number(c: ReadConnection) -> int | None:
    """The oldest that is kept, of whatever organisation."""
    return await c.fetchval("org_first_number")


async def last_number(c: ReadConnection) -> int:
    """The highest that is committed, of whatever organisation; 0 before the first."""
    return await c.fetchval("org_last_number")


async def forget(c: WriteConnection, before: datetime, limit: int) -> int:
    """Remove rows that were written before a moment, but the last of these: it says up to where all is known. Returns how many."""
    return len(await c.fetch("forget_org_events", before, limit))


async def read_page(c: ReadConnection, org_id: OrgId, place: Place, upto: int, wanted: Wanted) -> Page:
    """What is wanted behind a place and up to a settled number, a page of it."""
    listed = await c.fetch("list_org_events", org_id, place.n, upto, _ROWS)
    rows = [Row(r["n"], r["of_batches"], r["ids"], r["firsts"], r["lasts"]) for r in listed]
    found, end = stretches(rows, place, _EVENTS)
    there = listed[0]["there"] if listed else 0
    more = there > len(rows) or there == _ROWS or (bool(rows) and end.n <= rows[-1].n)
    if not more:
        end = max(end, Place(upto + 1))
    told, cut = await _events(c, [s for s in found if not s.of_batches], wanted)
    told += await _entries(c, [s for s in found if s.of_batches], wanted)
    told.sort(key=lambda entry: entry.place)
    if cut is not None:
        return Page([entry for entry in told if entry.place <= cut], cut, more=True)
    return Page(told, end, more)


async def _events(c: ReadConnection, of: Sequence[Stretch], wanted: Wanted) -> tuple[list[OrgEntry], Place | None]:
    """Those of sessions, and the place behind them where there are more than a page has room for."""
    if not of:
        return [], None
    rows = await c.fetch(
        "list_stretches",
        [s.id for s in of],
        [s.first for s in of],
        [s.last for s in of],
        wanted.kinds,
        wanted.batch_id,
        wanted.subject_id,
        orjson.dumps(wanted.metadata) if wanted.metadata is not None else None,
        wanted.types,
    )
    told: list[OrgEntry] = []
    for row in rows:
        stretch, *event, kind, subject_id, batch_id, metadata, _ = row.values()
        made = Event._make(event)
        told.append(OrgEntry(of[stretch - 1].behind(made.seq), made, kind, subject_id, batch_id, metadata))
    cut = told[-1].place if rows and rows[0]["wanted"] > len(rows) else None
    return told, cut


async def _entries(c: ReadConnection, of: Sequence[Stretch], wanted: Wanted) -> list[OrgEntry]:
    if not of or wanted.metadata:
        return []
    rows = await c.fetch(
        "list_batch_stretches",
        [s.id for s in of],
        [s.first for s in of],
        [s.last for s in of],
        wanted.kinds,
        wanted.batch_id,
        wanted.subject_id,
    )
    told: list[OrgEntry] = []
    for row in rows:
        stretch = of[row["stretch"] - 1]
        told += [
            OrgEntry(stretch.behind(one.seq), one, row["kind"], row["subject_id"], row["batch_id"], None)
            for one in entries_of_row(row)
            if stretch.first <= one.seq <= stretch.last and wanted.of_batch(one)
        ]
    return told
