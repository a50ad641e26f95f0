"""Between which numbers an irrational number lies: interval arithmetic, rounded outwards, in one precision."""

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from passel.workloads.verification.formal.limits import Unclear, thorough
from passel.workloads.verification.formal.trees import Const, Exact, Fn, Num, Op, Term
from passel.workloads.verification.formal.values import Irrational, evaluate, number

_PRECISION = 320
_LARGE = 10**6


def arithmetic() -> Any:
    thorough()
    from mpmath import iv

    iv.prec = _PRECISION
    return iv


def interval(tree: Term, names: Mapping[str, Exact]) -> tuple[Fraction, Fraction]:
    return ends(_bound(arithmetic(), tree, names))


def ends(bound: Any) -> tuple[Fraction, Fraction]:
    return _fraction(bound._mpi_[0]), _fraction(bound._mpi_[1])


def _fraction(raw: Any) -> Fraction:
    sign, mantissa, exponent, bits = raw
    if not mantissa and exponent:
        raise Unclear("Not to be bounded.")
    if abs(exponent) > 100_000 or bits > 100_000:
        raise Unclear("Too large or too small to be bounded.")
    value = Fraction(int(mantissa)) * Fraction(2) ** int(exponent)
    return -value if sign else value


def _bound(iv: Any, tree: Term, names: Mapping[str, Exact]) -> Any:
    try:
        return exact(iv, number(evaluate(tree, names)))
    except Irrational:
        pass
    match tree:
        case Const(name):
            return iv.pi if name == "pi" else iv.e
        case Op("^", Const("e"), b):
            return call(iv, "exp", _bound(iv, b, names))
        case Op("^", a, b):
            return raised(iv, _bound(iv, a, names), b.value if isinstance(b, Num) else None, _bound(iv, b, names))
        case Op(sign, a, b):
            return combined(iv, sign, _bound(iv, a, names), _bound(iv, b, names))
        case Fn("neg", (a,)):
            return -_bound(iv, a, names)
        case Fn(name, (a,)):
            return call(iv, name, _bound(iv, a, names))
        case _:
            raise Unclear("Not to be bounded.")


def exact(iv: Any, value: Exact) -> Any:
    top = Fraction(value)
    return iv.mpf(top.numerator) / iv.mpf(top.denominator)


def combined(iv: Any, sign: str, a: Any, b: Any) -> Any:
    match sign:
        case "+":
            return a + b
        case "-":
            return a - b
        case "*":
            return a * b
        case "/":
            low, high = ends(b)
            if low <= 0 <= high:
                raise Unclear("Nothing can be divided by zero.")
            return a / b
        case _:
            raise Unclear("Not to be bounded.")


def raised(iv: Any, a: Any, n: Exact | None, b: Any) -> Any:
    if isinstance(n, int) and abs(n) <= 200:
        total = iv.mpf(1)
        for _ in range(abs(n)):
            total = total * a
        return total if n >= 0 else combined(iv, "/", iv.mpf(1), total)
    return call(iv, "exp", b * call(iv, "ln", a))


def call(iv: Any, name: str, a: Any) -> Any:
    low, high = ends(a)
    if max(abs(low), abs(high)) > _LARGE and name not in ("sqrt", "abs", "ln"):
        raise Unclear("Too large to be bounded.")
    match name:
        case "sqrt":
            if low < 0:
                raise Unclear("A root of a negative number is not real.")
            return iv.sqrt(a)
        case "exp":
            return iv.exp(a)
        case "ln":
            if low <= 0:
                raise Unclear("A logarithm is only of a positive number.")
            return iv.log(a)
        case "sin":
            return iv.sin(a)
        case "cos":
            return iv.cos(a)
        case "tan":
            return combined(iv, "/", iv.sin(a), iv.cos(a))
        case "abs":
            if low < 0 < high:
                raise Unclear("Not to be bounded.")
            return a if low >= 0 else -a
        case _:
            raise Unclear("Not to be bounded.")
