"""Rounds of searching and reading, until the evidence decides or there is no more to ask."""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from math import log

from passel.core.sentences import sentences
from passel.core.verification.documents import Hit, in_passages
from passel.core.verification.findings import Finding, abstain
from passel.workloads.verification.methods import Work
from passel.workloads.verification.tool.pages import Pages, Unreachable
from passel.workloads.verification.tool.queries import ROUNDS, Query, queries
from passel.workloads.verification.tool.sources import SearchFailed, Source
from passel.workloads.verification.tool.stance import Stance, by_model, by_words
from passel.workloads.verification.tool.votes import NEUTRAL, Vote, concluded, score
from passel.workloads.verification.tool.wording import Wording, words_of

LONGEST_CLAIM = 1000
"""In characters, where words are compared without a model: what is longer is no one statement, and would be read for long."""

_HITS = 10  # of a source for a query
_FETCHED = 6  # pages of a round
_READ = 8  # passages of a round


@dataclass(frozen=True, slots=True)
class _Passage:
    hit: Hit
    text: str
    fetched_at: datetime


@dataclass(frozen=True, slots=True)
class Tool:
    """`weights` of domains stand over 1."""

    sources: Sequence[Source]
    pages: Pages
    now: Callable[[], datetime]
    weights: Mapping[str, float] = field(default_factory=dict[str, float])

    async def __call__(self, work: Work) -> Finding:
        if work.models.option is None and len(work.claim.content) > LONGEST_CLAIM:
            return abstain(f"It is longer than {LONGEST_CLAIM} characters, which no sentence says; a model could compare it.")
        votes: list[Vote] = []
        seen: set[str] = set()
        read: list[Wording] = []
        looked_at = 0
        for round in range(1, ROUNDS + 1):
            asked = queries(work.claim.content, round)
            if not asked:
                break
            try:
                found = await self._found(work, asked, seen)
            except SearchFailed:
                if any(vote.stance != NEUTRAL for vote in votes):
                    break  # what was found before stands
                raise
            passages = await asyncio.to_thread(best, work.claim.content, found, read)
            looked_at += len(passages)
            votes += await self._votes(work, round, passages)
            if score(votes, self.weights).decisive:
                break
        return concluded(votes, self.weights, looked_at)

    async def _found(self, work: Work, asked: Sequence[Query], seen: set[str]) -> list[_Passage]:
        """New passages. Raises `SearchFailed` when no source answers."""
        searches = [source.search(work.org_id, query, _HITS) for source in self.sources for query in asked]
        answers = await asyncio.gather(*searches, return_exceptions=True)
        failed = [answer for answer in answers if isinstance(answer, BaseException)]
        for failure in failed:
            if not isinstance(failure, SearchFailed):
                raise failure
        if len(failed) == len(answers):
            raise SearchFailed("; ".join(sorted({str(failure) for failure in failed})) or "there is nothing to search in")
        hits = [hit for answer in answers if not isinstance(answer, BaseException) for hit in answer]
        texts = await self._texts([hit for hit in hits if _is_new(hit.url + hit.text, seen)])
        at = self.now()
        parts = await asyncio.to_thread(lambda: [(hit, part) for hit, text in texts for part in _parts(hit, text)])
        return [_Passage(hit, part, at) for hit, part in parts if _is_new(part, seen)]

    async def _texts(self, hits: Sequence[Hit]) -> list[tuple[Hit, str]]:
        """With the pages of the first hits that are only parts; where there is none, the part that the engine shows."""
        partial = list({hit.url: hit for hit in hits if not hit.whole}.values())[:_FETCHED]
        texts = dict(zip((hit.url for hit in partial), await asyncio.gather(*(self._page(hit) for hit in partial)), strict=True))
        return [(hit, hit.text if hit.whole else texts.get(hit.url) or hit.text) for hit in hits]

    async def _page(self, hit: Hit) -> str:
        try:
            return await self.pages.text(hit.url)
        except Unreachable:
            return hit.text

    async def _votes(self, work: Work, round: int, passages: Sequence[_Passage]) -> list[Vote]:
        stances: list[Stance] = []
        if work.models.option is not None and passages:
            stances = await by_model(work, f"stances {round}", [passage.text for passage in passages])
        else:
            stances = await asyncio.to_thread(lambda: [by_words(work.claim.content, sentences(passage.text)) for passage in passages])
        return [
            Vote(passage.hit.url, passage.hit.title, stance.quote, stance.stance, passage.fetched_at)
            for passage, stance in zip(passages, stances, strict=True)
        ]


def _parts(hit: Hit, text: str) -> list[str]:
    return [text] if hit.whole else in_passages(sentences(text))


def _is_new(text: str, seen: set[str]) -> bool:
    if text in seen:
        return False
    seen.add(text)
    return True


def best(claim: str, passages: Sequence[_Passage], read: list[Wording]) -> list[_Passage]:
    """Those that have most of the claim's words, rare words first (BM25 with k1 = 1.2, b = 0.75, over the passages found); none that
    is nearly one of those `read`, to which they are added: a text that many sites copy is one text."""
    wanted = set(words_of(claim))
    counted = [Counter(words_of(passage.text)) for passage in passages]
    mean = sum(counts.total() for counts in counted) / len(counted) if counted else 1.0
    weight = {word: log(1 + (len(counted) + 0.5) / (sum(word in counts for counts in counted) + 0.5)) for word in wanted}

    def rank(n: int) -> float:
        counts = counted[n]
        length = 1.2 * (0.25 + 0.75 * counts.total() / mean)
        return sum(weight[word] * counts[word] * 2.2 / (counts[word] + length) for word in wanted if word in counts)

    chosen: list[_Passage] = []
    for n in sorted(range(len(passages)), key=rank, reverse=True):
        if len(chosen) == _READ or rank(n) <= 0:
            break
        wording = Wording.of(passages[n].text)
        if not any(wording.copies(other) for other in read):
            read.append(wording)
            chosen.append(passages[n])
    return chosen
