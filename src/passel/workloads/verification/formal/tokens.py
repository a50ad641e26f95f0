"""Text as tokens. One linear pass over known signs; anything else ends it."""

import re
from dataclasses import dataclass
from fractions import Fraction

from passel.workloads.verification.formal.limits import Stuck, TooLarge, Unclear


@dataclass(slots=True)
class Token:
    kind: str  # number, word, sign, day, end
    text: str  # words in small letters
    glued: bool = False  # nothing between this and what stands before
    value: int | Fraction = 0
    places: int | None = None
    written: str = ""  # words as they stand


_SIGNS = {
    "−": "-", "×": "*", "·": "*", "⋅": "*", "÷": "/", "≤": "<=", "≥": ">=", "≠": "!=", "≈": "~", "**": "^", "==": "=", "→": "->", "↔": "<->",
    "\\times": "*", "\\cdot": "*", "\\div": "/", "\\leq": "<=", "\\geq": ">=", "\\le": "<=", "\\ge": ">=", "\\neq": "!=", "\\ne": "!=",
    "\\approx": "~", "\\pm": "±", "\\equiv": "≡", "{": "(", "}": ")", "[": "[", "]": "]", "<=>": "<->", "=>": "->", "¬": "not",
}  # fmt: skip
_NAMED = {"\\pi": "pi", "π": "pi", "\\sqrt": "sqrt", "\\frac": "frac", "\\sin": "sin", "\\cos": "cos", "\\tan": "tan", "\\ln": "ln"}
_POWERS = {"²": 2, "³": 3, "⁴": 4, "⁵": 5, "⁶": 6, "⁷": 7, "⁸": 8, "⁹": 9}

_TOKEN = re.compile(
    r"(?P<space>[ \t\r\n]+)"
    r"|(?P<day>[0-9]{4}-[0-9]{2}-[0-9]{2}(?![0-9A-Za-z-]))"
    r"|(?P<hex>0[xX][0-9A-Fa-f]+(?![0-9A-Za-z]))"
    r"|(?P<number>(?:[0-9]{1,3}(?:,[0-9]{3})+(?![0-9]|,[0-9])|[0-9]+)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+(?![0-9A-Za-z.]))?|\.[0-9]+)"
    r"|(?P<word>[A-Za-z]+(?:['’](?:t|s)(?![A-Za-z]))?)"
    r"|(?P<named>\\(?:pi|sqrt|frac|sin|cos|tan|ln)(?![A-Za-z])|π)"
    r"|(?P<sign>\\(?:times|cdot|div|leq|geq|le|ge|neq|ne|approx|equiv)(?![A-Za-z])"
    r"|<=>|<->|->|=>|<=|>=|!=|==|\*\*|[-+*/^=<>()!|,;:.%$€√°±≤≥≠≈≡−×·⋅÷²³⁴⁵⁶⁷⁸⁹→↔¬{}])"
)


def tokens(text: str) -> list[Token]:
    """The tokens, and one for the end."""
    found: list[Token] = []
    at, glued, n = 0, False, len(text)
    match = _TOKEN.match
    while at < n:
        m = match(text, at)
        if m is None:
            raise Stuck(f"Not understood: {text[at : at + 1]!r}.", len(found))
        at = m.end()
        kind = m.lastgroup
        if kind == "space":
            glued = False
            continue
        raw = m.group()
        if kind == "number":
            found.append(_number(raw, glued))
        elif kind == "word":
            raw = raw.replace("’", "'")
            found.append(Token("word", raw.lower(), glued, written=raw))
        elif kind == "sign":
            if raw in _POWERS:
                found += [Token("sign", "^", True), Token("number", str(_POWERS[raw]), True, _POWERS[raw], 0)]
            else:
                found.append(Token("sign", _SIGNS.get(raw, raw), glued))
        elif kind == "named":
            found.append(Token("word", _NAMED[raw], glued, written=_NAMED[raw]))
        elif kind == "hex":
            found.append(Token("number", raw, glued, int(raw, 16), None))
        else:
            found.append(Token("day", raw, glued))
        glued = True
    found.append(Token("end", ""))
    return found


def _number(raw: str, glued: bool) -> Token:
    digits = raw.replace(",", "")
    if len(digits) > 1 and digits[0] == "0" and digits[1] in "0123456789" and digits.strip("0"):
        raise Unclear(f"A number with a leading zero is not read: {raw[:20]!r}.")
    mark = digits.lower().find("e")
    if mark < 0 and "." not in digits:
        return Token("number", raw, glued, int(digits), 0)
    if mark >= 0 and len(digits[mark + 1 :].lstrip("+-")) > 4:
        raise TooLarge("a number of more than 10,000 digits")
    value = Fraction(digits if digits[0] != "." else "0" + digits)
    places = len(digits.partition(".")[2]) if mark < 0 else None
    return Token("number", raw, glued, value.numerator if value.denominator == 1 else value, places)
