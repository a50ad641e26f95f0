"""The method `formal`: does a claim hold, decided without a model and without a network. Three tiers.

A: our own parser reads arithmetic, units, dates and algebra, and exact arithmetic decides. C: it reads premises and a claim in
controlled English, and a solver decides whether the claim follows. B: somebody else, a model, says as a tree what a sentence
means (`expressions`), and the same machinery decides.

    text -> tokens -> reader, terms, claims | sentences -> trees -> deciding, algebra | entailment -> finding

Everything between text and verdict goes through `trees`: no text is ever evaluated, by us or by a library. What was not
understood to its last token is not decided, and neither is what has two readings with different verdicts.
"""

from passel.workloads.verification.formal.checker import Checker
from passel.workloads.verification.formal.checking import check

__all__ = ["Checker", "check"]
