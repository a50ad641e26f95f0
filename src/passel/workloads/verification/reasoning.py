"""The method `reasoning`: the claim taken apart, each part judged with its steps, borderline judgements attacked once.

Techniques: atomic claims (FActScore, EMNLP 2023), checks that do not see each other (Chain-of-Verification, arXiv 2309.11495),
a critique of one's own answer (Self-Refine, arXiv 2303.17651). Section 11.2 of the `check` contract.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from passel.core.sentences import sentences
from passel.core.verification.claims import Claim
from passel.core.verification.findings import FALSE, TRUE, UNCERTAIN, Finding
from passel.models.questions import Question
from passel.workloads.verification.answers import Fields, Misread, share_of, side_by_side, structured, texts_of, verdict_of
from passel.workloads.verification.methods import Work
from passel.workloads.verification.prompts import SHARE, STEPS, TEXTS, VERDICT, context_text, numbered, question, record

MOST_PARTS = 20
BORDERLINE = (0.5, 0.9)
"""Confidences from the first up to below the second are attacked."""

_DECISIVE = 0.7
_DISPUTED = 0.7
_UNDECIDED = 0.5

_SPLIT = f"""You take a text apart into the separate factual claims that it makes, at most {MOST_PARTS}, in its order. Each must be \
understood without the others: names instead of pronouns. Leave out questions, wishes and what merely frames a claim; add nothing."""
_JUDGE = """You judge whether a claim is true. Think in short steps, then say "true", "false" or "uncertain", and how sure you are \
of that verdict, from 0 to 1. What you cannot know is uncertain; a claim that is true in part only is false."""
_ATTACK = """Somebody judged a claim, and you are to attack the judgement: look for the step that is wrong, the fact that is missing, the \
word that was read too quickly. Then give your own verdict, "true", "false" or "uncertain", and how sure you are of it, from 0 to 1."""


class Judgement(NamedTuple):
    """Of one part of a claim."""

    verdict: str
    confidence: float
    steps: str


@dataclass(frozen=True, slots=True)
class Reasoning:
    async def __call__(self, work: Work) -> Finding:
        parts = await _parts(work)
        judged = await side_by_side(*(_judged(work, n, part) for n, part in enumerate(parts[:MOST_PARTS], 1)))
        return concluded(parts, judged)


async def _parts(work: Work) -> list[str]:
    """A single sentence is one part. One more than are judged says that there are more."""
    content = work.claim.content
    if len(sentences(content)) <= 1:
        return [content]
    asked = question(_SPLIT, '{"claims": ["...", "..."]}', record(claims=TEXTS), {"text": content, **context_text(work.claim)})
    return await structured(work.models, "parts", asked, _some_parts)


def _some_parts(fields: Fields) -> list[str]:
    parts = texts_of(fields, "claims", MOST_PARTS + 1)
    if not parts:
        raise Misread("claims must hold at least one claim")
    return parts


async def _judged(work: Work, n: int, part: str) -> Judgement:
    first = await structured(work.models, f"judge {n}", _judge(work.claim, part), _judgement)
    if not BORDERLINE[0] <= first.confidence < BORDERLINE[1]:
        return first
    texts = {"claim": part, "judgement": f"{first.verdict}, {first.confidence:g}\n{first.steps}", **context_text(work.claim)}
    asked = question(_ATTACK, _FORM, _SCHEMA, texts)
    return reconciled(first, await structured(work.models, f"attack {n}", asked, _judgement))


def _judge(claim: Claim, part: str) -> Question:
    return question(_JUDGE, _FORM, _SCHEMA, {"claim": part, **context_text(claim)})


_FORM = '{"steps": ["...", "..."], "verdict": "true", "confidence": 0.5}'
_SCHEMA = record(steps=STEPS, verdict=VERDICT, confidence=SHARE)


def _judgement(fields: Fields) -> Judgement:
    steps = texts_of(fields, "steps", 50)
    return Judgement(verdict_of(fields), share_of(fields.get("confidence"), "confidence"), " ".join(steps))


def reconciled(first: Judgement, attack: Judgement) -> Judgement:
    """The critique has the last word; where it disagrees, little confidence is left."""
    if first.verdict == attack.verdict:
        return attack._replace(confidence=(first.confidence + attack.confidence) / 2)
    return attack._replace(confidence=min(first.confidence, attack.confidence) * _DISPUTED)


def concluded(parts: Sequence[str], judged: Sequence[Judgement]) -> Finding:
    """What is judged of a claim that is one part is judged of it. Of several, one that is surely false makes the whole false,
    which is true when all are; what has parts that nobody judged is not."""
    told = list(zip(parts, judged, strict=False))
    evidence = tuple(
        {"claim": part, "verdict": one.verdict, "confidence": round(one.confidence, 4), "steps": one.steps} for part, one in told
    )
    if len(told) == 1:
        return Finding(judged[0].verdict, judged[0].confidence, judged[0].steps, evidence=evidence)
    wrong = [(one.confidence, part, one.steps) for part, one in told if one.verdict == FALSE and one.confidence >= _DECISIVE]
    if wrong:
        confidence, part, steps = max(wrong)
        return Finding(FALSE, confidence, f"Not true: {part} {steps}", evidence=evidence)
    uncertain = [(part, one) for part, one in told if one.verdict != TRUE]
    if uncertain:
        confidence = max(one.confidence if one.verdict == UNCERTAIN else 1 - one.confidence for _, one in uncertain)
        return Finding(UNCERTAIN, confidence, f"Not certain:\n{numbered([part for part, _ in uncertain])}", evidence=evidence)
    if len(told) < len(parts):
        return Finding(
            UNCERTAIN, _UNDECIDED, f"The first {len(told)} claims in it hold; it makes more, which were not judged.", evidence=evidence
        )
    total = sum(len(part) for part in parts)
    confidence = sum(len(part) * one.confidence for part, one in told) / total
    return Finding(TRUE, confidence, f"All {len(parts)} claims in it hold:\n{numbered(parts)}", evidence=evidence)
