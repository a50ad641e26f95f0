"""Numbers as words, and Roman ones."""

import re

_UNITS = [
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve", "thirteen", "fourteen",
    "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
]  # fmt: skip
SMALL = {word: n for n, word in enumerate(_UNITS)}
TENS = {word: 10 * n for n, word in enumerate(["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"], 2)}
SCALES = {"thousand": 10**3, "million": 10**6}
NUMERALS = SMALL.keys() | TENS.keys() | {"hundred"} | SCALES.keys()
FRACTIONS = {
    "half": 2, "halves": 2, "third": 3, "thirds": 3, "quarter": 4, "quarters": 4, "fourth": 4, "fourths": 4, "fifth": 5, "fifths": 5,
    "sixth": 6, "sixths": 6, "seventh": 7, "sevenths": 7, "eighth": 8, "eighths": 8, "ninth": 9, "ninths": 9, "tenth": 10, "tenths": 10,
}  # fmt: skip
_ROMAN = re.compile(r"M{0,3}(?:CM|CD|D?C{0,3})(?:XC|XL|L?X{0,3})(?:IX|IV|V?I{0,3})")
_MARKS = {"I": 1, "V": 5, "X": 10, "L": 50, "C": 100, "D": 500, "M": 1000}


def numeral(words: list[str]) -> tuple[int, int, bool] | None:
    """The number that the words begin with, how many of them it takes, and whether there was an `and` in it. A hyphen is a
    word of its own."""
    total, part, at, joined = 0, None, 0, False
    scale_before = 10**9
    while at < len(words):
        word = words[at]
        if word in SCALES:
            scale = SCALES[word]
            if part is None or scale >= scale_before:
                break
            total, part, scale_before = total + part * scale, None, scale
            at += 1
            continue
        if part is not None:
            break
        start = at
        part, at, joined_here = _below_thousand(words, at)
        joined = joined or joined_here
        if part is None:
            at = start
            break
    if at == 0:
        return None
    return total + (part or 0), at, joined


def _below_thousand(words: list[str], at: int) -> tuple[int | None, int, bool]:
    value, at = _below_hundred(words, at)
    if value is None or words[at : at + 1] != ["hundred"] or not 0 < value < 20:
        return value, at, False
    value, at = value * 100, at + 1
    if words[at : at + 1] == ["and"]:
        more, end = _below_hundred(words, at + 1)
        return (value + more, end, True) if more else (value, at, False)
    more, end = _below_hundred(words, at)
    return (value + more, end, False) if more else (value, at, False)


def _below_hundred(words: list[str], at: int) -> tuple[int | None, int]:
    word = words[at] if at < len(words) else ""
    if word in SMALL:
        return SMALL[word], at + 1
    if word not in TENS:
        return None, at
    value, at = TENS[word], at + 1
    ahead = words[at + 1 : at + 2] if words[at : at + 1] == ["-"] else words[at : at + 1]
    if ahead and 0 < SMALL.get(ahead[0], 0) < 10:
        return value + SMALL[ahead[0]], at + (2 if words[at] == "-" else 1)
    return value, at


def roman(text: str) -> int | None:
    if not text or not _ROMAN.fullmatch(text):
        return None
    marks = [_MARKS[mark] for mark in text]
    return sum(-a if b > a else a for a, b in zip(marks, [*marks[1:], 0], strict=True))
