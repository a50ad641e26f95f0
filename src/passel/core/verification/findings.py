"""What a method finds out about a claim."""

from dataclasses import dataclass
from typing import Any

TRUE, FALSE, UNCERTAIN = "true", "false", "uncertain"


@dataclass(frozen=True, slots=True)
class Finding:
    """`confidence` is that in the verdict, from 0 to 1. A method that cannot say anything about a claim abstains: it is not
    `applicable`, and `reasoning` says why (D34). `evidence` is JSON in the shape of the method."""

    verdict: str
    confidence: float
    reasoning: str
    applicable: bool = True
    evidence: tuple[dict[str, Any], ...] = ()


def abstain(why: str) -> Finding:
    return Finding(UNCERTAIN, 0.0, why, applicable=False)
