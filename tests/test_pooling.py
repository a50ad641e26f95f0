"""From findings to a verdict and a decision: the vectors of the `check` contract, and what its rules say beside them."""

import itertools
import random

import pytest

from passel.core.verification.findings import FALSE, TRUE, UNCERTAIN, Finding, abstain
from passel.core.verification.pooling import CONFLICT, LOGODDS, NOT_APPLICABLE, Decision, Pooled, Thresholds, decide, pool

VECTORS = [
    ([(TRUE, 0.94, 1), (TRUE, 0.97, 0.5)], TRUE, 0.95, "accept"),
    ([(TRUE, 0.94, 1), (TRUE, 0.97, 1)], TRUE, 0.955, "accept"),
    ([(UNCERTAIN, 0.70, 1), (UNCERTAIN, 0.76, 0.5)], UNCERTAIN, 0.72, "escalate"),
    ([(FALSE, 0.88, 1)], FALSE, 0.88, "reject"),
    ([(TRUE, 0.90, 1), (FALSE, 0.90, 1)], UNCERTAIN, 0.475, "escalate"),
    ([(TRUE, 0.90, 1), (FALSE, 0.80, 0.5)], TRUE, 0.6333, "escalate"),
    ([(TRUE, 0.98, 1), (UNCERTAIN, 0.60, 0.5)], TRUE, 0.72, "escalate"),
    ([(TRUE, 1.0, 1), (TRUE, 0.60, 0.25)], TRUE, 0.92, "escalate"),
    ([(FALSE, 0.55, 1), (UNCERTAIN, 0.60, 1)], UNCERTAIN, 0.4125, "escalate"),
    ([(TRUE, 0.90, 1), (FALSE, 0.90, 0.9)], UNCERTAIN, 0.4974, "escalate"),
]
NAMES = ("reasoning", "tool", "semantic")


def finding(verdict: str, confidence: float) -> Finding:
    return Finding(verdict, confidence, "")


@pytest.mark.parametrize(("inputs", "verdict", "confidence", "decision"), VECTORS)
def test_the_contracts_vectors(inputs: list[tuple[str, float, float]], verdict: str, confidence: float, decision: str) -> None:
    found = {name: finding(v, c) for name, (v, c, _) in zip(NAMES, inputs, strict=False)}
    weights = {name: w for name, (_, _, w) in zip(NAMES, inputs, strict=False)}
    pooled = pool(found, weights)
    assert (pooled.verdict, round(pooled.confidence, 4)) == (verdict, confidence)
    assert decide(pooled, found, Thresholds()).decision == decision


def test_who_abstains_does_not_count() -> None:
    found = {"reasoning": finding(TRUE, 0.96), "formal": abstain("no formula")}
    assert pool(found, {"reasoning": 1, "formal": 100}) == Pooled(TRUE, 0.96)
    nothing = {"formal": abstain("no formula")}
    assert pool(nothing, {"formal": 1}) == Pooled(UNCERTAIN, 0.0)
    assert decide(pool(nothing, {"formal": 1}), nothing, Thresholds()) == Decision("escalate", NOT_APPLICABLE)


def test_a_disproof_forbids_to_accept() -> None:
    disproof = finding(FALSE, 1.0)
    alone = {"formal": disproof, "tool": abstain("no evidence")}
    assert decide(pool(alone, {"formal": 1, "tool": 1}), alone, Thresholds(0.1, 0.0)).decision == "reject"
    against = {"formal": disproof, "reasoning": finding(TRUE, 0.99)}
    outvoted = pool(against, {"formal": 0.01, "reasoning": 1})
    assert outvoted.verdict == TRUE
    assert decide(outvoted, against, Thresholds(0.9, 0.5)) == Decision("escalate", CONFLICT)
    assert decide(outvoted, against, Thresholds(0.9, 0.0)) == Decision("escalate", CONFLICT), "whatever the thresholds are"
    assert decide(pool(against, {"formal": 1, "reasoning": 0.1}), against, Thresholds(0.1, 0.0)).decision == "reject"
    unsure = {"formal": finding(FALSE, 0.95), "reasoning": finding(TRUE, 0.99)}
    assert decide(pool(unsure, {"formal": 0.01, "reasoning": 1}), unsure, Thresholds(0.9, 0.5)).decision == "accept"


def test_a_proof_does_not_force_to_accept() -> None:
    found = {"formal": finding(TRUE, 1.0), "reasoning": finding(TRUE, 0.6)}
    assert decide(pool(found, {"formal": 1, "reasoning": 1}), found, Thresholds()).decision == "escalate"


def test_pooling_is_fair() -> None:
    """Whatever the order and the scale of the weights; between the least and the most confident where all agree."""
    rng = random.Random(3)
    for _ in range(500):
        found = {name: finding(rng.choice((TRUE, FALSE, UNCERTAIN)), rng.random()) for name in NAMES}
        weights = {name: rng.uniform(0.1, 2) for name in NAMES}
        for mode in ("linear", LOGODDS):
            one = pool(found, weights, mode)
            assert 1 / 3 - 1e-9 <= one.confidence <= 1
            for order in itertools.permutations(NAMES):
                other = pool({name: found[name] for name in order}, {name: 7 * weights[name] for name in NAMES}, mode)
                assert other.verdict == one.verdict and abs(other.confidence - one.confidence) < 1e-9
        agreed = {name: finding(TRUE, rng.uniform(0.5, 1)) for name in NAMES}
        for mode in ("linear", LOGODDS):
            confidence = pool(agreed, weights, mode).confidence
            assert min(f.confidence for f in agreed.values()) - 0.1 < confidence <= 1
