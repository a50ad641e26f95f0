"""What was understood: the only thing that is ever decided. Terms stand for values, formulas for truth."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from passel.workloads.verification.formal.units import Unit

Exact = int | Fraction


@dataclass(frozen=True, slots=True)
class Num:
    """`places`: decimals as written, None for what was not written as a decimal number."""

    value: Exact
    places: int | None = None


@dataclass(frozen=True, slots=True)
class Const:
    name: str  # pi, e


@dataclass(frozen=True, slots=True)
class Var:
    name: str


@dataclass(frozen=True, slots=True)
class Op:
    sign: str  # + - * / ^ mod
    left: Term
    right: Term


@dataclass(frozen=True, slots=True)
class Fn:
    name: str
    args: tuple[Term, ...]


@dataclass(frozen=True, slots=True)
class Measure:
    amount: Term
    unit: Unit


@dataclass(frozen=True, slots=True)
class Day:
    ordinal: int


@dataclass(frozen=True, slots=True)
class Shift:
    """A day that is so many days, months or years after another, or before."""

    day: Term
    count: Term
    unit: str  # day, week, month, year
    sign: int


Term = Num | Const | Var | Op | Fn | Measure | Day | Shift


@dataclass(frozen=True, slots=True)
class Cmp:
    sign: str  # = != < <= > >= ~
    left: Term
    right: Term


@dataclass(frozen=True, slots=True)
class Between:
    middle: Term
    low: Term
    high: Term
    strict: bool  # said so; else both readings have to agree


@dataclass(frozen=True, slots=True)
class Is:
    """A property of numbers or days; `given` are names that go with it, such as the Friday of a weekday."""

    name: str
    args: tuple[Term, ...]


@dataclass(frozen=True, slots=True)
class Solves:
    """These are the solutions of the equation, or one of them."""

    equation: Cmp
    var: str
    values: tuple[Term, ...]
    every: bool


@dataclass(frozen=True, slots=True)
class Changes:
    """Calculus: `result` is the derivative of `of`, its integral between bounds, or an antiderivative."""

    kind: str  # derivative, integral, antiderivative
    of: Term
    var: str
    bounds: tuple[Term, ...]
    result: Term


@dataclass(frozen=True, slots=True)
class Pred:
    """Of names; with none it is a proposition."""

    name: str
    args: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Not:
    body: Formula


@dataclass(frozen=True, slots=True)
class Join:
    sign: str  # and, or, either, if, iff
    left: Formula
    right: Formula


@dataclass(frozen=True, slots=True)
class Every:
    """Over names (domain "thing") or over numbers (real, integer, positive real, positive integer)."""

    var: str
    domain: str
    body: Formula
    some: bool = False


Formula = Cmp | Between | Is | Solves | Changes | Pred | Not | Join | Every
Tree = Term | Formula


def parts(tree: Tree) -> tuple[Tree, ...]:
    match tree:
        case Op(_, a, b) | Cmp(_, a, b) | Join(_, a, b):
            return (a, b)
        case Fn(_, args) | Is(_, args):
            return args
        case Measure(a, _) | Not(a):
            return (a,)
        case Every(_, _, body, _):
            return (body,)
        case Shift(a, b, _, _):
            return (a, b)
        case Between(a, b, c, _):
            return (a, b, c)
        case Solves(equation, _, values, _):
            return (equation, *values)
        case Changes(_, of, _, bounds, result):
            return (of, *bounds, result)
        case _:
            return ()


def variables(tree: Tree) -> list[str]:
    """In the order in which they appear."""
    found: dict[str, None] = {}
    waiting: list[Tree] = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, Var):
            found[node.name] = None
        else:
            waiting.extend(reversed(parts(node)))
    return list(found)


def holds_any(tree: Tree, kinds: type[Tree] | tuple[type[Tree], ...]) -> bool:
    waiting: list[Tree] = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, kinds):
            return True
        waiting.extend(parts(node))
    return False


def put(tree: Term, values: dict[str, Term]) -> Term:
    match tree:
        case Var(name):
            return values.get(name, tree)
        case Op(sign, a, b):
            return Op(sign, put(a, values), put(b, values))
        case Fn(name, args):
            return Fn(name, tuple(put(arg, values) for arg in args))
        case Measure(a, unit):
            return Measure(put(a, values), unit)
        case _:
            return tree
