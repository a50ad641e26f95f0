"""The method `ensemble`: several judges who do not see each other, and a meta-judge where they disagree.

After panels of small diverse judges (PoLL, arXiv 2404.18796) and meta-judging (arXiv 2504.17087). Section 11.5 of the `check`
contract. With one model the judges differ by what they look for; with several they are different models too.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from typing import Any, NamedTuple

from passel.core.llm.options import LlmOption
from passel.core.verification.findings import FALSE, TRUE, UNCERTAIN, Finding
from passel.workloads.verification.answers import Fields, settled, share_of, structured, text_of, verdict_of
from passel.workloads.verification.asking import NO_MODEL
from passel.workloads.verification.methods import NoAnswer, Unreadable, Work
from passel.workloads.verification.prompts import SHARE, TEXT, VERDICT, context_text, question, record

JUDGES = 3
MOST_SPLIT = 0.9
"""The highest confidence where the judges disagreed."""

_TEMPERATURE = 0.7
_PERSONAS = (
    "You know the field that the claim is from, and compare it with what you know.",
    "You doubt: you look for what makes the claim wrong, such as a number, a name, a date, a word that says too much.",
    "You reason: you look at what the claim says exactly, what would have to hold if it were true, and whether that fits.",
    "You look for who says it and how it could be known at all.",
    "You look for exceptions: cases in which the claim does not hold.",
)
_JUDGE = """{persona} Judge whether the claim is true: "true", "false" or "uncertain", how sure you are of that verdict, from 0 to 1, and \
why, in a few sentences."""
_META = """Judges disagree about a claim. You see their reasons, without names and in no order. Find out which reason has the flaw that \
decides the matter, name that flaw, and give the verdict that remains: "true", "false" or "uncertain", and how sure you are of it, from 0 to 1."""
_FORM = '{"reason": "...", "verdict": "true", "confidence": 0.5}'
_SCHEMA = record(reason=TEXT, verdict=VERDICT, confidence=SHARE)


class Opinion(NamedTuple):
    verdict: str
    confidence: float
    reason: str


@dataclass(frozen=True, slots=True)
class Ensemble:
    async def __call__(self, work: Work) -> Finding:
        if not work.models.panel:
            raise NoAnswer(NO_MODEL)
        judges = panel(work.models.panel)
        answers = await settled(*(_opinion(work, n, persona, option) for n, (persona, option) in enumerate(judges, 1)))
        for answer in answers:
            if isinstance(answer, Exception) and not isinstance(answer, NoAnswer | Unreadable):
                raise answer
        opinions = [answer for answer in answers if isinstance(answer, Opinion)]
        if len(opinions) < 2:
            failed = next(answer for answer in answers if isinstance(answer, Exception))
            raise type(failed)(f"fewer than two judges answered: {failed}")
        evidence = tuple(
            {"judge": n, "model": option.ref, **answer._asdict()}
            for n, ((_, option), answer) in enumerate(zip(judges, answers, strict=True), 1)
            if isinstance(answer, Opinion)
        )
        if len({opinion.verdict for opinion in opinions}) == 1:
            return unanimous(opinions, evidence)
        return split(opinions, await _meta(work, opinions), evidence)


def panel(options: Sequence[LlmOption]) -> list[tuple[str, LlmOption]]:
    """At least three judges, each with what it looks for; more models than that are all heard."""
    count = max(JUDGES, min(len(options), len(_PERSONAS)))
    return list(zip(_PERSONAS[:count], islice(cycle(options), count), strict=True))


async def _opinion(work: Work, n: int, persona: str, option: LlmOption) -> Opinion:
    asked = question(_JUDGE.format(persona=persona), _FORM, _SCHEMA, {"claim": work.claim.content, **context_text(work.claim)})
    return await structured(work.models, f"judge {n}", asked, _read, settings={"temperature": _TEMPERATURE}, option=option)


def _read(fields: Fields) -> Opinion:
    return Opinion(verdict_of(fields), share_of(fields.get("confidence"), "confidence"), text_of(fields, "reason"))


async def _meta(work: Work, opinions: Sequence[Opinion]) -> Opinion:
    shuffled = sorted(opinions, key=lambda opinion: hashlib.sha256(f"{work.claim.content}{opinion.reason}".encode()).digest())
    reasons = {f"reason {n}": f"{opinion.verdict}: {opinion.reason}" for n, opinion in enumerate(shuffled, 1)}
    return await structured(work.models, "meta", question(_META, _FORM, _SCHEMA, {"claim": work.claim.content, **reasons}), _read)


def agreement(opinions: Sequence[Opinion]) -> float:
    """The share of pairs of judges that agree, as in Fleiss' kappa."""
    counts = [sum(opinion.verdict == verdict for opinion in opinions) for verdict in (TRUE, FALSE, UNCERTAIN)]
    return sum(count * (count - 1) for count in counts) / (len(opinions) * (len(opinions) - 1))


def unanimous(opinions: Sequence[Opinion], evidence: tuple[dict[str, Any], ...]) -> Finding:
    confidence = sum(opinion.confidence for opinion in opinions) / len(opinions)
    return Finding(opinions[0].verdict, confidence, f"All {len(opinions)} judges agree. {opinions[0].reason}", evidence=evidence)


def split(opinions: Sequence[Opinion], meta: Opinion, evidence: tuple[dict[str, Any], ...]) -> Finding:
    """Half of the confidence is what the judges give the verdict, half what the meta-judge gives it."""
    total = sum(opinion.confidence for opinion in opinions)
    share = sum(opinion.confidence for opinion in opinions if opinion.verdict == meta.verdict) / total if total else 0.0
    confidence = min(MOST_SPLIT, (share + meta.confidence) / 2)
    told = f"The judges disagree (agreement {agreement(opinions):.2f}). {meta.reason}"
    return Finding(meta.verdict, confidence, told, evidence=(*evidence, {"judge": "meta", **meta._asdict()}))
