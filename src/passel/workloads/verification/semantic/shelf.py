"""The facts of an organisation in memory, and which of them lie nearest to claims: an exact scan.

10,000 facts are a matrix of 20 MB and 100,000 one of 200 MB, which a scan of many claims at once reads once. Nothing
approximate is needed, and no index: a fact that is there is found.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from passel.core.verification.facts import Fact, News
from passel.workloads.verification.semantic.reading import Reading, read

NEAREST = 16
_DIMENSIONS = 512
_ROWS = 4096  # of claims x facts at once

Matrix = NDArray[np.float32]


@dataclass
class KnownFact:
    """A fact, read by the guards when it first lies near a claim."""

    fact: Fact

    @cached_property
    def reading(self) -> Reading:
        return read(self.fact.text)


def vectors(embeddings: Sequence[bytes]) -> Matrix:
    """A row for each embedding, of length 1."""
    return np.frombuffer(b"".join(embeddings), np.float16).reshape(-1, _DIMENSIONS).astype(np.float32)


def _empty() -> Matrix:
    return np.empty((0, _DIMENSIONS), np.float32)


@dataclass(frozen=True)
class Shelf:
    """What was known at a version. It never changes: news make another."""

    version: int = 0
    facts: list[KnownFact] = field(default_factory=list[KnownFact])
    matrix: Matrix = field(default_factory=_empty)

    def with_news(self, news: News) -> "Shelf":
        replaced = {fact.id for fact, _ in news.written}
        stay = [
            n for n, known in enumerate(self.facts) if known.fact.id not in replaced and (news.kept is None or known.fact.id in news.kept)
        ]
        written = [(fact, embedding) for fact, embedding in news.written if news.kept is None or fact.id in news.kept]
        facts = [self.facts[n] for n in stay] + [KnownFact(fact) for fact, _ in written]
        old = self.matrix if len(stay) == len(self.facts) else self.matrix[stay]
        return Shelf(news.version, facts, np.concatenate([old, vectors([embedding for _, embedding in written])]))

    def nearest(self, claims: Matrix) -> list[list[tuple[KnownFact, float]]]:
        """For each claim (a row) the nearest facts with their cosines, the nearest first."""
        count = min(NEAREST, len(self.facts))
        if count == 0:
            return [[] for _ in claims]
        at_once = max(1, _ROWS * _ROWS // len(self.facts))
        found: list[list[tuple[KnownFact, float]]] = []
        for start in range(0, len(claims), at_once):
            cosines = claims[start : start + at_once] @ self.matrix.T
            top = np.argpartition(cosines, -count, axis=1)[:, -count:]
            found += [self._row(row, places) for row, places in zip(cosines, top, strict=True)]
        return found

    def _row(self, cosines: Matrix, places: NDArray[Any]) -> list[tuple[KnownFact, float]]:
        order = sorted(places.tolist(), key=lambda place: -cosines[place])
        return [(self.facts[place], float(cosines[place])) for place in order]
