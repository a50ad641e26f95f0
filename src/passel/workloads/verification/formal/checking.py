"""A claim from text to finding."""

import re
from collections.abc import Sequence
from typing import Any

from passel.core.verification.findings import FALSE, TRUE, Finding, abstain
from passel.workloads.verification.formal import deciding, rendering
from passel.workloads.verification.formal.claims import Claims, understood_further
from passel.workloads.verification.formal.entailment import follows
from passel.workloads.verification.formal.limits import PREMISES, TEXT, Stuck, TooLarge, Unclear
from passel.workloads.verification.formal.sentences import sentence
from passel.workloads.verification.formal.tokens import tokens
from passel.workloads.verification.formal.trees import Changes, Cmp, Every, Formula, Num, Solves, variables

_BASE = re.compile(
    r"(?P<n>0|[1-9][0-9]{0,29}|[1-9][0-9]{0,2}(?:,[0-9]{3}){1,9}) in (?P<base>hexadecimal|hex|binary|octal) (?:is|=|equals) (?P<digits>(?:0[xXbBo])?[0-9A-Fa-f]{1,100})\.?"
)
_SENTENCE_ENDS = re.compile(r"\.[ \t\r\n]+")
_THEREFORE = re.compile(r"(?:therefore|thus|hence|so)\b,? *", re.IGNORECASE | re.ASCII)
_BASES = {"hexadecimal": (16, "0x"), "hex": (16, "0x"), "binary": (2, "0b"), "octal": (8, "0o")}


def check(claim: str, premises: Sequence[str] = ()) -> Finding:
    """Whether the claim holds: by itself, or because of the premises. Raises nothing."""
    try:
        return _checked(claim, premises)
    except Unclear as unclear:
        return abstain(unclear.reason)
    except (RecursionError, MemoryError):
        return abstain("Beyond the limits: it takes too much to decide.")


def _checked(claim: str, premises: Sequence[str]) -> Finding:
    if len(claim) > TEXT or any(len(premise) > TEXT for premise in premises):
        raise TooLarge(f"a text of more than {TEXT:,} characters")
    if len(premises) > PREMISES:
        raise TooLarge(f"more than {PREMISES} premises")
    try:
        return _by_itself(claim, alone=not premises)
    except Unclear as unclear:
        *more, last = _SENTENCE_ENDS.split(claim.strip(" \t\r\n")) if "." in claim else [claim]
        conclusion = _THEREFORE.match(last) if more else None
        if conclusion:
            return _entailed(last[conclusion.end() :], [*premises, *more])
        if not premises or more or isinstance(unclear, TooLarge):
            raise
        return _entailed(claim, premises)


def _by_itself(claim: str, *, alone: bool) -> Finding:
    """Decided without premises. What has variables depends on them, if there are any."""
    reader = _reader(claim)
    if not isinstance(reader, Claims):
        return decided(reader)
    first: Unclear
    try:
        return _decided_if_closed(reader.whole(), alone)
    except Unclear as unclear:
        if not reader.lettered or not (isinstance(unclear, Stuck) or "variables" in unclear.reason):
            raise
        first = unclear
    try:
        return _decided_if_closed(Claims(reader.tokens, letters=False).whole(), alone)
    except Unclear as second:
        raise understood_further(first, second) from None


def _decided_if_closed(tree: Formula, alone: bool) -> Finding:
    if not alone and variables(tree) and not isinstance(tree, Every | Solves | Changes):
        raise Unclear("It depends on the values of its variables.")
    return decided(tree)


def _entailed(claim: str, premises: Sequence[str]) -> Finding:
    if len(premises) > PREMISES:
        raise TooLarge(f"more than {PREMISES} premises")
    given: list[Formula] = []
    for n, premise in enumerate(premises, 1):
        try:
            given.append(sentence(premise))
        except Unclear as unclear:
            raise Unclear(f"Premise {n}: {unclear.reason[0].lower()}{unclear.reason[1:]}") from None
    return concluded(given, sentence(claim))


def concluded(premises: Sequence[Formula], claim: Formula, confidence: float = 1.0, tier: str = "C") -> Finding:
    found = follows(premises, claim)
    evidence = {"tier": tier, "understood": rendering.formula(claim), "premises": [rendering.formula(premise) for premise in premises]}
    return Finding(found.verdict, confidence, found.reasoning, evidence=(evidence,))


def decided(tree: Formula, confidence: float = 1.0, tier: str = "A") -> Finding:
    found = deciding.decide(tree)
    evidence: dict[str, Any] = {"tier": tier, "understood": rendering.formula(tree)}
    if found.values:
        evidence["values"] = found.values
    if found.counterexample:
        evidence["counterexample"] = found.counterexample
    return Finding(TRUE if found.holds else FALSE, confidence, found.reasoning, evidence=(evidence,))


def _reader(text: str) -> Claims | Formula:
    """What reads a claim of tier A, or its tree where a pattern says it all."""
    text = text.strip(" \t\r\n")
    if text.startswith("$") and text.endswith("$") and text.count("$") == 2:
        text = text[1:-1]
    if " in " in text and (based := _BASE.fullmatch(text)):
        return _based(based)
    found = tokens(text)
    if len(found) > 1 and found[-2].text == "." and found[-2].kind == "sign":
        del found[-2]
    if len(found) == 1:
        raise Stuck("Nothing is claimed.")
    return Claims(found, letters=True)


def _based(match: re.Match[str]) -> Formula:
    base, prefix = _BASES[match["base"]]
    digits = match["digits"].lower().removeprefix(prefix)
    number = int(match["n"].replace(",", ""))
    try:
        said = int(digits, base)
    except ValueError:
        raise Unclear("Those are not digits of that base.") from None
    if said != number and digits.isdigit():
        other = _in_base(match["n"], base)
        if other is not None and other == int(digits):
            raise Unclear("It is not clear which of the two numbers is in that base.")
    return Cmp("=", Num(number, 0), Num(said, 0))


def _in_base(digits: str, base: int) -> int | None:
    try:
        return int(digits, base)
    except ValueError:
        return None
