"""Statements in plain English whose truth is known because they were made that way: nothing of what checks them is used."""

import datetime
import math
import random
from collections.abc import Callable
from fractions import Fraction
from typing import Any

Made = tuple[str, bool]
_WORDS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]
_SPOKEN: list[tuple[str, Callable[[int, int], int]]] = [
    ("plus", lambda a, b: a + b),
    ("minus", lambda a, b: a - b),
    ("times", lambda a, b: a * b),
    ("multiplied by", lambda a, b: a * b),
    ("+", lambda a, b: a + b),
    ("-", lambda a, b: a - b),
    ("*", lambda a, b: a * b),
    ("×", lambda a, b: a * b),
    ("mod", lambda a, b: a % b),
]
_UNITS = [("km", "m", 1000), ("hours", "minutes", 60), ("feet", "inches", 12), ("kg", "g", 1000), ("weeks", "days", 7), ("m", "cm", 100)]
_UNITS += [
    ("yards", "feet", 3),
    ("days", "hours", 24),
    ("litres", "ml", 1000),
    ("pounds", "ounces", 16),
    ("km/h", "m/h", 1000),
    ("MiB", "KiB", 1024),
]


def _off(r: random.Random, right: int, *, true: bool) -> int:
    return right if true else right + r.choice([-3, -2, -1, 1, 2, 3, 10])


def _is(r: random.Random) -> str:
    return r.choice(["is", "=", "equals", "is equal to"])


def arithmetic(r: random.Random, true: bool) -> str:
    words, apply = r.choice(_SPOKEN)
    a, b = r.randint(1, 999), r.randint(1, 99)
    return f"{a} {words} {b} {_is(r)} {_off(r, apply(a, b), true=true)}"


def words(r: random.Random, true: bool) -> str:
    a, b = r.randint(0, 12), r.randint(0, 12)
    total = _off(r, a + b, true=true)
    if not 0 <= total <= 12:
        return f"{_WORDS[a]} times {_WORDS[b]} is {_off(r, a * b, true=true)}"
    return f"{_WORDS[a]} plus {_WORDS[b]} {r.choice(['is', 'equals', 'makes'])} {_WORDS[total]}"


def fractions(r: random.Random, true: bool) -> str:
    a, b = Fraction(r.randint(1, 20), r.randint(2, 9)), Fraction(r.randint(1, 20), r.randint(2, 9))
    total = a + b + (0 if true else Fraction(1, 7))
    return f"{a.numerator}/{a.denominator} + {b.numerator}/{b.denominator} = {total.numerator}/{total.denominator}"


def decimals(r: random.Random, true: bool) -> str:
    a, b = r.randint(1, 999), r.randint(1, 999)
    return f"{a / 10:.1f} + {b / 10:.1f} = {_off(r, a + b, true=true) / 10:.1f}"


def lists(r: random.Random, true: bool) -> str:
    items = [r.randint(2, 60) for _ in range(r.randint(2, 4))]
    text = ", ".join(map(str, items[:-1])) + f" and {items[-1]}"
    name, right = r.choice(
        [
            ("sum", sum(items)),
            ("product", math.prod(items)),
            ("greatest common divisor", math.gcd(*items)),
            ("least common multiple", math.lcm(*items)),
            ("largest", max(items)),
        ]
    )
    return f"The {name} of {text} is {_off(r, right, true=true)}."


def percentages(r: random.Random, true: bool) -> str:
    p, of = r.randint(1, 19) * 5, r.randint(1, 50) * 20
    match r.randint(0, 3):
        case 0:
            return f"{p}% of {of} is {_off(r, p * of // 100, true=true)}"
        case 1:
            return f"{of} increased by {p}% is {_off(r, of + p * of // 100, true=true)}"
        case 2:
            return f"{p}% off {of} is {_off(r, of - p * of // 100, true=true)}"
        case _:
            return f"{p * of // 100} is {_off(r, p, true=true)}% of {of}"


def units(r: random.Random, true: bool) -> str:
    big, small, factor = r.choice(_UNITS)
    n = r.randint(2, 40)
    if r.random() < 0.3:
        return f"{n} {big} is more than {n * factor + (-1 if true else 1)} {small}"
    return f"{n} {big} is {_off(r, n * factor, true=true)} {small}"


def temperatures(r: random.Random, true: bool) -> str:
    celsius = r.randint(-10, 40) * 5
    return f"{celsius} °C is {_off(r, celsius * 9 // 5 + 32, true=true)} °F"


def primes(r: random.Random, true: bool) -> str:
    n = r.randint(2, 2000)
    holds = all(n % d for d in range(2, math.isqrt(n) + 1))
    return f"{n} is {'' if holds == true else 'not '}{r.choice(['prime', 'a prime number'])}"


