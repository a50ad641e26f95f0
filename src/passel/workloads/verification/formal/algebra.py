"""Claims about expressions with variables: polynomials by multiplying out, the rest by sympy and z3, from our own trees."""

from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any

from passel.workloads.verification.formal import rendering, symbols
from passel.workloads.verification.formal.limits import Unclear
from passel.workloads.verification.formal.polynomials import NoPolynomial, Polynomial, derived, integrated, polynomial, written
from passel.workloads.verification.formal.trees import (
    Changes,
    Cmp,
    Const,
    Day,
    Exact,
    Fn,
    Formula,
    Measure,
    Num,
    Op,
    Shift,
    Term,
    holds_any,
    put,
    variables,
)
from passel.workloads.verification.formal.values import Irrational, evaluate, number

_TOTAL = {"sin", "cos", "neg", "abs"}
_READABLE = _TOTAL | {"sqrt", "cbrt", "ln", "tan"}
Closed = Callable[[Formula], bool]


def readable(tree: Term) -> bool:
    match tree:
        case Measure() | Day() | Shift():
            return False
        case Fn(name, args):
            return (name in _READABLE or not variables(tree)) and all(map(readable, args))
        case Op(sign, a, b):
            return (sign != "mod" or not variables(tree)) and readable(a) and readable(b)
        case _:
            return True


def total(tree: Term) -> bool:
    """Whether it is surely defined for all real values."""
    if not variables(tree):
        return True  # if not, evaluating it says so
    match tree:
        case Op("^", a, Num(int(n))):
            return n >= 1 and total(a)
        case Op("^", a, b):
            return a == Const("e") and total(b)
        case Op("/", a, b):
            return not variables(b) and total(a)
        case Op(_, a, b):
            return total(a) and total(b)
        case Fn(name, args):
            return name in _TOTAL and all(map(total, args))
        case _:
            return True


def reads_as_identity(left: Term, right: Term, names: list[str]) -> bool:
    """Whether an equation is likely to be meant for all values: there is something to multiply out, and polynomials are of
    one degree (`(x + 1)^2 = x + 3` is to be solved)."""
    if not (multiplies_out(left) or multiplies_out(right)):
        return False
    try:
        return _degree(polynomial(left, names)) == _degree(polynomial(right, names))
    except NoPolynomial:
        return True


def _degree(p: Polynomial) -> int:
    return max(map(sum, p), default=0)


def multiplies_out(tree: Term) -> bool:
    """A product or power of a sum, or a function: a left side that invites to be worked out."""
    match tree:
        case Op("*", a, b):
            return (bool(variables(a)) and bool(variables(b)) and (_sum(a) or _sum(b))) or multiplies_out(a) or multiplies_out(b)
        case Op("^", a, Num(n)):
            return (_sum(a) and n > 1) or multiplies_out(a)
        case Op(_, a, b):
            return multiplies_out(a) or multiplies_out(b)
        case Fn("sqrt", (Op("^", _, _) as a,)):
            return bool(variables(a))
        case Fn(_, args):
            return any(map(multiplies_out, args))
        case _:
            return False


def _sum(tree: Term) -> bool:
    return isinstance(tree, Op) and tree.sign in ("+", "-") and bool(variables(tree))


def same_polynomial(left: Term, right: Term, names: list[str]) -> bool:
    try:
        return polynomial(left, names) == polynomial(right, names)
    except NoPolynomial:
        return False


def _difference(left: Term, right: Term, names: list[str]) -> Polynomial | None:
    try:
        return polynomial(Op("-", left, right), names)
    except NoPolynomial:
        return None


def proves(sign: str, left: Term, right: Term, names: list[str], domains: Mapping[str, str]) -> bool:
    if not total(left) or not total(right):
        return False
    difference = _difference(left, right, names)
    if sign != "=":
        return difference is not None and symbols.never(sign, difference, names, domains)
    return difference is None and is_zero(Op("-", left, right))


def is_zero(difference: Term) -> bool:
    return symbols.is_zero(symbols.symbolic(difference))


# ---- solutions ----------------------------------------------------------------------------------------------------


