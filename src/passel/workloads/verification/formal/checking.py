"""A claim from text to finding."""

import re
from collections.abc import Sequence
from typing import Any

from passel.core.verification.findings import FALSE, TRUE, Finding, abstain
from passel.workloads.verification.formal import deciding, rendering
from passel.workloads.verification.formal.claims import Claims, understood_further
from passel.workloads.verification.formal.limits import TEXT, Stuck, TooLarge, Unclear
from passel.workloads.verification.formal.tokens import Token, tokens
from passel.workloads.verification.formal.trees import Cmp, Formula, Num

_BASE = re.compile(
    r"(?P<n>0|[1-9][0-9]{0,29}|[1-9][0-9]{0,2}(?:,[0-9]{3}){1,9}) in (?P<base>hexadecimal|hex|binary|octal) (?:is|=|equals) (?P<digits>(?:0[xXbBo])?[0-9A-Fa-f]{1,100})\.?"
)
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
    try:
        return decided(understood(claim))
    except Unclear as unclear:
        if not premises and "." not in claim:
            raise
        found = _entailed(claim, premises, unclear)
        if found is None:
            raise
        return found


def _entailed(claim: str, premises: Sequence[str], unclear: Unclear) -> Finding | None:
    del claim, premises, unclear
    return None


def decided(tree: Formula, confidence: float = 1.0, tier: str = "A") -> Finding:
    found = deciding.decide(tree)
    evidence: dict[str, Any] = {"tier": tier, "understood": rendering.formula(tree)}
    if found.values:
        evidence["values"] = found.values
    if found.counterexample:
        evidence["counterexample"] = found.counterexample
    return Finding(TRUE if found.holds else FALSE, confidence, found.reasoning, evidence=(evidence,))


def understood(text: str) -> Formula:
    """The tree of a claim of tier A."""
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
    reader = Claims(found, letters=True)
    try:
        return reader.whole()
    except Stuck as stuck:
        if not reader.lettered:
            raise
        return _as_variables(found, stuck)


def _as_variables(found: list[Token], first: Stuck) -> Formula:
    try:
        return Claims(found, letters=False).whole()
    except Unclear as second:
        raise understood_further(first, second) from None


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
