"""Polynomials multiplied out: coefficients by the exponents of the variables."""

from fractions import Fraction

from passel.workloads.verification.formal.limits import TERMS, TooLarge, Unclear
from passel.workloads.verification.formal.trees import Exact, Fn, Num, Op, Term, Var, variables
from passel.workloads.verification.formal.values import Irrational, evaluate, number, within

Powers = tuple[int, ...]
Polynomial = dict[Powers, Exact]
DEGREE = 1000


class NoPolynomial(Exception):
    pass


def polynomial(tree: Term, names: list[str]) -> Polynomial:
    match tree:
        case Var(name):
            return {tuple(int(name == other) for other in names): 1}
        case Op("+", a, b):
            return _plus(polynomial(a, names), polynomial(b, names), 1)
        case Op("-", a, b):
            return _plus(polynomial(a, names), polynomial(b, names), -1)
        case Op("*", a, b):
            return _times(polynomial(a, names), polynomial(b, names))
        case Op("/", a, b) if not variables(b):
            below = _constant(b)
            if below == 0:
                raise Unclear("Nothing can be divided by zero.")
            return {powers: within(Fraction(c) / below) for powers, c in polynomial(a, names).items()}
        case Op("^", a, Num(int(n))) if n >= 1 and variables(a):
            return _power(polynomial(a, names), n)
        case Fn("neg", (a,)):
            return {powers: -c for powers, c in polynomial(a, names).items()}
        case _ if not variables(tree):
            c = _constant(tree)
            return {(0,) * len(names): c} if c else {}
        case _:
            raise NoPolynomial


def _constant(tree: Term) -> Exact:
    try:
        return number(evaluate(tree))
    except Irrational:
        raise NoPolynomial from None


def _plus(a: Polynomial, b: Polynomial, sign: int) -> Polynomial:
    total = dict(a)
    for powers, c in b.items():
        value = within(total.get(powers, 0) + sign * c)
        if value:
            total[powers] = value
        else:
            total.pop(powers, None)
    return total


def _times(a: Polynomial, b: Polynomial) -> Polynomial:
    if len(a) * len(b) > 20 * TERMS:
        raise TooLarge(f"a polynomial of more than {TERMS} terms")
    total: Polynomial = {}
    for p, c in a.items():
        for q, d in b.items():
            powers = tuple(map(int.__add__, p, q))
            total[powers] = total.get(powers, 0) + c * d
    if len(total) > TERMS or any(sum(powers) > DEGREE for powers in total):
        raise TooLarge(f"a polynomial of more than {TERMS} terms or a degree of more than {DEGREE}")
    return {powers: within(c) for powers, c in total.items() if c}


def _power(base: Polynomial, n: int) -> Polynomial:
    if n > DEGREE or (len(base) > 1 and n > 100):
        raise TooLarge("a power of that size in algebra")
    total = base
    for _ in range(n - 1) if len(base) > 1 else ():
        total = _times(total, base)
    if len(base) == 1:
        ((powers, c),) = base.items()
        if sum(powers) * n > DEGREE:
            raise TooLarge("a power of that size in algebra")
        return {tuple(p * n for p in powers): within(Fraction(c) ** n)}
    return total


def derived(p: Polynomial) -> Polynomial:
    """Of one variable."""
    return {(n - 1,): c * n for (n,), c in p.items() if n}


def integrated(p: Polynomial, low: Exact, high: Exact) -> Exact:
    total: Exact = 0
    for (n,), c in p.items():
        total = within(total + within(Fraction(c, 1) / (n + 1) * (within(high ** (n + 1)) - within(low ** (n + 1)))))
    return total


def written(p: Polynomial, names: list[str]) -> Term:
    tree: Term = Num(0)
    for powers, c in sorted(p.items(), reverse=True):
        factors: list[Term] = [Op("^", Var(name), Num(n)) if n > 1 else Var(name) for name, n in zip(names, powers, strict=True) if n]
        one: Term = Num(c)
        if factors:
            one = factors[0] if c == 1 else Op("*", one, factors[0])
            for factor in factors[1:]:
                one = Op("*", one, factor)
        tree = one if tree == Num(0) else Op("+", tree, one)
    return tree
