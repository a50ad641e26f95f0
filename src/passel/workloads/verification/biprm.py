"""The method `biprm`: the steps of an argument scored twice, from the first on and from the last back, and fused by place.

After The Bidirectional Process Reward Model (arXiv 2508.01682), with a prompted critic in the place of a trained one (on
ProcessBench, arXiv 2412.06559, those beat public reward models on hard subsets). Section 11.4 of the `check` contract. What is
plain arithmetic in a step is decided by `formal`, which overrules the model.
"""

import math
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from passel.core.sentences import steps
from passel.core.verification.findings import FALSE, TRUE, UNCERTAIN, Finding, abstain
from passel.workloads.verification.answers import Fields, shares_of, side_by_side, structured
from passel.workloads.verification.methods import Work
from passel.workloads.verification.prompts import SHARE, context_text, numbered, question, record

MOST_STEPS = 60
WRONG, RIGHT = 0.5, 0.8
"""A step below the first is wrong; all have to reach the second for the argument to hold."""

_FORWARD = """You check an argument step by step, in its order. For each step say how likely it is that the step is correct, given the \
steps before it: a number from 0 to 1. A step that rests on a wrong one is not wrong for that alone; judge what it adds."""
_REVERSE = """You check an argument whose steps are shown from the last to the first. For each step, in the order shown, say how likely it \
is that the step is correct, given the steps that follow from it: a number from 0 to 1. Ask of each what must hold for the ones after it."""

Decide = Callable[[str], Awaitable[Finding]]


@dataclass(frozen=True, slots=True)
class BiPrm:
    """`decide` settles what needs no model, such as arithmetic."""

    decide: Decide

    async def __call__(self, work: Work) -> Finding:
        argument = steps(work.claim.content)
        if len(argument) < 2:
            return abstain("It is no argument of two steps or more.")
        if len(argument) > MOST_STEPS:
            return abstain(f"It has more than {MOST_STEPS} steps.")
        forward, reverse = await side_by_side(
            _scores(work, argument, _FORWARD, "forward"), _scores(work, argument[::-1], _REVERSE, "reverse")
        )
        decided = await side_by_side(*(self.decide(step) for step in argument))
        return concluded(argument, fused(forward, reverse[::-1]), decided)


async def _scores(work: Work, argument: Sequence[str], task: str, name: str) -> list[float]:
    count = len(argument)

    def read(fields: Fields) -> list[float]:
        return shares_of(fields, "scores", count)

    schema = record(scores={"type": "array", "items": SHARE, "minItems": count, "maxItems": count})
    form = f'{{"scores": [0.9, ...]}} with {count} numbers'
    return await structured(
        work.models, name, question(task, form, schema, {"steps": numbered(argument), **context_text(work.claim)}), read
    )


def fused(forward: Sequence[float], reverse: Sequence[float]) -> list[float]:
    """Both in the argument's order. Early steps lean on the reverse pass, which has seen what follows from them."""
    count = len(forward)
    gates = [(n + 1) / (count + 1) for n in range(count)]
    return [gate * ahead + (1 - gate) * back for gate, ahead, back in zip(gates, forward, reverse, strict=True)]


def concluded(argument: Sequence[str], scores: Sequence[float], decided: Sequence[Finding]) -> Finding:
    """The first step that is wrong decides; `decided` says which steps are settled without a model."""
    final = [_overruled(score, found) for score, found in zip(scores, decided, strict=True)]
    evidence = tuple(
        {"step": n, "text": text, "score": round(score, 4), "decidedBy": "formal" if _settles(found) else "model"}
        for n, (text, score, found) in enumerate(zip(argument, final, decided, strict=True), 1)
    )
    least = min(final)
    if least < WRONG:
        first = next(n for n, score in enumerate(final) if score < WRONG)
        reason = f" {decided[first].reasoning}" if _settles(decided[first]) else ""
        return Finding(FALSE, 1 - least, f"Step {first + 1} is not right: {argument[first]}{reason}", evidence=evidence)
    if least >= RIGHT:
        mean = math.exp(math.fsum(math.log(score) for score in final) / len(final))
        return Finding(TRUE, mean, f"All {len(final)} steps hold.", evidence=evidence)
    weakest = final.index(least)
    return Finding(UNCERTAIN, 1 - least, f"Step {weakest + 1} is not certain: {argument[weakest]}", evidence=evidence)


def _settles(found: Finding) -> bool:
    return found.applicable and found.verdict in (TRUE, FALSE) and found.confidence == 1.0


def _overruled(score: float, found: Finding) -> float:
    return (1.0 if found.verdict == TRUE else 0.0) if _settles(found) else score