def parities(r: random.Random, true: bool) -> str:
    n, d = r.randint(0, 999), r.randint(2, 12)
    if r.random() < 0.5:
        return f"{n} is {'even' if (n % 2 == 0) == true else 'odd'}"
    return f"{n} is {'' if (n % d == 0) == true else 'not '}{r.choice([f'divisible by {d}', f'a multiple of {d}'])}"


def powers(r: random.Random, true: bool) -> str:
    a, n = r.randint(2, 12), r.randint(2, 6)
    match r.randint(0, 3):
        case 0:
            return f"{a}^{n} = {_off(r, a**n, true=true)}"
        case 1:
            return f"{a} to the power of {n} is {_off(r, a**n, true=true)}"
        case 2:
            return f"the square root of {a * a} is {_off(r, a, true=true)}"
        case _:
            return f"{a} squared is {_off(r, a * a, true=true)}"


def factorials(r: random.Random, true: bool) -> str:
    n = r.randint(3, 15)
    return f"{n}! = {_off(r, math.factorial(n), true=true)}"


def comparisons(r: random.Random, true: bool) -> str:
    a, b = r.sample(range(1000), 2)
    low, high = sorted((a, b))
    if r.random() < 0.3:
        middle = r.randint(low + 1, high + 9) if not true else (low + high) // 2 if high - low > 1 else low
        if low < middle < high:
            return f"{middle} is {'' if true else 'not '}between {low} and {high}"
        if middle > high:
            return f"{middle} is {'not ' if true else ''}between {low} and {high}"
    first, second = (high, low) if true else (low, high)
    return f"{first} {r.choice(['>', 'is greater than', 'is more than', 'is at least', 'exceeds'])} {second}"


def chains(r: random.Random, true: bool) -> str:
    a, b, c = sorted(r.sample(range(1000), 3))
    return f"{a} < {b} < {c}" if true else f"{b} < {a} < {c}"


def digit_sums(r: random.Random, true: bool) -> str:
    n = r.randint(100, 99999)
    return f"the sum of the digits of {n} is {_off(r, sum(map(int, str(n))), true=true)}"


def weekdays(r: random.Random, true: bool) -> str:
    day = datetime.date(1900, 1, 1) + datetime.timedelta(days=r.randint(0, 60_000))
    said = day if true else day + datetime.timedelta(days=r.randint(1, 6))
    return f"{day.day} {day:%B} {day.year} was a {said:%A}"


def day_counts(r: random.Random, true: bool) -> str:
    day = datetime.date(1950, 1, 1) + datetime.timedelta(days=r.randint(0, 40_000))
    n = r.randint(1, 900)
    there = day + datetime.timedelta(days=_off(r, n, true=true))
    if r.random() < 0.5:
        return f"{n} days after {day.isoformat()} is {there.isoformat()}"
    return f"{there.day} {there:%B} {there.year} is {n} days after {day:%B} {day.day}, {day.year}"


def leap_years(r: random.Random, true: bool) -> str:
    year = r.randint(1800, 2400)
    holds = (year % 4 == 0 and year % 100 != 0) or year % 400 == 0
    if r.random() < 0.5:
        return f"{year} is {'' if holds == true else 'not '}a leap year"
    return f"there are {29 if holds == true else 28} days in February {year}"


def days_between(r: random.Random, true: bool) -> str:
    day, n = datetime.date(1950, 1, 1) + datetime.timedelta(days=r.randint(0, 40_000)), r.randint(3, 900)
    there = day + datetime.timedelta(days=n)
    return f"there are {n if true else n + r.choice([-2, 2, 30])} days between {day.isoformat()} and {there.isoformat()}"


def identities(r: random.Random, true: bool) -> str:
    a, b = r.randint(1, 9), r.randint(1, 9)
    constant = _off(r, a * b, true=true)
    return f"(x + {a})(x + {b}) = x^2 + {a + b}x {'+' if constant >= 0 else '-'} {abs(constant)}"


def derivatives(r: random.Random, true: bool) -> str:
    a, n = r.randint(2, 9), r.randint(3, 6)
    return f"the derivative of {a}x^{n} is {_off(r, a * n, true=true)}x^{n - 1}"


def integrals(r: random.Random, true: bool) -> str:
    a, b = r.randint(1, 9), r.randint(1, 9)
    return f"the integral of {2 * a}x from 0 to {b} is {_off(r, a * b * b, true=true)}"


def solutions(r: random.Random, true: bool) -> str:
    a, x, b = r.randint(2, 9), r.randint(-9, 9), r.randint(1, 9)
    return f"x = {_off(r, x, true=true)} solves {a}x + {b} = {a * x + b}"


