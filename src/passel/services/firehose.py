"""The firehose: everything that is told in an organisation, in one order, as it happens (`passel.core.org_ledger`)."""

import asyncio
from collections.abc import AsyncGenerator
from typing import NamedTuple

from passel.core.errors import Invalid, NotFound
from passel.core.ids import OrgId
from passel.core.org_ledger import Place, Wanted
from passel.services.following import Bell
from passel.store import org_ledger
from passel.store.database import Database, patiently
from passel.store.org_ledger import Page, Settled

_SOON, _LATER = 0.005, 0.25
"""After so many seconds it is looked again for what may be settled without a further word: at first, and at most."""


class _Seen(NamedTuple):
    """All is settled up to a number, and whether more may become so without a further word: when that look was made, for
    others look meanwhile."""

    upto: int
    waits: bool


class Firehose:
    """What a process needs for those who follow whole organisations."""

    def __init__(self, db: Database, bell: Bell, heartbeat: float) -> None:
        self._db, self._bell, self._heartbeat = db, bell, heartbeat
        self._settled = Settled()
        self._one_at_a_time = asyncio.Lock()
        self._next: asyncio.Task[_Seen] | None = None

    async def start(self, asked: Place | None) -> Place:
        """The place from which a stream begins: what was asked for, or else what is new from now on. Raises `Invalid` for
        one that does not exist yet, and `NotFound` for one that is not kept any more."""
        if asked is None:
            return Place((await self._look()).upto + 1)
        async with self._db.read() as c:
            first, last = await org_ledger.first_number(c), await org_ledger.last_number(c)
        # not what is settled here: in another process, which gave the place, it may be more
        if asked.n > last + 1:
            raise Invalid(f"there is no such place yet: the last one is {last + 1}.0", field="Last-Event-ID or after")
        if first is not None and Place(0) < asked < Place(first):
            raise NotFound("events from that place on are not kept any more: begin with after=0, and look up what else you need")
        return asked

    async def follow(self, org_id: OrgId, place: Place, wanted: Wanted) -> AsyncGenerator[Page]:
        """Pages of what is wanted behind a place, then of what is told, as it is committed. A page without entries says how
        far all was looked at: at the beginning, and then after each `heartbeat` seconds without anything. Ends when the
        process does."""
        with self._bell.listening(org_id) as ring:
            pause = _SOON
            yield Page([], place, more=False)
            quiet_until = asyncio.get_running_loop().time() + self._heartbeat
            while not self._bell.closed:
                seen = await self._look()
                page = await self._read(org_id, place, seen.upto, wanted)
                place = page.place
                now = asyncio.get_running_loop().time()
                if page.entries or now >= quiet_until:
                    quiet_until = now + self._heartbeat
                    yield page
                if page.more:
                    continue
                rest = max(0.0, quiet_until - now)
                rang = await ring.wait(min(rest, pause) if seen.waits else rest)
                pause = _SOON if rang else min(2 * pause, _LATER)

    async def _look(self) -> _Seen:
        """A look that has not begun yet, one for all who ask until it does: one under way may have missed what the caller was
        woken for. Waits out outages of the database, and until anything is known."""
        if self._next is None:
            self._next = asyncio.create_task(self._look_next())
            self._next.add_done_callback(_ended)
        return await asyncio.shield(self._next)

    async def _look_next(self) -> _Seen:
        async with self._one_at_a_time:
            self._next = None
            pause = _SOON
            while (upto := await patiently(self._look_once)) is None:
                await asyncio.sleep(pause)
                pause = min(2 * pause, _LATER)
            return _Seen(upto, self._settled.waits)

    async def _look_once(self) -> int | None:
        async with self._db.read() as c:
            return await self._settled.look(c)

    async def _read(self, org_id: OrgId, place: Place, upto: int, wanted: Wanted) -> Page:
        async def read() -> Page:
            async with self._db.read() as c:
                return await org_ledger.read_page(c, org_id, place, upto, wanted)

        return await patiently(read)


def _ended(look: "asyncio.Task[_Seen]") -> None:
    """Its error was seen, also when nobody waits any more."""
    if not look.cancelled():
        look.exception()
