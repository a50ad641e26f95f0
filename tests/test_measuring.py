"""Measures of findings and calibrators, against values computed by hand and by brute force."""

import math
import random

import pytest

from passel.cli import bench_claims
from passel.core.verification.calibration import Calibrator, fit
from passel.core.verification.findings import FALSE, TRUE, UNCERTAIN, Finding, abstain
from passel.core.verification.measuring import Judged, calibration_error, measure
from passel.workloads.verification.formal import check


def test_measures_are_what_they_say() -> None:
    judged = [
        Judged(True, TRUE, 0.9, "escalate", 10, 1),
        Judged(True, FALSE, 0.8, "reject", 20, 1),
        Judged(False, TRUE, 0.96, "accept", 30, 0),
        Judged(False, FALSE, 0.7, "reject", 40, 2),
        Judged(False, UNCERTAIN, 0.5, "escalate", 50, 0),
        Judged(True, None, milliseconds=60),
    ]
    found = measure(judged)
    assert (found.claims, found.coverage, found.accuracy) == (6, 4 / 6, 0.5)
    assert (found.accepted, found.believed) == (1 / 3, 1 / 3)
    assert found.brier == pytest.approx(((0.9 - 1) ** 2 + (0.2 - 1) ** 2 + 0.96**2 + 0.3**2) / 4)
    # supports 0.9 (true) and 0.96 (false) share a tenth: |1.86 - 1|; 0.2 (true): 0.8; 0.3 (false): 0.3
    assert found.ece == pytest.approx((0.86 + 0.8 + 0.3) / 4)
    assert (found.p50, found.p95, found.cents) == (40, 60, 4)


def test_nothing_is_a_share_of_nothing() -> None:
    found = measure([])
    assert (found.claims, found.coverage, found.accuracy, found.accepted, found.ece, found.p50) == (0, None, None, None, None, None)
    assert calibration_error([]) is None


def overconfident(r: random.Random, count: int) -> tuple[list[float], list[bool]]:
    """Supports that are further from a half than they should be: what is called 0.9 is true in two of three cases."""
    supports = [r.uniform(0.02, 0.98) for _ in range(count)]
    return supports, [r.random() < 1 / (1 + math.exp(-0.3 * math.log(s / (1 - s)) - 0.2)) for s in supports]


def test_a_fit_finds_what_was_put_in() -> None:
    fitted = fit(*overconfident(random.Random(3), 20_000), "v1")
    assert fitted.a == pytest.approx(0.3, abs=0.03) and fitted.b == pytest.approx(0.2, abs=0.05) and fitted.claims == 20_000
    supports, truths = overconfident(random.Random(4), 5000)
    plain = [Judged(true, TRUE, s) if s >= 0.5 else Judged(true, FALSE, 1 - s) for s, true in zip(supports, truths, strict=True)]
    better = [
        Judged(one.true, made.verdict, made.confidence)
        for one in plain
        if (made := fitted.apply(Finding(one.verdict or "", one.confidence, "")))
    ]
    assert (calibration_error(better) or 1) < (calibration_error(plain) or 0) / 4


def test_a_fit_is_the_minimum_that_a_search_finds() -> None:
    r = random.Random(5)
    supports = [r.uniform(0.05, 0.95) for _ in range(60)]
    truths = [r.random() < s for s in supports]
    fitted = fit(supports, truths, "v")
    pro, con = sum(truths), 60 - sum(truths)
    targets = [(pro + 1) / (pro + 2) if true else 1 / (con + 2) for true in truths]

    def loss(a: float, b: float) -> float:
        total = 0.0
        for s, target in zip(supports, targets, strict=True):
            p = 1 / (1 + math.exp(-(a * math.log(s / (1 - s)) + b)))
            total -= target * math.log(p) + (1 - target) * math.log(1 - p)
        return total

    least = loss(fitted.a, fitted.b)
    assert all(loss(fitted.a + da, fitted.b + db) >= least - 1e-6 for da in (-0.01, 0, 0.01) for db in (-0.01, 0, 0.01))


def test_separable_claims_make_no_certainties() -> None:
    fitted = fit([0.9] * 30 + [0.1] * 30, [True] * 30 + [False] * 30, "v")
    assert 0.95 < fitted.apply(Finding(TRUE, 0.9, "")).confidence < 1


def test_few_claims_make_no_fit() -> None:
    with pytest.raises(ValueError, match="20 true and 20 false"):
        fit([0.5] * 39, [True] * 20 + [False] * 19, "v")


def test_a_calibrator_may_turn_a_verdict_and_leaves_what_says_nothing() -> None:
    calibrator = Calibrator(1.0, -3.0, "v", 100)
    turned = calibrator.apply(Finding(TRUE, 0.9, "because"))
    assert (
        turned.verdict == FALSE
        and turned.confidence == pytest.approx(1 - 1 / (1 + math.exp(3 - math.log(9))))
        and turned.reasoning == "because"
    )
    for finding in (abstain("why"), Finding(UNCERTAIN, 0.7, "")):
        assert calibrator.apply(finding) == finding


def test_made_claims_are_half_true_the_same_for_a_seed_and_as_they_say() -> None:
    made = bench_claims.claims(1000, 7)
    assert made == bench_claims.claims(1000, 7) != bench_claims.claims(1000, 8)
    assert sum(claim.true for claim in made) == 500
    assert {claim.kind for claim in made} == {"capitals", "elements", "symbols", "currencies", "arithmetic"}
    known = {sentence.rstrip(".").casefold() for sentences in bench_claims.facts().values() for sentence in sentences}
    for claim in made:
        if claim.kind == "arithmetic":
            assert check(claim.text).verdict == ("true" if claim.true else "false"), claim
        elif " not " not in claim.text and claim.text.casefold() in known:
            assert claim.true, claim
