"""The method `entropy`: does a model say the same when asked again, about the question behind the claim and about the claim.

Semantic entropy in its discrete form (Farquhar, Kossen, Kuhn, Gal, Nature 630:625-630, 2024): sampled answers are clustered by
meaning, and the entropy over the clusters tells arbitrary answers from settled ones. What a model gets wrong each time it does
not find. Section 11.6 of the `check` contract.

    path A: questions behind the claim -> samples that do not see it -> clusters -> the share of the claim's own answer
    path B: the claim itself, judged several times -> the share of "true"
"""

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

from passel.core.verification.findings import FALSE, TRUE, UNCERTAIN, Finding
from passel.workloads.verification.answers import Fields, Misread, side_by_side, structured, text_of, verdict_of
from passel.workloads.verification.methods import Work
from passel.workloads.verification.prompts import TEXT, VERDICT, context_text, numbered, question, record

QUESTIONS, SAMPLES = 2, 5
HIGHEST = 0.95
_TRUE_FROM, _FALSE_TO = 0.6, 0.4
_SAMPLING = {"temperature": 1.0}

_BEHIND = f"""A text makes a claim. Ask {QUESTIONS} short questions whose answers the claim gives, so that somebody who does not know the text \
could answer them; do not give the answers away. With each question give the answer that the claim has for it, in a few words."""
_ANSWER = """Answer the question in a few words: a name, a number, a date, or the like. If you are not sure, give your best answer."""
_JUDGE = """Say whether the claim is "true" or "false"; "uncertain" only if nothing speaks for either."""
_SAME = """You see a question and numbered answers to it. Put answers that mean the same into one group. Answers that contradict each other, \
or of which one says more than the other, mean different things. Each number stands in just one group."""


class Probe(NamedTuple):
    """A question behind the claim, and the claim's answer to it."""

    question: str
    answer: str


class Spread(NamedTuple):
    """How answers to a question spread: the share of the claim's cluster, and 1 - normalised entropy."""

    share: float
    negentropy: float
    clusters: list[list[str]]


@dataclass(frozen=True, slots=True)
class Entropy:
    async def __call__(self, work: Work) -> Finding:
        probed, judged = await side_by_side(_probed(work), _judged(work))
        return concluded(cast("list[tuple[Probe, Spread]]", probed), cast("list[str]", judged))


async def _probed(work: Work) -> Any:
    form = '{"questions": [{"question": "...", "answer": "..."}, {"question": "...", "answer": "..."}]}'
    schema = record(questions={"type": "array", "items": record(question=TEXT, answer=TEXT), "minItems": 1, "maxItems": QUESTIONS})
    asked = question(_BEHIND, form, schema, {"claim": work.claim.content, **context_text(work.claim)})
    probes = await structured(work.models, "questions", asked, _probes)
    spreads = await side_by_side(*(_spread(work, n, probe) for n, probe in enumerate(probes, 1)))
    return list(zip(probes, spreads, strict=True))


def _probes(fields: Fields) -> list[Probe]:
    value = fields.get("questions")
    if not isinstance(value, list) or not value or not all(isinstance(one, dict) for one in cast(list[Any], value)):
        raise Misread("questions must be a list of questions with answers")
    return [Probe(text_of(one, "question"), text_of(one, "answer")) for one in cast(list[Fields], value)[:QUESTIONS]]


async def _spread(work: Work, n: int, probe: Probe) -> Spread:
    asked = question(_ANSWER, '{"answer": "..."}', record(answer=TEXT), {"question": probe.question})
    names = [f"answer {n}.{sample}" for sample in range(1, SAMPLES + 1)]
    said = await side_by_side(
        *(structured(work.models, name, asked, lambda fields: text_of(fields, "answer"), settings=_SAMPLING) for name in names)
    )
    answers = [probe.answer, *said]
    return spread(answers, await _groups(work, n, probe, answers))