def solves(equation: Cmp, var: str, values: tuple[Term, ...], every: bool, closed: Closed) -> tuple[bool, str]:
    if not readable(Op("-", equation.left, equation.right)) or any(variables(value) for value in values):
        raise Unclear("It depends on the values of its variables.")
    for value in values:
        there = Cmp("=", put(equation.left, {var: value}), put(equation.right, {var: value}))
        if not closed(there):
            sides = " and ".join(_shown(side) for side in (there.left, there.right))
            return False, f"With {var} = {rendering.term(value)}, the two sides are {sides}."
    if not every:
        return True, "The two sides are the same with that value."
    for n, value in enumerate(values):
        if any(closed(Cmp("=", value, other)) for other in values[:n]):
            raise Unclear("A solution is named twice.")
    difference = _difference(equation.left, equation.right, [var])
    if not difference or not any(powers[0] for powers in difference):
        raise Unclear("How many solutions there are is not known.")
    real, all_of_them = symbols.count_roots(difference)
    if len(values) < real:
        return False, f"There are {real} real solutions, not {len(values)}."
    if real != all_of_them:
        raise Unclear("There are further solutions that are not real.")
    return True, "They solve it, and there are no others."


def _shown(side: Term) -> str:
    try:
        return rendering.worth(evaluate(side))
    except Unclear:
        return rendering.term(side)


# ---- calculus -----------------------------------------------------------------------------------------------------


def changes(tree: Changes, closed: Closed) -> tuple[bool, str]:
    for side in (tree.of, tree.result, *tree.bounds):
        if not readable(side):
            raise Unclear("That is not read in algebra.")
    if tree.kind == "integral":
        return _integral(tree, closed)
    function, other = (tree.of, tree.result) if tree.kind == "derivative" else (tree.result, tree.of)
    if not total(function) or not total(other):
        raise Unclear("It is not defined for all values.")
    names = [tree.var]
    try:
        found = derived(polynomial(function, names))
    except NoPolynomial:
        return _derivative(function, other, tree.var)
    text = f"The derivative of {rendering.term(function)} is {rendering.term(written(found, names))}"
    try:
        holds = found == polynomial(other, names)
    except NoPolynomial:
        raise Unclear("The two are not compared.") from None
    return holds, text + (", as claimed." if holds else f", not {rendering.term(other)}.")


_POINTS: tuple[Exact, ...] = (1, 2, Fraction(1, 2), -1, 3, Fraction(-3, 2))


def _derivative(function: Term, other: Term, var: str) -> tuple[bool, str]:
    if holds_any(function, Fn) and _has_abs(function):
        raise Unclear("It has no derivative everywhere.")
    difference = symbols.derivative(symbols.symbolic(function), var) - symbols.symbolic(other)
    if symbols.is_zero(difference):
        return True, f"The derivative of {rendering.term(function)} is {rendering.term(other)}, as claimed."
    for at in _POINTS:
        low, high = symbols.interval_at(difference, var, at)
        if low > 0 or high < 0:
            return (
                False,
                f"With {var} = {rendering.exact(at)}, the derivative of {rendering.term(function)} is not {rendering.term(other)}.",
            )
    raise Unclear("The two sides are too close to tell them apart.")


def _has_abs(tree: Term) -> bool:
    match tree:
        case Fn(name, args):
            return name == "abs" or any(map(_has_abs, args))
        case Op(_, a, b):
            return _has_abs(a) or _has_abs(b)
        case _:
            return False


def _integral(tree: Changes, closed: Closed) -> tuple[bool, str]:
    if variables(tree.result) or any(map(variables, tree.bounds)):
        raise Unclear("It depends on the values of its variables.")
    if not total(tree.of) or _has_abs(tree.of):
        raise Unclear("What is integrated is not defined everywhere.")
    low, high = tree.bounds
    try:
        value = integrated(polynomial(tree.of, [tree.var]), number(evaluate(low)), number(evaluate(high)))
    except (NoPolynomial, Irrational):
        return _symbolic_integral(tree)
    holds = closed(Cmp("=", Num(value), tree.result))
    return holds, f"The integral is {rendering.exact(value)}{', as claimed' if holds else f', not {rendering.term(tree.result)}'}."


def _symbolic_integral(tree: Changes) -> tuple[bool, str]:
    of = symbols.symbolic(tree.of)
    whole: Any = symbols.antiderivative(of, tree.var)
    if not symbols.is_zero(symbols.derivative(whole, tree.var) - of):
        raise Unclear("No antiderivative was found.")
    low, high = (symbols.symbolic(bound) for bound in tree.bounds)
    difference = symbols.at(whole, tree.var, high) - symbols.at(whole, tree.var, low) - symbols.symbolic(tree.result)
    if symbols.is_zero(difference):
        return True, f"The integral is {rendering.term(tree.result)}, as claimed."
    below, above = symbols.interval_at(difference, tree.var, 0)
    if below > 0 or above < 0:
        return False, f"The integral is not {rendering.term(tree.result)}."
    raise Unclear("The two sides are too close to tell them apart.")
