"""The method `formal` with its tier B: what our own parser does not read, a model may say as formulas, twice, and the same
machinery decides. The translation is never trusted alone (`passel.workloads.verification.formal.expressions.translated`)."""

import asyncio
import re
from dataclasses import dataclass
from typing import Any

from passel.core.verification.findings import Finding
from passel.models.questions import Question
from passel.workloads.verification.answers import Fields, Misread, side_by_side, structured
from passel.workloads.verification.formal import Checker
from passel.workloads.verification.formal.expressions import INSTANCES
from passel.workloads.verification.methods import NoAnswer, Unreadable, Work
from passel.workloads.verification.prompts import context_text, question

_QUANTITY = re.compile(
    r"\d|\b(?:two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|dozen|twenty|thirty|forty|fifty|hundred|thousand|million|half|twice|double)\b",
    re.IGNORECASE,
)
"""Only claims about quantities have instances, so only these are worth a translation."""

_LONGEST = 2000
_SHARE_OF_TIME = 0.5  # of a verification's, for its translations

_TASKS = (
    "You translate a claim about quantities into formulas. You do not judge it: a wrong claim is translated as it stands.",
    "You are the second translator of a claim about quantities; you do not see the first translation, and both have to say the same. "
    "Translate what the claim says, right or wrong.",
)
_FORM = f"""{{"values": {{"n1": "12", "n2": "4"}}, "premises": [...], "claim": {{...}}, "instances": [{{"values": {{"n1": "9", "n2": "3"}}, "right": true}}, ...]}}
or {{"cannot": "why"}} if it is not about quantities alone, or says more than formulas can.
n1, n2, ... are the numbers that the claim names, in the order of the text; use these names in all formulas, and write only what is no \
number of the claim (such as 100 for percent) as {{"num": "100"}}. Numbers are written as "12", "-1.5" or "1/3".
claim is what is claimed; premises are what the text takes as given. Terms: {{"num": "..."}}, {{"var": "n1"}}, \
{{"op": "+|-|*|/|^|mod", "left": term, "right": term}}, {{"fn": "sqrt|abs|floor|ceil|factorial|gcd|lcm|max|min|choose", "args": [term, ...]}}. \
Formulas: {{"cmp": "=|!=|<|<=|>|>=", "left": term, "right": term}}, {{"not": formula}}, {{"and": [...]}}, {{"or": [...]}}, {{"if": formula, "then": formula}}.
instances are at least {INSTANCES} other values of all names, with whether the text would be right with them; some right, some wrong."""


@dataclass(frozen=True, slots=True)
class Formal:
    """Decides without a model what it can, and with one a little more."""

    checker: Checker

    async def __call__(self, work: Work) -> Finding:
        claim = work.claim
        found = await self.checker.check(claim.content, claim.premises)
        if found.applicable or work.models.option is None or len(claim.content) > _LONGEST or not _QUANTITY.search(claim.content):
            return found
        try:
            async with asyncio.timeout(claim.options.timeout / 1000 * _SHARE_OF_TIME):
                translations = await side_by_side(*(_translation(work, n, task) for n, task in enumerate(_TASKS, 1)))
        except (NoAnswer, Unreadable, TimeoutError):
            return found  # a model that fails, or is slow, makes nothing worse than it was
        told = [one for one in translations if one is not None]
        return await self.checker.check_translations(told) if len(told) == len(_TASKS) else found


async def _translation(work: Work, n: int, task: str) -> dict[str, Any] | None:
    return await structured(work.models, f"translation {n}", _asked(work, task), _read)


def _asked(work: Work, task: str) -> Question:
    return question(task, _FORM, None, {"claim": work.claim.content, **context_text(work.claim)})


def _read(fields: Fields) -> dict[str, Any] | None:
    """None for what cannot be translated. What is in the grammar is found out where it can do no harm."""
    if "cannot" in fields:
        return None
    told = {name: fields.get(name) for name in ("values", "premises", "claim", "instances")}
    if not isinstance(told["values"], dict) or not isinstance(told["claim"], dict) or not isinstance(told["instances"], list):
        raise Misread("it must have values, claim and instances, or cannot")
    return told | {"premises": told["premises"] if isinstance(told["premises"], list) else []}
