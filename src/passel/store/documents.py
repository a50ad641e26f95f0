"""Documents that claims are held against, as rows: their text lies in passages."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime

from passel.core.ids import OrgId
from passel.store.database import ReadConnection, WriteConnection


@dataclass(frozen=True, slots=True)
class Document:
    org_id: OrgId
    id: str
    title: str
    url: str | None
    dated: date | None
    characters: int
    passages: int
    created_at: datetime


@dataclass(frozen=True, slots=True)
class FoundPassage:
    """A passage that a search found, with its document's `id`, `title`, `url` and date."""

    id: str
    title: str
    url: str | None
    dated: date | None
    text: str


async def insert(c: WriteConnection, document: Document, passages: Sequence[str]) -> None:
    one = document
    await c.execute("insert_document", one.org_id, one.id, one.title, one.url, one.dated, one.characters, list(passages), one.created_at)


async def find(c: ReadConnection, id: str) -> Document | None:
    row = await c.fetchrow("find_document", id)
    return None if row is None else Document(**row)


async def list_documents(c: ReadConnection, org_id: OrgId, limit: int, offset: int) -> tuple[list[Document], int]:
    """Newest first, and how many there are."""
    rows = await c.fetch("list_documents", org_id, limit, offset)
    return [Document(**{name: row[name] for name in Document.__slots__}) for row in rows if row["id"] is not None], rows[0]["total"]


async def delete(c: WriteConnection, org_id: OrgId, id: str) -> bool:
    """Whether it was there."""
    return await c.fetchval("delete_document", org_id, id) is not None


async def passages(c: ReadConnection, id: str) -> list[str]:
    """The text of a document, in its order."""
    return [row["text"] for row in await c.fetch("read_passages", id)]


async def search(c: ReadConnection, org_id: OrgId, words: str, limit: int) -> list[FoundPassage]:
    """Passages with any of some words, given with `or` between them, the best first."""
    return [FoundPassage(**row) for row in await c.fetch("search_passages", org_id, words, limit)]
