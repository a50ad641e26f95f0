"""sympy and z3 for algebra. They get objects built from our trees, never text."""

import contextlib
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from passel.workloads.verification.formal import bounds
from passel.workloads.verification.formal.limits import TooLarge, Unclear, thorough
from passel.workloads.verification.formal.polynomials import Polynomial
from passel.workloads.verification.formal.trees import Const, Exact, Fn, Op, Term, Var, variables
from passel.workloads.verification.formal.values import Irrational, evaluate, number

_EXPONENT = 60
_MILLISECONDS = 1000


def _sympy() -> Any:
    thorough()
    import sympy

    return sympy


def symbolic(tree: Term) -> Any:
    sympy = _sympy()
    if not variables(tree):
        with contextlib.suppress(Irrational):
            return _rational(sympy, number(evaluate(tree)))
    match tree:
        case Const(name):
            return sympy.pi if name == "pi" else sympy.E
        case Var(name):
            return sympy.Symbol(name, real=True)
        case Op("^", a, b):
            exponent = symbolic(b)
            if exponent.is_Rational and abs(exponent) > _EXPONENT:
                raise TooLarge(f"an exponent of more than {_EXPONENT} in algebra")
            return symbolic(a) ** exponent
        case Op(sign, a, b):
            return _combined(sign, symbolic(a), symbolic(b))
        case Fn("neg", (a,)):
            return -symbolic(a)
        case Fn(name, (a,)):
            known = {
                "sqrt": sympy.sqrt, "sin": sympy.sin, "cos": sympy.cos, "tan": sympy.tan, "ln": sympy.log, "abs": sympy.Abs,
                "cbrt": lambda x: sympy.real_root(x, 3),
            }  # fmt: skip
            if name in known:
                return known[name](symbolic(a))
        case _:
            pass
    raise Unclear("That is not read in algebra.")


def _rational(sympy: Any, value: Exact) -> Any:
    top = Fraction(value)
    return sympy.Rational(top.numerator, top.denominator)


def _combined(sign: str, a: Any, b: Any) -> Any:
    match sign:
        case "+":
            return a + b
        case "-":
            return a - b
        case "*":
            return a * b
        case "/":
            if b.is_zero is not False and not b.free_symbols:
                raise Unclear("Nothing can be divided by zero.")
            return a / b
        case _:
            raise Unclear("That is not read in algebra.")


def is_zero(expression: Any) -> bool:
    """Proved to be zero; not being told is no."""
    sympy = _sympy()
    if expression == 0 or sympy.expand(expression) == 0:
        return True
    return bool(sympy.simplify(expression) == 0)


def derivative(expression: Any, var: str) -> Any:
    return expression.diff(_sympy().Symbol(var, real=True))


def antiderivative(expression: Any, var: str) -> Any:
    sympy = _sympy()
    found = sympy.integrate(expression, sympy.Symbol(var, real=True))
    if found.has(sympy.Integral) or found.has(sympy.Piecewise):
        raise Unclear("No antiderivative was found.")
    return found


def at(expression: Any, var: str, value: Any) -> Any:
    return expression.subs(_sympy().Symbol(var, real=True), value)


def interval_at(expression: Any, var: str, value: Exact) -> tuple[Fraction, Fraction]:
    sympy = _sympy()
    iv = bounds.arithmetic()
    return bounds.ends(_bound(sympy, iv, expression, sympy.Symbol(var, real=True), bounds.exact(iv, value)))


def _bound(sympy: Any, iv: Any, e: Any, var: Any, value: Any) -> Any:
    if e == var:
        return value
    if e.is_Rational:
        return bounds.exact(iv, Fraction(int(e.p), int(e.q)))
    if e in (sympy.pi, sympy.E):
        return iv.pi if e == sympy.pi else iv.e
    args = [_bound(sympy, iv, arg, var, value) for arg in e.args]
    if e.is_Add or e.is_Mul:
        total = args[0]
        for arg in args[1:]:
            total = bounds.combined(iv, "+" if e.is_Add else "*", total, arg)
        return total
    if isinstance(e, sympy.exp):
        return bounds.call(iv, "exp", args[0])
    if e.is_Pow:
        n = int(e.exp) if e.exp.is_Integer else None
        return bounds.call(iv, "sqrt", args[0]) if e.exp == sympy.Rational(1, 2) else bounds.raised(iv, args[0], n, args[1])
    for name, function in (("sin", sympy.sin), ("cos", sympy.cos), ("tan", sympy.tan), ("ln", sympy.log), ("abs", sympy.Abs)):
        if isinstance(e, function):
            return bounds.call(iv, name, args[0])
    raise Unclear("Not to be bounded.")


def count_roots(p: Polynomial) -> tuple[int, int]:
    """How many different ones are real, and how many there are."""
    sympy = _sympy()
    if max(powers[0] for powers in p) > _EXPONENT:
        raise TooLarge(f"an exponent of more than {_EXPONENT} in algebra")
    x = sympy.Symbol("x")
    whole = sympy.Poly.from_dict({powers: _rational(sympy, c) for powers, c in p.items()}, x, domain="QQ")
    free = sympy.Poly(whole.quo(sympy.gcd(whole, whole.diff(x))), x)
    return int(free.count_roots()), int(free.degree())


def never(sign: str, difference: Polynomial, names: list[str], domains: Mapping[str, str]) -> bool:
    """z3 proves that there are no values with which the comparison with zero fails. Whole numbers are looked for first among
    real ones, where it decides more."""
    thorough()
    import z3

    if max((sum(powers) for powers in difference), default=0) > 20:
        raise TooLarge("a degree of more than 20 in an inequality")
    for integers in (False, True):
        if integers and not any("integer" in domain for domain in domains.values()):
            return False
        solver: Any = z3.Solver()
        solver.set("timeout", _MILLISECONDS)
        known: dict[str, Any] = {}
        for name in names:
            domain = domains.get(name, "real")
            known[name] = z3.Int(name) if integers and "integer" in domain else z3.Real(name)
            if "positive" in domain:
                solver.add(known[name] > 0 if "integer" not in domain else known[name] >= 1)
        solver.add(z3.Not(_compared(sign, _summed(z3, difference, [known[name] for name in names]))))
        if solver.check() == z3.unsat:
            return True
    return False


def _summed(z3: Any, p: Polynomial, names: list[Any]) -> Any:
    total: Any = z3.RealVal(0)
    for powers, c in p.items():
        top = Fraction(c)
        one: Any = z3.Q(top.numerator, top.denominator)
        for name, n in zip(names, powers, strict=True):
            for _ in range(n):
                one = one * name
        total = total + one
    return total


def _compared(sign: str, value: Any) -> Any:
    match sign:
        case "!=":
            return value != 0
        case "<":
            return value < 0
        case "<=":
            return value <= 0
        case ">":
            return value > 0
        case _:
            return value >= 0
