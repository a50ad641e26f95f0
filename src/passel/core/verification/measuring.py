"""How good findings are, on claims whose truth is known. Pure."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from passel.core.verification.findings import FALSE, TRUE
from passel.core.verification.pooling import ACCEPT

BINS = 10


@dataclass(frozen=True, slots=True)
class Judged:
    """A claim that is `true` or not, and what was found: None as a verdict where nothing came of it. `decision` is what would
    follow if this were all that was found."""

    true: bool
    verdict: str | None
    confidence: float = 0.0
    decision: str | None = None
    milliseconds: float = 0.0
    cents: float = 0.0

    @property
    def decided(self) -> bool:
        return self.verdict in (TRUE, FALSE)

    @property
    def support(self) -> float:
        """The probability that the claim is true, as it follows from the finding; a half where nothing does."""
        if self.verdict == TRUE:
            return self.confidence
        return 1 - self.confidence if self.verdict == FALSE else 0.5


@dataclass(frozen=True, slots=True)
class Measured:
    """Shares from 0 to 1, None where they are shares of nothing. `coverage` of all claims got a verdict of true or false, and of
    those `accuracy` are right. `accepted` of the false claims would be accepted, `believed` of them are called true. `ece` is the
    expected calibration error in ten bins, `brier` the mean squared error, both of the support, over what got a verdict."""

    claims: int
    coverage: float | None
    accuracy: float | None
    accepted: float | None
    believed: float | None
    ece: float | None
    brier: float | None
    p50: float | None
    p95: float | None
    cents: float


def measure(judged: Sequence[Judged]) -> Measured:
    decided = [one for one in judged if one.decided]
    wrong = [one for one in judged if not one.true]
    times = sorted(one.milliseconds for one in judged)
    return Measured(
        claims=len(judged),
        coverage=_share(one.decided for one in judged),
        accuracy=_share((one.verdict == TRUE) == one.true for one in decided),
        accepted=_share(one.decision == ACCEPT for one in wrong),
        believed=_share(one.verdict == TRUE for one in wrong),
        ece=calibration_error(decided),
        brier=_mean([(one.support - one.true) ** 2 for one in decided]),
        p50=_quantile(times, 0.5),
        p95=_quantile(times, 0.95),
        cents=math.fsum(one.cents for one in judged),
    )


def calibration_error(judged: Sequence[Judged]) -> float | None:
    """How far support and truth lie apart, weighted by how many claims have a support in each tenth."""
    if not judged:
        return None
    bins: dict[int, list[Judged]] = {}
    for one in judged:
        bins.setdefault(min(BINS - 1, int(one.support * BINS)), []).append(one)
    return math.fsum(abs(math.fsum(one.support for one in members) - sum(one.true for one in members)) for members in bins.values()) / len(
        judged
    )


def _share(hits: Iterable[bool]) -> float | None:
    return _mean([float(hit) for hit in hits])


def _mean(values: Sequence[float]) -> float | None:
    return math.fsum(values) / len(values) if values else None


def _quantile(ordered: Sequence[float], share: float) -> float | None:
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else None