def romans(r: random.Random, true: bool) -> str:
    n = r.randint(11, 3999)
    text = ""
    left = n
    for value, mark in zip(
        (1000, 900, 500, 400, 100, 90, 50, 40, 10, 9, 5, 4, 1),
        ["M", "CM", "D", "CD", "C", "XC", "L", "XL", "X", "IX", "V", "IV", "I"],
        strict=True,
    ):
        text, left = text + mark * (left // value), left % value
    return f"the Roman numeral {text} is {_off(r, n, true=true)}"


def bases(r: random.Random, true: bool) -> str:
    n = r.randint(40, 5000)
    return f"{n} in hexadecimal is {_off(r, n, true=true):X}" if r.random() < 0.5 else f"{n} in binary is {_off(r, n, true=true):b}"


def rounded(r: random.Random, true: bool) -> str:
    a, b = r.randint(1, 99), r.choice([3, 7, 9, 11, 13])
    scaled = (2 * a * 100 + b) // (2 * b)  # the hundredths, rounded
    return f"{a}/{b} is about {(scaled if true else scaled + r.choice([-2, 2, 5])) / 100:.2f}"


PLAIN = (
    arithmetic, words, fractions, decimals, lists, percentages, units, temperatures, primes, parities, powers, factorials, comparisons,
    chains, digit_sums, weekdays, day_counts, leap_years, days_between, solutions, romans, bases, rounded,
)  # fmt: skip
ALGEBRA = (identities, derivatives, integrals)


def joined(r: random.Random, true: bool) -> str:
    """Two or three plain statements with and, or, if, not between them."""
    kinds = (arithmetic, primes, parities, comparisons, chains, factorials)
    one, two = r.choice(kinds), r.choice(kinds)
    match r.randint(0, 3):
        case 0:
            a, b = (True, True) if true else r.choice([(True, False), (False, True), (False, False)])
            return f"{one(r, a)} and {two(r, b)}"
        case 1:
            a, b = (False, False) if not true else r.choice([(True, False), (False, True), (True, True)])
            return f"{one(r, a)} or {two(r, b)}"
        case 2:
            a, b = (True, False) if not true else r.choice([(True, True), (False, True), (False, False)])
            return f"if {one(r, a)} then {two(r, b)}"
        case _:
            return f"it is not true that {one(r, not true)}"


def statements(seed: int, count: int) -> list[Made]:
    r = random.Random(seed)
    kinds: list[Callable[[random.Random, bool], str]] = [*PLAIN, *PLAIN, *PLAIN, *ALGEBRA, joined, joined, joined]
    made: list[Made] = []
    for n in range(count):
        true = n % 2 == 0
        made.append((kinds[(n // 2) % len(kinds)](r, true), true))
    return made


def arguments(seed: int, count: int) -> list[tuple[list[str], str, str]]:
    """Propositional arguments with the verdict that a truth table gives: true, false, uncertain, or none where the premises
    contradict each other."""
    r = random.Random(seed)
    return [_argument(r) for _ in range(count)]


def _argument(r: random.Random) -> tuple[list[str], str, str]:
    trees = [_formula(r, 2) for _ in range(r.randint(2, 4))]
    *premises, claim = trees
    rows = [dict(zip("ABCD", (bool(n >> k & 1) for k in range(4)), strict=True)) for n in range(16)]
    models = [row for row in rows if all(_true(premise, row) for premise in premises)]
    seen = {_true(claim, row) for row in models}
    verdict = {(True,): "true", (False,): "false"}.get(tuple(seen), "none" if not seen else "uncertain")
    return [_text(premise) for premise in premises], _text(claim), verdict


def _formula(r: random.Random, depth: int) -> Any:
    if depth == 0 or r.random() < 0.2:
        return r.choice("ABCD")
    op = r.choice(["and", "or", "if", "iff", "not"])
    return (op, _formula(r, depth - 1)) if op == "not" else (op, _formula(r, depth - 1), _formula(r, depth - 1))


def _true(tree: Any, row: dict[str, bool]) -> bool:
    match tree:
        case str(letter):
            return row[letter]
        case ("not", a):
            return not _true(a, row)
        case ("and", a, b):
            return _true(a, row) and _true(b, row)
        case ("or", a, b):
            return _true(a, row) or _true(b, row)
        case ("if", a, b):
            return not _true(a, row) or _true(b, row)
        case (_, a, b):
            return _true(a, row) == _true(b, row)


def _text(tree: Any) -> str:
    match tree:
        case str(letter):
            return letter
        case ("not", a):
            return f"not {_text(a)}" if isinstance(a, str) else f"not ({_text(a)})"
        case (op, a, b):
            left, right = (part if isinstance(part, str) else f"({_text(part)})" for part in (a, b))
            return f"if {left} then {right}" if op == "if" else f"{left} {'if and only if' if op == 'iff' else op} {right}"
