"""Numbers in a sentence, as exact values: figures, words, scales, percentages, ordinals, units, years.

Units come from the tables of `formal`, so 8.849 km and 8849 m are one value.
"""

import re
from dataclasses import dataclass, replace
from fractions import Fraction

from passel.workloads.verification.formal.numerals import NUMERALS, numeral
from passel.workloads.verification.formal.units import CELSIUS, FAHRENHEIT, UNITS, Unit

_FIGURE = re.compile(r"[-−]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?")
_ORDINAL = re.compile(r"(\d+)(?:st|nd|rd|th)")
_SCALES = {"hundred": 100, "thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}
_ORDINALS = {
    word: n
    for n, word in enumerate(
        ["first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth", "eleventh", "twelfth"], 1
    )
}
_TEMPERATURES = {"°c": CELSIUS, "celsius": CELSIUS, "c": CELSIUS, "°f": FAHRENHEIT, "fahrenheit": FAHRENHEIT, "f": FAHRENHEIT}
LABEL = "label"
_NEAR = Fraction(5, 100)


@dataclass(frozen=True, slots=True)
class Quantity:
    """`value` in units of its dimension; `kind` is what it may be compared with: a dimension's name, `year`, `ordinal`, `%`,
    `number`, or `label`, which tells things apart that have the same name. `step` is what its last digit is
    worth, since 8849 m may be 8848.86 m rounded. `behind` is the word that it stands behind."""

    value: Fraction
    kind: str
    step: Fraction = Fraction(0)
    approximate: bool = False
    behind: str = ""

    def same(self, fact: "Quantity") -> bool:
        """Whether it is the fact's value: exactly, rounded, or near it where it says that it is near."""
        if self.kind != fact.kind:
            return False
        if self.value == fact.value:
            return True
        if self.approximate or fact.approximate:
            return abs(self.value - fact.value) <= _NEAR * abs(fact.value)
        if self.step <= fact.step or self.kind in ("year", "ordinal", LABEL):
            return False
        return abs(self.value - fact.value) <= self.step / 2


def as_label(quantity: Quantity) -> Quantity:
    """A number that has no unit and may be a name's part."""
    return replace(quantity, kind=LABEL) if quantity.kind in ("number", "year") else quantity


def quantity_at(tokens: list[str], at: int, approximate: bool) -> tuple[Quantity, int] | None:
    """The number that begins at a token, and the place behind it and its unit. None where there is none."""
    token = tokens[at].lower()
    if token in _ORDINALS:
        return Quantity(Fraction(_ORDINALS[token]), "ordinal"), at + 1
    if match := _ORDINAL.fullmatch(token):
        return Quantity(Fraction(int(match[1])), "ordinal"), at + 1
    figure = _FIGURE.fullmatch(token)
    if figure is not None and len(token) <= 30:
        return _with_unit(token, tokens, at + 1, approximate)
    if token in NUMERALS:
        read = numeral([one.lower() for one in tokens[at : at + 8]])
        if read is not None:
            return _measured(Fraction(read[0]), Fraction(0), tokens, at + read[1], approximate)
    return None


def _with_unit(token: str, tokens: list[str], at: int, approximate: bool) -> tuple[Quantity, int]:
    digits = token.replace(",", "").replace("−", "-")
    value = Fraction(digits)
    step = Fraction(1, 10 ** len(digits.partition(".")[2])) if "." in digits else Fraction(1)
    scaled = False
    while at < len(tokens) and tokens[at].lower() in _SCALES:
        scale = _SCALES[tokens[at].lower()]
        value, step, at, scaled = value * scale, step * scale, at + 1, True
    quantity, end = _measured(value, step, tokens, at, approximate)
    looks_like_a_year = digits.isdigit() and len(digits) == 4 and "," not in token and 1000 <= value < 3000
    if quantity.kind == "number" and looks_like_a_year and not scaled:
        return Quantity(value, "year", Fraction(1), approximate), end
    return quantity, end


def _measured(value: Fraction, step: Fraction, tokens: list[str], at: int, approximate: bool) -> tuple[Quantity, int]:
    ahead = tokens[at] if at < len(tokens) else ""
    if ahead in ("%", "percent"):
        return Quantity(value, "%", step, approximate), at + 1
    if ahead.lower() in ("degrees", "degree", "°") and at + 1 < len(tokens) and tokens[at + 1].lower() in _TEMPERATURES:
        at, ahead = at + 1, tokens[at + 1]
    unit = _unit(ahead)
    if unit is None:
        return Quantity(value, "number", step, approximate), at
    dimension = " ".join(f"{name}{times}" for name, times in unit.dimension) or "number"
    return Quantity(value * unit.factor + unit.offset, dimension, step * unit.factor, approximate), at + 1


def _unit(word: str) -> Unit | None:
    if word.lower().startswith("°") or word in ("C", "F", "Celsius", "celsius", "Fahrenheit"):
        return _TEMPERATURES.get(word.lower())
    return UNITS.get(word) or (UNITS.get(word.lower()) if len(word) > 3 else None)
