"""Whether a formula of tier A holds."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction

from passel.workloads.verification.formal import algebra, bounds, dates, rendering
from passel.workloads.verification.formal.limits import Unclear
from passel.workloads.verification.formal.trees import (
    Between,
    Changes,
    Cmp,
    Const,
    Every,
    Exact,
    Fn,
    Formula,
    Is,
    Join,
    Measure,
    Not,
    Num,
    Op,
    Solves,
    Term,
    holds_any,
    variables,
)  # fmt: skip
from passel.workloads.verification.formal.values import (
    Amount,
    Dated,
    Irrational,
    Percent,
    Value,
    evaluate,
    is_prime,
    number,
    whole,
)  # fmt: skip


@dataclass(slots=True)
class Outcome:
    holds: bool
    reasoning: str
    values: list[str] = field(default_factory=list)
    counterexample: dict[str, str] | None = None


def decide(tree: Formula) -> Outcome:
    match tree:
        case Every():
            return _quantified(tree)
        case Cmp(sign, left, right):
            if not variables(tree):
                return _comparison(sign, left, right)
            return _identity(sign, left, right, {}, quantified=False)
        case Solves(equation, var, values, every):
            holds, why = algebra.solves(equation, var, values, every, closed)
            return Outcome(holds, why)
        case Changes():
            return Outcome(*algebra.changes(tree, closed))
        case Not(Cmp("=", left, right)) if not variables(tree):
            found = _comparison("=", left, right)
            found.holds = not found.holds
            if found.reasoning.endswith(", as claimed."):
                found.reasoning = found.reasoning.removesuffix(", as claimed.") + "."
            return found
        case Not(body):
            found = decide(body)
            return Outcome(not found.holds, found.reasoning, found.values, found.counterexample if found.holds else None)
        case Join(sign, left, right):
            return _joined(sign, decide(left), decide(right))
        case _:
            if variables(tree):
                raise Unclear("It depends on the values of its variables.")
            holds = _closed(tree)
            return Outcome(holds, f"{rendering.formula(tree)}: that {'holds' if holds else 'does not hold'}.")


def closed(tree: Formula) -> bool:
    """A formula without variables."""
    if isinstance(tree, Cmp) and not variables(tree):
        return _comparison(tree.sign, tree.left, tree.right).holds
    return decide(tree).holds


def _joined(sign: str, one: Outcome, other: Outcome) -> Outcome:
    a, b = one.holds, other.holds
    match sign:
        case "and" | "chain":
            holds = a and b
        case "or":
            holds = a or b
        case "either":
            if a and b:
                raise Unclear("Both hold: whether `either ... or` allows that has two readings.")
            holds = a or b
        case "if":
            holds = not a or b
        case _:
            holds = a == b
    return Outcome(holds, f"{one.reasoning} {other.reasoning}", [*one.values, *other.values][:50])


# ---- comparisons --------------------------------------------------------------------------------------------------


def _comparison(sign: str, left: Term, right: Term) -> Outcome:
    if sign == "~":
        return _about(left, right)
    try:
        a, b = evaluate(left), evaluate(right)
    except Irrational:
        return _irrational(sign, left, right)
    holds = _compare(sign, a, b, left, right)
    return _told(sign, holds, left, right, rendering.worth(a), rendering.worth(b))


def _told(sign: str, holds: bool, left: Term, right: Term, a: str, b: str) -> Outcome:
    if sign == "=":
        what, worth, other = rendering.term(left), a, b
        if what == a and rendering.term(right) != b:
            what, worth, other = rendering.term(right), b, a
        if isinstance(left, Measure) and not isinstance(right, Measure | Num):
            what, worth, other = rendering.term(right), b, a
        if what == worth:
            text = f"{what} is {other}, as claimed." if holds else f"{what} is not {other}."
        else:
            text = f"{what} is {worth}, as claimed." if holds else f"{what} is {worth}, not {other}."
    else:
        text = f"The left side is {a}, the right side {b}."
    return Outcome(holds, text, [a, b])


def _compare(sign: str, a: Value, b: Value, left: Term, right: Term) -> bool:
    x, y = _comparable(sign, a, b)
    holds = _order(sign, x, y)
    if not holds and sign == "=" and isinstance(a, Amount | Percent) and (_rounds(left, b, 1) or _rounds(right, a, 0)):
        raise Unclear("Right as a rounded value, but it does not say that it is one.")
    if sign in ("=", "!=") and isinstance(a, Percent) != isinstance(b, Percent) and x != y:
        raise Unclear("A percentage of nothing in particular is not compared with a number.")
    return holds


def _comparable(sign: str, a: Value, b: Value) -> tuple[Exact, Exact]:
    if isinstance(a, int | Fraction) and isinstance(b, int | Fraction):
        return a, b
    if isinstance(a, Dated) and isinstance(b, Dated):
        return a.ordinal, b.ordinal
    if isinstance(a, Percent) and isinstance(b, Percent):
        return a.value, b.value
    if isinstance(a, Amount) and isinstance(b, Amount) and a.dimension == b.dimension:
        return a.value, b.value
    if sign in ("=", "!=") and isinstance(a, Percent | int | Fraction) and isinstance(b, Percent | int | Fraction):
        return a.value if isinstance(a, Percent) else a, b.value if isinstance(b, Percent) else b
    raise Unclear("The two sides are not of one kind.")


def _order(sign: str, x: Exact, y: Exact) -> bool:
    match sign:
        case "=":
            return x == y
        case "!=":
            return x != y
        case "<":
            return x < y
        case "<=":
            return x <= y
        case ">":
            return x > y
        case _:
            return x >= y


def _literal(tree: Term) -> tuple[Num, int, Value] | None:
    """A number as it was written, its sign, and what one of it is worth."""
    match tree:
        case Num():
            return tree, 1, 1
        case Fn("percent", (Num() as n,)):
            return n, 1, Percent(Fraction(1, 100))
        case Measure(Num() as n, unit):
            return n, 1, Amount(unit.factor, unit.dimension, unit)
        case _:
            return None


def _written(tree: Term, of: Value) -> tuple[Exact, Exact, int] | None:
    """A value in the unit of a number that was written, that number, and its decimals."""
    found = _literal(tree)
    if found is None or found[0].places is None:
        return None
    literal, _, one = found
    if isinstance(of, Amount) and isinstance(one, Amount) and of.dimension == one.dimension and one.unit:
        return (of.value - one.unit.offset) / one.unit.factor, literal.value, found[0].places or 0
    if isinstance(of, Percent) and isinstance(one, Percent):
        return of.value * 100, literal.value, found[0].places or 0
    if isinstance(of, int | Fraction) and isinstance(one, int):
        return of, literal.value, found[0].places or 0
    return None


def _rounds(tree: Term, of: Value, decimals: int) -> bool:
    """Whether a number as written, with so many decimals at least, is the value rounded."""
    found = _written(tree, of)
    return found is not None and found[2] >= decimals and abs(found[0] - found[1]) <= Fraction(1, 2 * 10 ** found[2])


def _about(left: Term, right: Term) -> Outcome:
    try:
        value = evaluate(left)
        found = _written(right, value)
        if found is None:
            raise Unclear("How exact that is meant to be is not known.")
        holds = _near(*found)
        if not holds and isinstance(left, Num):
            raise Unclear("How exact that is meant to be is not known.")
        shown = rendering.worth(value)
    except Irrational:
        found = _written(right, 0)
        if found is None:
            raise Unclear("How exact that is meant to be is not known.") from None
        low, high = bounds.interval(left, {})
        holds = _near(low, *found[1:])
        if _near(high, *found[1:]) != holds:
            raise Unclear("It cannot be told apart.") from None
        shown = f"{float(low):.10g}..."
    text = rendering.term(right)
    return Outcome(holds, f"{rendering.term(left)} is {shown}, {'about' if holds else 'not about'} {text}.", [shown, text])


def _near(value: Exact, claimed: Exact, places: int) -> bool:
    apart, step = abs(value - claimed), Fraction(1, 10**places)
    if apart < step / 2:
        return True
    if apart == step / 2:
        raise Unclear("It is exactly in the middle, where there is more than one rule.")
    if places == 0:
        if apart < 1 or 2 * apart <= max(abs(value), abs(claimed)):
            raise Unclear("How exact that is meant to be is not known.")
        return False
    if abs(claimed) < abs(value) and apart < step:
        raise Unclear("Cut off, but not rounded.")
    return False


def _irrational(sign: str, left: Term, right: Term) -> Outcome:
    low, high = bounds.interval(Op("-", left, right), {})
    a, b = (_shown(side) for side in (left, right))
    if low > 0 or high < 0:
        holds = _order(sign, 1 if low > 0 else -1, 0)
        if sign == "=" and (_rounds_to(left, right) or _rounds_to(right, left)):
            raise Unclear("Right as a rounded value, but it does not say that it is one.")
        return _told(sign, holds, left, right, a, b)
    if not algebra.is_zero(Op("-", left, right)):
        raise Unclear("The two sides are too close to tell them apart.")
    same = b if b.removesuffix("...") == b else a
    return _told(sign, sign in ("=", "<=", ">="), left, right, same, same)


def _rounds_to(written: Term, other: Term) -> bool:
    """Whether a number as written is the other one, rounded or cut off."""
    found = _written(written, 0)
    if found is None:
        return False
    low, high = bounds.interval(other, {})
    apart, step = min(abs(low - found[1]), abs(high - found[1])), Fraction(1, 10 ** found[2])
    return apart <= step / 2 or (apart < step and abs(found[1]) < abs(high))


def _shown(side: Term) -> str:
    try:
        return rendering.worth(evaluate(side))
    except Irrational:
        return f"{float(bounds.interval(side, {})[0]):.10g}..."


# ---- properties ---------------------------------------------------------------------------------------------------


def _closed(tree: Formula) -> bool:
    if isinstance(tree, Between):
        return _between(tree)
    if not isinstance(tree, Is):
        raise Unclear("It does not say what it is about.")
    name, args = tree.name, tree.args
    if name in ("rational", "irrational"):
        return _rational(args[0]) == (name == "rational")
    if name in ("positive", "negative"):
        return _comparison(">" if name == "positive" else "<", args[0], Num(0)).holds
    if name == "weekday":
        day = evaluate(args[0])
        if not isinstance(day, Dated) or not isinstance(args[1], Num):
            raise Unclear("Only days have a weekday.")
        return (day.ordinal - 1) % 7 == args[1].value
    if name == "days between":
        return _days_between(evaluate(args[0]), evaluate(args[1]), whole(evaluate(args[2])))
    if name == "integer":
        return isinstance(number(evaluate(args[0])), int)
    return _number_is(name, [whole(evaluate(arg)) for arg in args])


def _number_is(name: str, args: list[int]) -> bool:
    match name, args:
        case "prime", [n]:
            return is_prime(n)
        case "composite", [n]:
            if n < 0:
                raise Unclear("Only positive numbers are composite or not.")
            return n > 3 and not is_prime(n)
        case "even", [n]:
            return n % 2 == 0
        case "odd", [n]:
            return n % 2 == 1
        case "square", [n]:
            return n >= 0 and math.isqrt(n) ** 2 == n
        case "cube", [n]:
            try:
                return isinstance(evaluate(Fn("cbrt", (Num(n),))), int)
            except Irrational:
                return False
        case "leap", [n]:
            return dates.days_in(n, 2) == 29
        case "multiple", [a, b] if b:
            return a % b == 0
        case "factor", [a, b] if a:
            return b % a == 0
        case "coprime", [a, b] if a > 0 and b > 0:
            return math.gcd(a, b) == 1
        case "congruent", [a, b, m] if m > 0:
            return (a - b) % m == 0
        case "remainder", [a, b, q, r] if a >= 0 and b > 0:
            return (a // b, a % b) == (q, r)
        case _:
            raise Unclear("That is not defined for these numbers.")


def _rational(tree: Term) -> bool:
    try:
        number(evaluate(tree))
    except Irrational:
        if isinstance(tree, Const) or (isinstance(tree, Fn) and tree.name in ("sqrt", "cbrt") and not holds_any(tree.args[0], (Const,))):
            try:
                evaluate(tree.args[0] if isinstance(tree, Fn) else Num(0))
            except Irrational:
                raise Unclear("Whether that is rational is not known.") from None
            return False
        raise Unclear("Whether that is rational is not known.") from None
    return True


def _days_between(one: Value, other: Value, count: int) -> bool:
    if not isinstance(one, Dated) or not isinstance(other, Dated):
        raise Unclear("Only days have days between them.")
    apart = abs(one.ordinal - other.ordinal)
    if abs(apart - count) == 1:
        raise Unclear("Whether the first and the last day count has more than one reading.")
    return apart == count


def _between(tree: Between) -> bool:
    if not _comparison("<", tree.low, tree.high).holds:
        raise Unclear("The first of the two has to be the smaller one.")
    strictly = _comparison("<", tree.low, tree.middle).holds and _comparison("<", tree.middle, tree.high).holds
    if tree.strict:
        return strictly
    loosely = _comparison("<=", tree.low, tree.middle).holds and _comparison("<=", tree.middle, tree.high).holds
    if strictly != loosely:
        raise Unclear("Whether `between` includes its ends has two readings.")
    return strictly


# ---- for all numbers ----------------------------------------------------------------------------------------------


def _quantified(tree: Every) -> Outcome:
    domains: dict[str, str] = {}
    body: Formula = tree
    while isinstance(body, Every) and not body.some and body.domain != "thing":
        if body.var in domains:
            raise Unclear("One variable is bound twice.")
        domains[body.var] = body.domain
        body = body.body
    if not isinstance(body, Cmp):
        raise Unclear("What is said of all numbers is not a comparison.")
    if set(variables(body)) - domains.keys():
        raise Unclear("It depends on the values of its variables.")
    return _identity(body.sign, body.left, body.right, domains, quantified=True)


def _identity(sign: str, left: Term, right: Term, domains: dict[str, str], *, quantified: bool) -> Outcome:
    if sign == "~" or not algebra.readable(Op("-", left, right)):
        raise Unclear("It depends on the values of its variables.")
    names = variables(Cmp(sign, left, right))
    same = set(variables(left)) == set(variables(right))
    if not quantified and sign != "=":
        raise Unclear("It depends on the values of its variables.")
    if sign == "=" and algebra.same_polynomial(left, right, names):
        return Outcome(True, "The two sides are the same when multiplied out.")
    falsifiable = quantified or (same and algebra.reads_as_identity(left, right, names))
    if falsifiable:
        found = _counterexample(sign, left, right, names, domains)
        if found:
            return found
    if algebra.proves(sign, left, right, names, domains):
        return Outcome(True, "The difference of the two sides was proved to be as claimed.")
    if not falsifiable:
        raise Unclear("An equation, which holds for some values: nothing says that it is meant for all.")
    raise Unclear("No counterexample was found, and no proof for all values for which both sides are defined.")


def _counterexample(sign: str, left: Term, right: Term, names: list[str], domains: dict[str, str]) -> Outcome | None:
    for values in _points(names, domains):
        try:
            a, b = (_at(side, values) for side in (left, right))
        except Unclear:
            continue
        (al, ah), (bl, bh) = a, b
        if ((al == ah and bl == bh) or ah < bl or bh < al) and not _order(sign, al, bl):
            told = {name: rendering.exact(value) for name, value in values.items()}
            shown = [rendering.exact(x) if x == y else f"{float(x):.10g}..." for x, y in (a, b)]
            given = " and ".join(f"{name} = {value}" for name, value in told.items())
            return Outcome(False, f"With {given}, the left side is {shown[0]} and the right side {shown[1]}.", shown, told)
    return None


def _at(side: Term, values: dict[str, Exact]) -> tuple[Exact, Exact]:
    try:
        value = number(evaluate(side, values))
        return value, value
    except Irrational:
        return bounds.interval(side, values)


_TRIED: tuple[Exact, ...] = (2, 3, -2, 1, 0, -1, 5, Fraction(1, 2), Fraction(-1, 2), 10, -7)


def _points(names: list[str], domains: dict[str, str]) -> Iterator[dict[str, Exact]]:
    allowed = {name: [value for value in _TRIED if _belongs(value, domains.get(name, "real"))] for name in names}
    for n in range(11 if len(names) == 1 else 44):
        yield {name: allowed[name][(n + k * (1 + n // 11)) % len(allowed[name])] for k, name in enumerate(names)}


def _belongs(value: Exact, domain: str) -> bool:
    return ("integer" not in domain or isinstance(value, int)) and ("positive" not in domain or value > 0)
