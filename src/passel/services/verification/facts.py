"""Facts that claims are compared with: loaded, listed, deleted, and what a worker reads of them."""

from collections.abc import AsyncIterable, Sequence
from dataclasses import dataclass

from passel.core.errors import NotFound, NotReady, TooLarge, Unavailable
from passel.core.ids import OrgId
from passel.core.verification.facts import Fact, NewFact, News
from passel.models.embedding import Embedder, EmbeddingFailed
from passel.services.deps import Caller, Deps
from passel.store import facts as store
from passel.store.database import patiently


@dataclass(frozen=True, slots=True)
class Loaded:
    """How many facts are new, how many were there already and took over what was said, and which they are."""

    created: int
    updated: int
    facts: list[Fact]


async def load(deps: Deps, caller: Caller, embedder: Embedder, group: Sequence[NewFact]) -> Loaded:
    """All of them, or none; when this returns every verification that begins from then on knows them. Of facts with the same
    text the last one counts. Raises `TooLarge` for more than an organisation may have, `Unavailable` where none can be embedded."""
    facts = list({fact.text: fact for fact in group}.values())
    try:
        embeddings = await embedder.embed([fact.text for fact in facts])
    except (NotReady, EmbeddingFailed) as error:
        raise Unavailable(str(error)) from error
    ids = [deps.ids.new("fact") for _ in facts]
    async with deps.db.write() as c:
        shelf = await store.turn_shelf(c, caller.org_id)
        written = await store.upsert_facts(c, caller.org_id, ids, facts, embeddings, shelf.version, deps.now())
        created = len({fact.id for fact in written} & set(ids))
        if shelf.size + created > deps.limits.facts:
            raise TooLarge(f"an organisation may have {deps.limits.facts} facts, and has {shelf.size}", field="facts")
        await store.grow_shelf(c, caller.org_id, created)
    return Loaded(created, len(written) - created, written)


async def load_all(deps: Deps, caller: Caller, embedder: Embedder, groups: AsyncIterable[Sequence[NewFact]]) -> tuple[int, int]:
    """Group after group, each whole: how many are new, and how many were there already. What breaks off is sent again."""
    created = updated = 0
    async for group in groups:
        loaded = await load(deps, caller, embedder, group)
        created, updated = created + loaded.created, updated + loaded.updated
    return created, updated


async def list_facts(deps: Deps, caller: Caller, limit: int, offset: int) -> tuple[list[Fact], int]:
    """Newest first, and how many there are."""
    async with deps.db.snapshot() as c:
        shelf = await store.find_shelf(c, caller.org_id)
        return await store.list_facts(c, caller.org_id, limit, offset), shelf.size


async def delete(deps: Deps, caller: Caller, fact_id: str) -> None:
    """Raises `NotFound`, also for one of another organisation."""
    async with deps.db.write() as c:
        await store.turn_shelf(c, caller.org_id)
        if not await store.delete_fact(c, caller.org_id, fact_id):
            raise NotFound("Fact not found")
        await store.grow_shelf(c, caller.org_id, -1)


@dataclass(frozen=True, slots=True)
class FactReader:
    """What a worker reads. Waits while the database is away."""

    deps: Deps

    async def news(self, org_id: OrgId, known: int) -> News | None:
        """What has changed since the version that is known (0: nothing is); None where nothing has."""

        async def read() -> News | None:
            async with self.deps.db.snapshot() as c:
                shelf = await store.find_shelf(c, org_id)
                if shelf.version == known:
                    return None
                kept = await store.list_ids(c, org_id) if 0 < known < shelf.thinned else None
                return News(shelf.version, await store.list_new(c, org_id, known), kept)

        return await patiently(read)
