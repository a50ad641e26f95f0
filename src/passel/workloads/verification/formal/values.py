"""What a term without variables is worth, exactly. Irrational numbers are left to `bounds` and `symbols`."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from passel.workloads.verification.formal import dates
from passel.workloads.verification.formal.limits import BITS, EXPONENT, FACTORIAL, TooLarge, Unclear
from passel.workloads.verification.formal.trees import Const, Day, Exact, Fn, Measure, Num, Op, Shift, Term, Var
from passel.workloads.verification.formal.units import DEGREES, Dimension, Unit, combined


class Irrational(Unclear):
    """A number, but no fraction."""


@dataclass(frozen=True, slots=True)
class Percent:
    value: Exact  # 0.5 for 50%


@dataclass(frozen=True, slots=True)
class Amount:
    """In base units; `unit` is the one to show it in."""

    value: Exact
    dimension: Dimension
    unit: Unit | None


@dataclass(frozen=True, slots=True)
class Dated:
    ordinal: int


Value = int | Fraction | Percent | Amount | Dated
Names = Mapping[str, Exact]
_TYPES = "These do not go together: {}."


def within(value: Exact) -> Exact:
    if isinstance(value, int):
        if value.bit_length() > BITS:
            raise TooLarge("a number of more than 10,000 digits")
        return value
    if value.numerator.bit_length() > BITS or value.denominator.bit_length() > BITS:
        raise TooLarge("a number of more than 10,000 digits")
    return value.numerator if value.denominator == 1 else value


def evaluate(term: Term, names: Mapping[str, Exact] = {}) -> Value:
    match term:
        case Num(value):
            return value
        case Op(sign, left, right):
            return operate(sign, evaluate(left, names), evaluate(right, names))
        case Var(name):
            if name not in names:
                raise Unclear(f"The value of {name} is not known.")
            return names[name]
        case Fn(name, args):
            return _call(name, [evaluate(arg, names) for arg in args])
        case Measure(amount, unit):
            return measure(number(evaluate(amount, names)), unit)
        case Day(ordinal):
            return Dated(ordinal)
        case Shift(day, count, unit, sign):
            there, n = evaluate(day, names), evaluate(count, names)
            if not isinstance(there, Dated) or not isinstance(n, int) or n < 0:
                raise Unclear(_TYPES.format("what is not a day and a number of days"))
            if n > 10_000_000:
                raise Unclear(f"Dates are read from {dates.FIRST_YEAR} to 9999.")
            return Dated(dates.shifted(there.ordinal, sign * n, unit))
        case Const(name):
            raise Irrational(f"{name} is no fraction.")


def number(value: Value) -> Exact:
    if isinstance(value, int | Fraction):
        return value
    raise Unclear(_TYPES.format("a measure, a percentage or a day where a number belongs"))


def whole(value: Value) -> int:
    if isinstance(value, int):
        return value
    raise Unclear("A whole number belongs there.")


def measure(amount: Exact, unit: Unit) -> Value:
    value = amount * unit.factor + unit.offset
    value = value.numerator if value.denominator == 1 else value
    return within(value) if not unit.dimension else Amount(within(value), unit.dimension, unit)


def operate(sign: str, a: Value, b: Value) -> Value:
    if isinstance(a, int | Fraction) and isinstance(b, int | Fraction):
        return _numbers(sign, a, b)
    if isinstance(a, Percent) and isinstance(b, Percent) and sign in ("+", "-", "*"):
        return Percent(_numbers(sign, a.value, b.value))
    if isinstance(a, Dated) or isinstance(b, Dated):
        raise Unclear(_TYPES.format("days in a sum"))
    if sign == "*" and isinstance(a, Percent) and not isinstance(b, Percent):
        return operate("*", a.value, b)
    if isinstance(a, Percent) or isinstance(b, Percent):
        raise Unclear(_TYPES.format("a percentage of nothing in particular, and something else"))
    return _amounts(sign, a, b)


def _amounts(sign: str, a: Exact | Amount, b: Exact | Amount) -> Value:
    one, other = (x.dimension if isinstance(x, Amount) else () for x in (a, b))
    unit = a.unit if isinstance(a, Amount) else b.unit if isinstance(b, Amount) else None
    x, y = (v.value if isinstance(v, Amount) else v for v in (a, b))
    if DEGREES in (one, other):
        raise Unclear("Temperatures are only compared, not added or multiplied.")
    if sign in ("+", "-") and one == other:
        return Amount(_numbers(sign, x, y), one, unit)
    if sign in ("*", "/"):
        dimension = combined(one, other, 1 if sign == "*" else -1)
        value = _numbers(sign, x, y)
        return Amount(value, dimension, unit if unit and unit.dimension == dimension else None) if dimension else value
    raise Unclear(_TYPES.format("two kinds of measures"))


def _numbers(sign: str, a: Exact, b: Exact) -> Exact:
    match sign:
        case "+":
            return within(a + b)
        case "-":
            return within(a - b)
        case "*":
            return within(a * b)
        case "/":
            if b == 0:
                raise Unclear("Nothing can be divided by zero.")
            return within(Fraction(a) / b)
        case "^":
            return power(a, b)
        case "mod":
            if not isinstance(a, int) or not isinstance(b, int) or b <= 0 or a < 0:
                raise Unclear("Remainders are only of whole numbers that are not negative.")
            return a % b
        case _:
            raise Unclear(f"Not known: {sign}.")


def power(a: Exact, b: Exact) -> Exact:
    if isinstance(b, int):
        if a == 0 and b <= 0:
            raise Unclear("Zero to that power is not defined, or not by everybody.")
        if abs(b) > EXPONENT:
            raise TooLarge("an exponent of more than 10,000")
        top = Fraction(a)
        if max(top.numerator.bit_length(), top.denominator.bit_length()) * abs(b) > BITS + 8 and abs(top) != 1:
            size = max((abs(top.numerator) - 1).bit_length(), (top.denominator - 1).bit_length())
            if (size - 1) * abs(b) > BITS:
                raise TooLarge("a number of more than 10,000 digits")
        return within(top**b)
    if a < 0:
        raise Unclear("A root of a negative number is not real.")
    if b.denominator > 100:
        raise Irrational("That power is no fraction.")
    if a == 0:
        if b > 0:
            return 0
        raise Unclear("Nothing can be divided by zero.")
    return power(root(a, b.denominator), b.numerator)


def root(a: Exact, n: int) -> Exact:
    if a < 0:
        if n % 2:
            return -root(-a, n)
        raise Unclear("A root of a negative number is not real.")
    top = Fraction(a)
    one, other = _whole_root(top.numerator, n), _whole_root(top.denominator, n)
    if one**n != top.numerator or other**n != top.denominator:
        raise Irrational("That root is no fraction.")
    return within(Fraction(one, other))


def _whole_root(a: int, n: int) -> int:
    if n == 2 or a < 2:
        return math.isqrt(a) if a > 1 else a
    if a.bit_length() > 4000:
        raise TooLarge("a root of a number of that size")
    x = 1 << -(-a.bit_length() // n)
    while (y := ((n - 1) * x + a // x ** (n - 1)) // n) < x:
        x = y
    return x


def _same(args: list[Value]) -> tuple[list[Exact], Value]:
    """Their numbers, where all are of one kind, and one of them to show how to go back."""
    first = args[0]
    for arg in args:
        if type(arg) is not type(first) and not (isinstance(arg, int | Fraction) and isinstance(first, int | Fraction)):
            raise Unclear(_TYPES.format("numbers and measures"))
        if isinstance(arg, Amount) and isinstance(first, Amount) and (arg.dimension != first.dimension or arg.dimension == DEGREES):
            raise Unclear(_TYPES.format("these measures"))
        if isinstance(arg, Dated):
            raise Unclear(_TYPES.format("days"))
    return [arg.value if isinstance(arg, Percent | Amount) else number(arg) for arg in args], first


def _like(value: Exact, first: Value) -> Value:
    if isinstance(first, Percent):
        return Percent(value)
    return Amount(value, first.dimension, first.unit) if isinstance(first, Amount) else value


def _call(name: str, args: list[Value]) -> Value:
    match name:
        case "sum" | "product" | "mean" | "median" | "max" | "min" | "neg" | "abs" | "difference":
            return _of_many(name, args)
        case "percent":
            return Percent(within(Fraction(number(args[0]), 100)))
        case "increased" | "decreased":
            return _changed(args[0], args[1], 1 if name == "increased" else -1)
        case "change" | "drop":
            (a, b), _ = _same(args)
            if a <= 0 or b < 0:
                raise Unclear("A percentage of that is not read.")
            moved = Fraction(b - a) / a
            if moved * (1 if name == "change" else -1) < 0:
                raise Unclear("It changes in the other direction.")
            return Percent(within(abs(moved)))
        case "shareof":
            (a, b), _ = _same(args)
            if b == 0:
                raise Unclear("Nothing can be divided by zero.")
            return Percent(within(Fraction(a) / b))
        case _:
            return _function(name, [number(arg) for arg in args])


def _of_many(name: str, args: list[Value]) -> Value:
    numbers, first = _same(args)
    match name:
        case "sum":
            value: Exact = sum(numbers)
        case "difference":
            value = numbers[0] - numbers[1]
            if value < 0:
                raise Unclear("Whether that difference is negative has two readings.")
        case "product":
            if isinstance(first, Amount | Percent):
                raise Unclear(_TYPES.format("measures in a product"))
            value = 1
            for n in numbers:
                value = within(value * n)
        case "mean":
            value = Fraction(sum(numbers)) / len(numbers)
        case "median":
            ordered, half = sorted(numbers), len(numbers) // 2
            value = ordered[half] if len(numbers) % 2 else Fraction(ordered[half - 1] + ordered[half]) / 2
        case "neg":
            value = -numbers[0]
        case "abs":
            value = abs(numbers[0])
        case _:
            value = max(numbers) if name == "max" else min(numbers)
    return _like(within(value), first)


def _changed(a: Value, by: Value, sign: int) -> Value:
    if not isinstance(by, Percent):
        return operate("+" if sign > 0 else "-", a, by)
    if isinstance(a, Percent):
        raise Unclear("A percentage of a percentage has two readings.")
    return operate("*", a, within(1 + sign * by.value))


def _function(name: str, args: list[Exact]) -> Exact:
    match name, args:
        case "sqrt", [a]:
            return root(a, 2)
        case "cbrt", [a]:
            return root(a, 3)
        case "factorial", [a]:
            return _factorial(whole(a))
        case "choose", [a, b]:
            n, k = whole(a), whole(b)
            if not 0 <= k <= n:
                raise Unclear("One cannot choose so many.")
            if n > FACTORIAL:
                raise TooLarge("a choice from more than 5,000")
            return within(math.comb(n, k))
        case (("gcd" | "lcm"), [_, _, *_]):
            numbers = [whole(a) for a in args]
            if min(numbers) <= 0:
                raise Unclear("Divisors and multiples are only of positive whole numbers.")
            return within(math.gcd(*numbers) if name == "gcd" else _lcm(numbers))
        case "floor", [a]:
            return math.floor(a)
        case "ceil", [a]:
            return math.ceil(a)
        case "round", [a, step]:
            return _rounded(a, step)
        case "digitsum", [a]:
            if whole(a) < 0:
                raise Unclear("The digits are only of positive whole numbers.")
            if whole(a).bit_length() > 13_000:
                raise TooLarge("the digits of a number of that size")
            return sum(map(int, str(a)))
        case "firstsum", [a]:
            return within(max(whole(a), 0) * (whole(a) + 1) // 2)
        case "divisors", [a]:
            return _divisors(whole(a))
        case (("ln" | "sin" | "cos" | "tan"), [_]):
            raise Irrational(f"{name} is no fraction.")
        case _:
            raise Unclear(f"Not known: {name} of that.")


def _lcm(numbers: list[int]) -> int:
    value = 1
    for n in numbers:
        value = int(within(math.lcm(value, n)))
    return value


def _factorial(n: int) -> Exact:
    if n < 0:
        raise Unclear("Factorials are of whole numbers that are not negative.")
    if n > FACTORIAL:
        raise TooLarge("a factorial of more than 5,000")
    return math.factorial(n) if n < 1000 else _large(math.factorial(n))


def _large(value: int) -> int:
    """5000! has 16,000 digits: a factorial alone may be that long."""
    if value.bit_length() > 2 * BITS:
        raise TooLarge("a number of more than 10,000 digits")
    return value


def _rounded(a: Exact, step: Exact) -> Exact:
    scaled = Fraction(a) / step
    low = math.floor(scaled)
    if scaled - low == Fraction(1, 2):
        raise Unclear("It is exactly in the middle, where there is more than one rule.")
    return within((low if scaled - low < Fraction(1, 2) else low + 1) * step)


def _divisors(n: int) -> int:
    if n <= 0 or n > 10**10:
        raise TooLarge("the divisors of a number of that size")
    total, d = 1, 2
    while d * d <= n:
        times = 1
        while n % d == 0:
            n, times = n // d, times + 1
        total, d = total * times, d + 1
    return total * (2 if n > 1 else 1)


_PRIMES = [p for p in range(2, 1000) if all(p % d for d in range(2, math.isqrt(p) + 1))]
_PROVEN = 3317044064679887385961981  # the first 13 primes as witnesses decide all below


def is_prime(n: int) -> bool:
    if n < 2:
        return False
    for p in _PRIMES:
        if n % p == 0:
            return n == p
    if n < 1_000_000:
        return True
    if n.bit_length() > 2000:
        raise TooLarge("whether a number of that size is prime")
    d, s = n - 1, 0
    while d % 2 == 0:
        d, s = d // 2, s + 1
    for witness in _PRIMES[:13]:
        x = pow(witness, d, n)
        if x not in (1, n - 1) and all((x := x * x % n) != n - 1 for _ in range(s - 1)):
            return False
    if n >= _PROVEN:
        raise TooLarge("the proof that a number of that size is prime")
    return True
