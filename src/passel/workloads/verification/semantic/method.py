"""Claims of many verifications at once: embedded together, compared with their organisation's facts together.

Whoever asks while a group is under way joins the next, so one claim waits for nobody and a thousand cost little more each than
their embedding. Two groups are under way: while the process embeds one, the other is compared.
"""

import asyncio
from collections import OrderedDict, defaultdict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from passel.core.ids import OrgId
from passel.core.verification.facts import LONGEST_TEXT, News
from passel.core.verification.findings import Finding, abstain
from passel.workloads.verification.methods import Work
from passel.workloads.verification.semantic.energies import Match, judge
from passel.workloads.verification.semantic.guards import compare
from passel.workloads.verification.semantic.reading import read
from passel.workloads.verification.semantic.shelf import KnownFact, Matrix, Shelf, vectors

_AT_ONCE = 128
_GROUPS = 2
_FACTS_IN_MEMORY = 200_000  # of all organisations together, some 800 MB; those of whom asked last

Embed = Callable[[Sequence[str]], Awaitable[list[bytes]]]


class FactSource(Protocol):
    async def news(self, org_id: OrgId, known: int) -> News | None:
        """What has changed in an organisation's facts since a version (0: nothing is known); None where nothing has."""
        ...


@dataclass(slots=True, eq=False)
class _Asked:
    text: str
    org_id: OrgId
    answer: asyncio.Future[Finding]


@dataclass
class Semantic:
    """The method, for as long as a worker runs."""

    source: FactSource
    embed: Embed
    _waiting: list[_Asked] = field(default_factory=list[_Asked])
    _running: set[asyncio.Task[None]] = field(default_factory=set[asyncio.Task[None]])
    _shelves: "OrderedDict[OrgId, Shelf]" = field(default_factory=OrderedDict)
    _reading: "defaultdict[OrgId, asyncio.Lock]" = field(default_factory=lambda: defaultdict(asyncio.Lock))

    async def __call__(self, work: Work) -> Finding:
        text = work.claim.content.strip()
        if len(text) > LONGEST_TEXT:
            return abstain(f"It is longer than {LONGEST_TEXT} characters, which is more than one statement.")
        asked = _Asked(text, work.org_id, asyncio.get_running_loop().create_future())
        self._waiting.append(asked)
        self._begin()
        return await asked.answer

    def _begin(self) -> None:
        if self._waiting and len(self._running) < _GROUPS:
            group, self._waiting = self._waiting[:_AT_ONCE], self._waiting[_AT_ONCE:]
            task = asyncio.create_task(self._answer(group))
            self._running.add(task)
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self._begin()

    async def _answer(self, group: list[_Asked]) -> None:
        by_org: defaultdict[OrgId, list[_Asked]] = defaultdict(list)
        for asked in group:
            if not asked.answer.done():  # its time was over
                by_org[asked.org_id].append(asked)
        for org_id, claims in by_org.items():
            try:
                found = await self._findings(org_id, [claim.text for claim in claims])
            except Exception as error:
                found = [error] * len(claims)
            for claim, one in zip(claims, found, strict=True):
                _settle(claim.answer, one)

    async def _findings(self, org_id: OrgId, texts: list[str]) -> Sequence[Finding | Exception]:
        shelf = await self._shelf(org_id)
        if not shelf.facts:
            return [abstain("There are no facts to compare it with.")] * len(texts)
        embeddings = await self.embed(texts)
        return await asyncio.to_thread(_compare_all, shelf, texts, vectors(embeddings))

    async def _shelf(self, org_id: OrgId) -> Shelf:
        """The facts as they are now; what the group before has read is not read again."""
        async with self._reading[org_id]:
            shelf = self._shelves.get(org_id, Shelf())
            news = await self.source.news(org_id, shelf.version)
            if news is not None:
                shelf = await asyncio.to_thread(shelf.with_news, news)
            self._shelves[org_id] = shelf
            self._shelves.move_to_end(org_id)
            self._forget()
        return shelf

    def _forget(self) -> None:
        while len(self._shelves) > 1 and sum(len(shelf.facts) for shelf in self._shelves.values()) > _FACTS_IN_MEMORY:
            self._shelves.popitem(last=False)


def _settle(answer: asyncio.Future[Finding], found: Finding | Exception) -> None:
    if answer.done():
        return
    if isinstance(found, Exception):
        answer.set_exception(found)
    else:
        answer.set_result(found)


def _compare_all(shelf: Shelf, texts: list[str], claims: Matrix) -> list[Finding]:
    return [finding(text, near) for text, near in zip(texts, shelf.nearest(claims), strict=True)]


def finding(claim: str, near: Sequence[tuple[KnownFact, float]]) -> Finding:
    """Of one claim, given the facts that lie nearest to it and their cosines."""
    reading = read(claim)
    return judge([Match(known.fact, similarity, compare(reading, known.reading)) for known, similarity in near])
