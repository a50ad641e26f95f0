"""Documents of organisations, that the method `tool` searches."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from passel.core.errors import NotFound, TooLarge, Unprocessable
from passel.core.ids import OrgId
from passel.core.sentences import sentences
from passel.core.text import require_storable
from passel.core.verification.documents import LONGEST_TEXT, LONGEST_TITLE, LONGEST_URL, Hit, NewDocument, in_passages
from passel.services.deps import Caller, Deps
from passel.store import documents as store
from passel.store.database import patiently
from passel.store.documents import Document, FoundPassage

PREFIX = "doc"


async def add(deps: Deps, caller: Caller, new: NewDocument) -> Document:
    """Raises `Unprocessable` and `TooLarge`."""
    _check(new)
    passages = await asyncio.to_thread(lambda: in_passages(sentences(new.text)))
    if not passages:
        raise Unprocessable("text must not be empty", field="text")
    made = Document(caller.org_id, deps.ids.new(PREFIX), new.title.strip(), new.url, new.dated, len(new.text), len(passages), deps.now())
    async with deps.db.write() as c:
        await store.insert(c, made, passages)
    return made


def _check(new: NewDocument) -> None:
    if len(new.text) > LONGEST_TEXT:
        raise TooLarge(f"text may have {LONGEST_TEXT} characters", field="text")
    if not 1 <= len(new.title.strip()) <= LONGEST_TITLE:
        raise Unprocessable(f"title must have 1 to {LONGEST_TITLE} characters", field="title")
    if new.url is not None and (len(new.url) > LONGEST_URL or not new.url.startswith(("http://", "https://"))):
        raise Unprocessable("url must be an http or https URL", field="url")
    for field, value in (("text", new.text), ("title", new.title), ("url", new.url or "")):
        require_storable(value, field)


async def get(deps: Deps, caller: Caller, id: str) -> tuple[Document, str]:
    """With its text. Raises `NotFound`, also for one of another organisation."""
    async with deps.db.snapshot() as c:
        found = await store.find(c, id)
        if found is None or found.org_id != caller.org_id:
            raise NotFound("Document not found")
        return found, "\n\n".join(await store.passages(c, id))


async def list_documents(deps: Deps, caller: Caller, limit: int, offset: int) -> tuple[list[Document], int]:
    """Newest first, and how many there are."""
    async with deps.db.read() as c:
        return await store.list_documents(c, caller.org_id, limit, offset)


async def delete(deps: Deps, caller: Caller, id: str) -> None:
    """Raises `NotFound`, also for one of another organisation."""
    async with deps.db.write() as c:
        if not await store.delete(c, caller.org_id, id):
            raise NotFound("Document not found")


@dataclass(frozen=True, slots=True)
class Documents:
    """Searches them. Implements `passel.core.verification.documents.Library`; waits while the database is away."""

    deps: Deps

    async def search(self, org_id: OrgId, words: Sequence[str], limit: int) -> list[Hit]:
        asked = " or ".join(f'"{word}"' for word in words)

        async def ask() -> list[FoundPassage]:
            async with self.deps.db.read() as c:
                return await store.search(c, org_id, asked, limit)

        return [_hit(found) for found in await patiently(ask)] if words else []


def _hit(found: FoundPassage) -> Hit:
    return Hit(found.url or f"document:{found.id}", found.title, found.text, found.dated.isoformat() if found.dated else None)
