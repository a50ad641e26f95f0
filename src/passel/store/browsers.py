"""Reading browser sessions and batches of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from passel.core.ids import BatchId, MessageId, OrgId, SessionId
from passel.store.batches import Batch, batch_of_row
from passel.store.database import ReadConnection, WriteConnection


@dataclass(frozen=True, slots=True)
class BrowserItem:
    """`state` is the item's, which is completed as soon as its browser is ready; `alive` says whether that runs, `scoped`
    whether it is opened by minted tokens alone. `began_at` is when the browser was begun to be started, `settled_at` when it was ready
    or had failed. `restarts` are starts that failed and were followed by another one, in all of its tries; `last_error` is why the try
    before this one failed."""

    index: int
    try_number: int
    session_id: SessionId
    state: str
    cancelled: bool
    scoped: bool
    alive: bool
    error: str | None
    began_at: datetime | None
    settled_at: datetime | None
    restarts: int
    last_error: str | None


@dataclass(frozen=True, slots=True)
class BrowserSpan:
    """What was in a span of time that begins at `date`; `seconds` are those for which browsers ran."""

    date: datetime
    sessions: int
    seconds: float
    bytes: int


async def list_items(c: ReadConnection, batch_id: str) -> list[BrowserItem]:
    """In input order, all of them."""
    return [BrowserItem(**row) for row in await c.fetch("list_browser_items", batch_id)]


async def item_index(c: ReadConnection, message_id: MessageId) -> int | None:
    return await c.fetchval("find_item_index", message_id)


async def add_tokens(c: WriteConnection, session_id: SessionId, scopes: dict[str, str]) -> None:
    """`scopes` by the hashes of tokens."""
    await c.execute("add_browser_tokens", session_id, scopes)


async def remove_token(c: WriteConnection, session_id: SessionId, hashed: str) -> None:
    await c.execute("remove_browser_token", session_id, hashed)


async def view_once(c: WriteConnection, session_id: SessionId) -> bool:
    """Whether this is the first view."""
    return await c.fetchrow("view_browser_once", session_id) is not None


async def capacity(c: ReadConnection) -> int:
    """How many sessions the workers that are there run at once; 0 where none runs any."""
    return await c.fetchval("browser_capacity")


async def retag(c: WriteConnection, session_id: SessionId, tags: Sequence[str]) -> None:
    await c.execute("retag_browser", session_id, list(tags))


async def analyse(
    c: ReadConnection, org_id: OrgId, since: datetime | None, until: datetime | None, span: str, now: datetime
) -> list[BrowserSpan]:
    """The oldest span first; those in which no session was made are left out. `span` is hour, day, week or month, of UTC."""
    return [BrowserSpan(**row) for row in await c.fetch("analyse_browsers", org_id, since, until, span, now)]


async def phase(c: ReadConnection, batch_id: str) -> str:
    """Of the least advanced of those that are being started."""
    return await c.fetchval("browser_phase", batch_id)


async def running(c: ReadConnection, batch_id: BatchId) -> dict[SessionId, str]:
    """Sessions of a batch whose browsers are ready and run, and where."""
    return {row["session_id"]: row["address"] for row in await c.fetch("running_browsers", batch_id)}


async def list_batches(
    c: ReadConnection, org_id: OrgId, status: str | None, after: datetime | None, before: datetime | None, limit: int, offset: int
) -> tuple[list[Batch], int]:
    """Newest first, and how many match."""
    rows = await c.fetch("list_browser_batches", org_id, status, after, before, limit, offset)
    return [batch_of_row(row) for row in rows if row["id"] is not None], rows[0]["total"]


class Minute(NamedTuple):
    """In which `made` sessions were made so far."""

    began_at: datetime
    made: int


async def count_if_fewer(c: WriteConnection, org_id: OrgId, count: int, most: int, now: datetime) -> Minute | None:
    """Count sessions that are about to be made. None where there would be more than `most` in this minute. `count` is at most `most`."""
    row = await c.fetchrow("count_browsers_made", org_id, now, count, most)
    return None if row is None else Minute(**row)


async def find_minute(c: ReadConnection, org_id: OrgId) -> Minute | None:
    row = await c.fetchrow("find_browser_minute", org_id)
    return None if row is None else Minute(**row)


@dataclass(frozen=True, slots=True)
class BrowserRow:
    """A session as lists have it. `request` and `ended` are what its ledger says of its beginning and its end; `tasks` are how many web
    tasks it was given, with so many `steps` together."""

    id: SessionId
    batch_id: BatchId | None
    status: str
    error: str | None
    created_at: datetime
    ended_at: datetime | None
    spec: dict[str, Any]
    domains: list[str]
    key_name: str | None
    request: dict[str, Any]
    ended: dict[str, Any] | None
    tasks: int
    steps: int


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which sessions; each filter that is not None must match. `fragments` are parts of tags, `profile` is one of
    the name of a profile. `proxied` are those with a proxy of their own, `tasked` those with web tasks."""

    status: str | None = None
    tags: Sequence[str] | None = None
    fragments: Sequence[str] | None = None
    since: datetime | None = None
    until: datetime | None = None
    batch_id: str | None = None
    domains: Sequence[str] | None = None
    profile: str | None = None
    proxied: bool | None = None
    tasked: bool | None = None


async def list_sessions(
    c: ReadConnection, org_id: OrgId, wanted: Wanted, *, newest_first: bool, limit: int, offset: int, by_key: bool = False
) -> tuple[list[BrowserRow], int]:
    """And how many match."""
    rows = await c.fetch(
        "list_browser_sessions",
        org_id, wanted.status, wanted.tags, wanted.fragments, wanted.since, wanted.until, wanted.batch_id, newest_first, limit, offset,
        by_key, wanted.domains, wanted.profile, wanted.proxied, wanted.tasked,
    )  # fmt: skip
    found = [BrowserRow(**{name: row[name] for name in BrowserRow.__slots__}) for row in rows if row["id"] is not None]
    return found, rows[0]["total"]
