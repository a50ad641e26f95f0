"""Calibrators (D35): what a method's confidence is worth, learned from claims whose truth is known. Pure.

Platt scaling of the support s (the confidence in true): p = 1 / (1 + exp(-(a logit(s) + b))), fitted by Newton's method with
Platt's own targets, so that few claims do not make certainties (Platt 1999; Lin, Lin, Weng 2007).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from passel.core.verification.findings import FALSE, TRUE, Finding

LEAST = 20
"""Claims of each kind that a fit takes."""

_EDGE = 1e-4
_STEPS = 100


@dataclass(frozen=True, slots=True)
class Calibrator:
    """`version` names the fit, `claims` is how many it was made of."""

    a: float
    b: float
    version: str
    claims: int

    def to_json(self) -> dict[str, Any]:
        return {"a": self.a, "b": self.b, "version": self.version, "claims": self.claims}

    def apply(self, finding: Finding) -> Finding:
        """With the confidence, and perhaps the verdict, that experience gives it. What says nothing, or is uncertain, stays."""
        if not finding.applicable or finding.verdict not in (TRUE, FALSE):
            return finding
        support = finding.confidence if finding.verdict == TRUE else 1 - finding.confidence
        probability = _sigmoid(self.a * _logit(support) + self.b)
        verdict = TRUE if probability >= 0.5 else FALSE
        return replace(finding, verdict=verdict, confidence=max(probability, 1 - probability))


def fit(supports: Sequence[float], truths: Sequence[bool], version: str) -> Calibrator:
    """Raises `ValueError` for fewer than twenty true or false claims."""
    pro = sum(truths)
    con = len(truths) - pro
    if min(pro, con) < LEAST:
        raise ValueError(f"a fit takes {LEAST} true and {LEAST} false claims at least; there are {pro} and {con}")
    targets = [(pro + 1) / (pro + 2) if true else 1 / (con + 2) for true in truths]
    xs = [_logit(support) for support in supports]
    a, b = 1.0, 0.0
    for _ in range(_STEPS):
        da, db = _newton(xs, targets, a, b)
        a, b = a + da, b + db
        if abs(da) + abs(db) < 1e-9:
            break
    return Calibrator(round(a, 6), round(b, 6), version, len(truths))


def _newton(xs: Sequence[float], targets: Sequence[float], a: float, b: float) -> tuple[float, float]:
    """The step from a and b, halved until the error falls."""
    ga = gb = 0.0
    haa, hab, hbb = 1e-9, 0.0, 1e-9
    for x, target in zip(xs, targets, strict=True):
        p = _sigmoid(a * x + b)
        off, weight = target - p, max(p * (1 - p), 1e-12)
        ga, gb = ga + off * x, gb + off
        haa, hab, hbb = haa + weight * x * x, hab + weight * x, hbb + weight
    det = haa * hbb - hab * hab
    if det <= 0:
        return 0.0, 0.0
    da, db = (hbb * ga - hab * gb) / det, (haa * gb - hab * ga) / det
    before = _loss(xs, targets, a, b)
    for _ in range(30):
        if _loss(xs, targets, a + da, b + db) <= before:
            return da, db
        da, db = da / 2, db / 2
    return 0.0, 0.0


def _loss(xs: Sequence[float], targets: Sequence[float], a: float, b: float) -> float:
    total = 0.0
    for x, target in zip(xs, targets, strict=True):
        z = a * x + b
        total += math.log1p(math.exp(-abs(z))) + max(z, 0.0) - target * z
    return total


def _logit(share: float) -> float:
    share = min(1 - _EDGE, max(_EDGE, share))
    return math.log(share / (1 - share))


def _sigmoid(z: float) -> float:
    return 1 / (1 + math.exp(-z)) if z >= 0 else math.exp(z) / (1 + math.exp(z))
