"""From what the methods found to one verdict (D26, D35), and from that to a decision (D27, D33, D43)."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from passel.core.verification import FORMAL
from passel.core.verification.findings import FALSE, TRUE, UNCERTAIN, Finding

ACCEPT, ESCALATE, REJECT = "accept", "escalate", "reject"
LINEAR, LOGODDS = "linear", "logodds"

LOW_CONFIDENCE, CONFLICT, UNCLEAR, NOT_APPLICABLE = "low_confidence", "conflict", "uncertain", "no_applicable_method"
"""Why a claim goes to a person (D29)."""

_VERDICTS = (TRUE, FALSE, UNCERTAIN)
_TOLERANCE = 1e-9
_LEAST = 1e-6  # of a probability in log-odds, so that no single method can rule a verdict out


class Pooled(NamedTuple):
    """`confidence` is that in the verdict, not rounded; 0 where no method could say anything."""

    verdict: str
    confidence: float


@dataclass(frozen=True, slots=True)
class Thresholds:
    """From `accept` up a claim is accepted, below `escalate` it is rejected, in between a person decides."""

    accept: float = 0.95
    escalate: float = 0.5


class Decision(NamedTuple):
    """`reason` where it is to escalate."""

    decision: str
    reason: str | None = None


def pool(found: Mapping[str, Finding], weights: Mapping[str, float], mode: str = LINEAR) -> Pooled:
    """One verdict from the findings of methods, by their weights; those that abstain do not count. Where all agree the
    confidence is the weighted mean."""
    told = [(weights[method], _spread(finding)) for method, finding in found.items() if finding.applicable]
    if not told:
        return Pooled(UNCERTAIN, 0.0)
    shares = _linear(told) if mode == LINEAR else _logodds(told)
    best, second = sorted(shares, reverse=True)[:2]
    verdict = _VERDICTS[shares.index(best)]
    if best < 0.5 - _TOLERANCE or best - second < _TOLERANCE:
        verdict = UNCERTAIN
    return Pooled(verdict, best)


def _spread(finding: Finding) -> tuple[float, ...]:
    """A probability for each verdict: what the finding leaves over goes to the others in halves."""
    rest = (1 - finding.confidence) / 2
    return tuple(finding.confidence if verdict == finding.verdict else rest for verdict in _VERDICTS)


def _linear(told: list[tuple[float, tuple[float, ...]]]) -> list[float]:
    total = math.fsum(weight for weight, _ in told)
    return [math.fsum(weight * shares[n] for weight, shares in told) / total for n in range(len(_VERDICTS))]


def _logodds(told: list[tuple[float, tuple[float, ...]]]) -> list[float]:
    total = math.fsum(weight for weight, _ in told)
    raw = [math.exp(math.fsum(w * math.log(max(shares[n], _LEAST)) for w, shares in told) / total) for n in range(len(_VERDICTS))]
    return [share / math.fsum(raw) for share in raw]


def decide(pooled: Pooled, found: Mapping[str, Finding], thresholds: Thresholds) -> Decision:
    """What follows for the claim. A formal disproof forbids to accept it (D33, D43)."""
    decision = _by_thresholds(pooled, thresholds)
    if _disproved(found):
        alone = sum(finding.applicable for finding in found.values()) == 1
        if alone or pooled.verdict == FALSE or decision == REJECT:
            return Decision(REJECT)
        return Decision(ESCALATE, CONFLICT)
    if decision != ESCALATE:
        return Decision(decision)
    return Decision(ESCALATE, _reason(pooled, found))


def _by_thresholds(pooled: Pooled, thresholds: Thresholds) -> str:
    if pooled.verdict == UNCERTAIN:
        return ESCALATE
    support = pooled.confidence if pooled.verdict == TRUE else 1 - pooled.confidence
    if support >= thresholds.accept - _TOLERANCE:
        return ACCEPT
    return ESCALATE if support >= thresholds.escalate - _TOLERANCE else REJECT


def _disproved(found: Mapping[str, Finding]) -> bool:
    formal = found.get(FORMAL)
    return formal is not None and formal.applicable and formal.verdict == FALSE and formal.confidence == 1.0


def _reason(pooled: Pooled, found: Mapping[str, Finding]) -> str:
    verdicts = {finding.verdict for finding in found.values() if finding.applicable}
    if not verdicts:
        return NOT_APPLICABLE
    if {TRUE, FALSE} <= verdicts:
        return CONFLICT
    return UNCLEAR if pooled.verdict == UNCERTAIN else LOW_CONFIDENCE