async def _groups(work: Work, n: int, probe: Probe, answers: Sequence[str]) -> list[int]:
    """The group of each answer. What is the same word for word needs no model."""
    keys = [normal(answer) for answer in answers]
    distinct = list(dict.fromkeys(keys))
    if len(distinct) == 1:
        return [0] * len(answers)
    shown = [answers[keys.index(key)] for key in distinct]
    form = f'{{"groups": [[1, 3], [2]]}} with each number from 1 to {len(shown)} once'
    schema = record(groups={"type": "array", "items": {"type": "array", "items": {"type": "integer"}}})
    asked = question(_SAME, form, schema, {"question": probe.question, "answers": numbered(shown)})
    of_distinct = await structured(work.models, f"same {n}", asked, lambda fields: groups_of(fields, len(shown)))
    return [of_distinct[distinct.index(key)] for key in keys]


def groups_of(fields: Fields, count: int) -> list[int]:
    """The group of each of `count` numbered answers; what stands in none is a group of its own."""
    value = fields.get("groups")
    if not isinstance(value, list) or not all(isinstance(group, list) for group in cast(list[Any], value)):
        raise Misread("groups must be a list of lists of numbers")
    group_of: dict[int, int] = {}
    for n, group in enumerate(cast("list[list[Any]]", value)):
        for number in group:
            if isinstance(number, bool) or not isinstance(number, int) or not 1 <= number <= count:
                raise Misread(f"groups must hold numbers from 1 to {count}")
            group_of.setdefault(number, n)
    return [group_of.get(number, len(cast(list[Any], value)) + number) for number in range(1, count + 1)]


def normal(answer: str) -> str:
    """An answer as it is compared: numbers without their separators, words without case, articles and marks."""
    text = unicodedata.normalize("NFKC", answer).casefold().strip()
    text = re.sub(r"(?<=\d),(?=\d{3}\b)", "", text)
    text = re.sub(r"[^\w\s.+-]|\.(?!\d)", " ", text)
    return " ".join(word for word in text.split() if word not in ("the", "a", "an"))


def spread(answers: Sequence[str], groups: Sequence[int]) -> Spread:
    """`answers` begins with the claim's own."""
    counts = Counter(groups)
    total = len(answers)
    entropy = -math.fsum(count / total * math.log(count / total) for count in counts.values())
    clusters = [[answer for answer, group in zip(answers, groups, strict=True) if group == one] for one in counts]
    others = counts[groups[0]] - 1  # the claim's own answer is no sample
    return Spread(others / (total - 1), max(0.0, 1 - entropy / math.log(total)), clusters)


async def _judged(work: Work) -> Any:
    asked = question(_JUDGE, '{"verdict": "true"}', record(verdict=VERDICT), {"claim": work.claim.content, **context_text(work.claim)})
    names = [f"judge {sample}" for sample in range(1, SAMPLES + 1)]
    return await side_by_side(*(structured(work.models, name, asked, verdict_of, settings=_SAMPLING) for name in names))


def concluded(probed: Sequence[tuple[Probe, Spread]], judged: Sequence[str]) -> Finding:
    share = sum(one.share for _, one in probed) / len(probed)
    settled = sum(one.negentropy for _, one in probed) / len(probed)
    believed = (judged.count(TRUE) + judged.count(UNCERTAIN) / 2) / len(judged)
    support = (share + believed) / 2
    verdict = TRUE if support >= _TRUE_FROM else FALSE if support <= _FALSE_TO else UNCERTAIN
    confidence = min(HIGHEST, max(support, 1 - support) * (0.5 + 0.5 * settled))
    evidence = tuple(
        {
            "question": probe.question,
            "claimed": probe.answer,
            "clusters": one.clusters,
            "share": round(one.share, 4),
            "negentropy": round(one.negentropy, 4),
        }
        for probe, one in probed
    )
    said = (
        f"Asked without the claim, {share:.0%} of the answers agree with it (consistency {settled:.2f}); "
        f"asked about it, {judged.count(TRUE)} of {len(judged)} judgements say true."
    )
    return Finding(verdict, confidence, said, evidence=(*evidence, {"judgements": list(judged)}))
