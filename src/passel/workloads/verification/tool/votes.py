"""From stances of passages to a finding: one vote a domain. Pure but for the list of public suffixes, which comes in a wheel."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import tld

from passel.core.verification.findings import FALSE, TRUE, UNCERTAIN, Finding, abstain

SUPPORTS, REFUTES, NEUTRAL = "supports", "refutes", "neutral"
DECISIVE = 0.34
"""The score from which a verdict follows, to either side."""

_DOUBT, _MOST, _MOST_OF_ONE = 1.0, 0.99, 0.80


@dataclass(frozen=True, slots=True)
class Vote:
    """What a passage says of the claim, with the words that say it."""

    url: str
    title: str
    quote: str
    stance: str
    fetched_at: datetime

    def to_json(self) -> dict[str, Any]:
        at = self.fetched_at.isoformat().replace("+00:00", "Z")
        return {"url": self.url, "title": self.title, "quote": self.quote, "stance": self.stance, "fetchedAt": at}


def domain_of(url: str) -> str:
    """The registered domain; of a document without an address, the document."""
    return str(tld.get_fld(url, fail_silently=True) or url.split("/")[2].lower()) if url.startswith("http") else url


@dataclass(frozen=True, slots=True)
class Score:
    """`value` from -1 (all against) to 1; `domains` is how many voted."""

    value: float
    domains: int

    @property
    def decisive(self) -> bool:
        return abs(self.value) >= DECISIVE


def score(votes: Sequence[Vote], weights: Mapping[str, float]) -> Score:
    """At most one vote a domain: what most of its passages say; as many for as against are none."""
    by_domain: dict[str, int] = {}
    for vote in votes:
        if vote.stance in (SUPPORTS, REFUTES):
            domain = domain_of(vote.url)
            by_domain[domain] = by_domain.get(domain, 0) + (1 if vote.stance == SUPPORTS else -1)
    pro = [weights.get(domain, 1.0) for domain, lean in by_domain.items() if lean > 0]
    con = [weights.get(domain, 1.0) for domain, lean in by_domain.items() if lean < 0]
    value = (sum(pro) - sum(con)) / (sum(pro) + sum(con) + _DOUBT)
    return Score(value, sum(weight > 0 for weight in pro + con))  # who weighs nothing has no vote


def concluded(votes: Sequence[Vote], weights: Mapping[str, float], looked_at: int) -> Finding:
    told = [vote for vote in votes if vote.stance in (SUPPORTS, REFUTES)]
    if not told:
        return abstain(
            "Nothing was found about it." if not looked_at else f"None of {looked_at} passages that were found speaks for or against it."
        )
    result, evidence = score(votes, weights), tuple(vote.to_json() for vote in told)
    pro, con = (sum(vote.stance == stance for vote in told) for stance in (SUPPORTS, REFUTES))
    said = f"{pro} passage(s) support it and {con} refute it, from {result.domains} source(s)."
    if not result.decisive:
        return Finding(UNCERTAIN, 1 - abs(result.value), f"Evidence is divided: {said}", evidence=evidence)
    most = _MOST_OF_ONE if result.domains == 1 else _MOST
    confidence = min(most, 0.5 + abs(result.value) / 2)
    verdict = TRUE if result.value > 0 else FALSE
    first = next(vote for vote in told if vote.stance == (SUPPORTS if verdict == TRUE else REFUTES))
    return Finding(verdict, confidence, f'{said} {first.title}: "{first.quote}"', evidence=evidence)
