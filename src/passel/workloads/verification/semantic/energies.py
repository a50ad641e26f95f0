"""From the facts that lie near a claim to a finding: Boltzmann weights over their distances. Pure.

A fact at cosine s has the energy 1 - s and the weight exp(-(1 - s) / T); the background, which stands for all that is in no
fact, has the energy 0.42. What speaks for the claim, against it and of neither are shares of the sum. The constants are fitted
on claims made from `tests/support/facts.py`; `docs/guides/methods/semantic.md` has the figures.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from passel.core.verification.facts import Fact
from passel.core.verification.findings import FALSE, TRUE, UNCERTAIN, Finding, abstain
from passel.workloads.verification.semantic.guards import AGREES, OPPOSES, OTHER, UNSURE, Relation

TEMPERATURE, BACKGROUND, SHARE, MOST = 0.05, 0.42, 0.6, 0.90
_UNDECIDED = 0.5
_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Match:
    """A fact near the claim: `similarity` is the cosine of their embeddings, `relation` what the guards say of the pair."""

    fact: Fact
    similarity: float
    relation: Relation

    @property
    def weight(self) -> float:
        return math.exp(-(1 - self.similarity) / TEMPERATURE)

    @property
    def speaks_for(self) -> bool | None:
        """For the claim, against it, or of neither. A false fact that agrees speaks against it; that something else is
        false too says nothing."""
        kind, true = self.relation.kind, self.fact.polarity
        if kind == AGREES:
            return true
        if kind == OPPOSES and (true or not self.relation.by_value):
            return not true
        return None


def judge(matches: Sequence[Match]) -> Finding:
    """What follows from the facts near a claim. It abstains where none of them is about what the claim says."""
    matches = _without_other_values(matches)
    support = math.fsum(match.weight for match in matches if match.speaks_for is True)
    refute = math.fsum(match.weight for match in matches if match.speaks_for is False)
    unsure = math.fsum(match.weight for match in matches if match.relation.kind == UNSURE)
    background = math.exp(-BACKGROUND / TEMPERATURE)
    evidence = _evidence(matches)
    if support + refute > background:
        share = max(support, refute) / (support + refute + background)
        if share >= SHARE:
            verdict = TRUE if support > refute else FALSE
            return Finding(verdict, round(min(MOST, share), 4), _said(matches, verdict), evidence=evidence)
        return Finding(UNCERTAIN, _UNDECIDED, _mixed(support, refute), evidence=evidence)
    if unsure > background:
        return Finding(UNCERTAIN, _UNDECIDED, _doubt(matches), evidence=evidence)
    return abstain("No fact is about what it says.")


def _without_other_values(matches: Sequence[Match]) -> Sequence[Match]:
    """Where a fact says the claim itself, another value in another fact is another statement: France borders Spain, and
    Italy too."""
    if not any(match.relation.kind == AGREES and match.fact.polarity for match in matches):
        return matches
    return [match for match in matches if not match.relation.by_value or match.relation.kind != OPPOSES]


def _nearest(matches: Sequence[Match], verdict: str) -> Match:
    return max((match for match in matches if match.speaks_for is (verdict == TRUE)), key=lambda match: match.weight)


def _said(matches: Sequence[Match], verdict: str) -> str:
    match = _nearest(matches, verdict)
    fact, guard = match.fact, match.relation.guard
    source = f" ({fact.source})" if fact.source else ""
    if not fact.polarity:
        return (
            f"It is known to be false: {fact.text}{source}"
            if verdict == FALSE
            else f"The opposite is known to be false: {fact.text}{source}"
        )
    if verdict == TRUE:
        return f"A fact says so: {fact.text}{source}"
    return f"A fact contradicts it ({guard}): {fact.text}{source}"


def _mixed(support: float, refute: float) -> str:
    return "The facts speak for it and against it." if min(support, refute) > 0 else "A fact is about it, but not near enough."


def _doubt(matches: Sequence[Match]) -> str:
    match = max((match for match in matches if match.relation.kind == UNSURE), key=lambda match: match.weight)
    return f"A fact is near, but differs in a way that may matter ({match.relation.guard}): {match.fact.text}"


def _evidence(matches: Sequence[Match]) -> tuple[dict[str, object], ...]:
    """The facts that count, the nearest first."""
    told = sorted((match for match in matches if match.relation.kind != OTHER), key=lambda match: -match.similarity)
    return tuple(
        {
            "text": match.fact.text,
            "polarity": match.fact.polarity,
            "similarity": round(match.similarity, 4),
            "guard": match.relation.guard,
            "source": match.fact.source,
        }
        for match in told[:_SHOWN]
    )
