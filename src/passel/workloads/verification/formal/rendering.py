"""Trees and values as text: the normal form in findings."""

from fractions import Fraction

from passel.workloads.verification.formal import dates
from passel.workloads.verification.formal.trees import (
    Between,
    Changes,
    Cmp,
    Const,
    Day,
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
    Pred,
    Shift,
    Solves,
    Term,
    Var,
)  # fmt: skip
from passel.workloads.verification.formal.values import Amount, Dated, Percent, Value

_BINDS = {"+": 1, "-": 1, "*": 2, "/": 2, "mod": 2, "^": 4}


def exact(value: Exact) -> str:
    if isinstance(value, int):
        return str(value) if value.bit_length() < 700 else f"a number of about {value.bit_length() * 0.30103:.0f} digits"
    if value.denominator.bit_length() < 40 and value.numerator.bit_length() < 80:
        scale = next((n for n in range(1, 10) if 10**n % value.denominator == 0), 0)
        if scale:
            digits = str(abs(value.numerator) * 10**scale // value.denominator).rjust(scale + 1, "0")
            return f"{'-' if value < 0 else ''}{digits[:-scale]}.{digits[-scale:]}"
    if max(value.numerator.bit_length(), value.denominator.bit_length()) >= 700:
        return "a fraction of large numbers"
    return f"{value.numerator}/{value.denominator}"


def worth(value: Value) -> str:
    match value:
        case Percent(share):
            return f"{exact(_plain(share * 100))}%"
        case Amount(base, _, None):
            return f"{exact(base)} in base units"
        case Amount(base, _, unit):
            assert unit
            return f"{exact(_plain((Fraction(base) - unit.offset) / unit.factor))} {unit.name}"
        case Dated(ordinal):
            return dates.written(ordinal)
        case _:
            return exact(value)


def _plain(value: Exact) -> Exact:
    return value.numerator if value.denominator == 1 else value


def term(tree: Term, above: int = 0) -> str:
    match tree:
        case Num(value):
            text = exact(value)
            return f"({text})" if above > 2 and ("/" in text or "-" in text) else text
        case Const(name) | Var(name):
            return name
        case Op("*", Fn("percent", (share,)), of):
            return f"{term(share, 4)}% of {term(of, 4)}"
        case Op(sign, left, right):
            binds = _BINDS[sign]
            text = f"{term(left, binds + (sign == '^'))}{sign if sign == '^' else f' {sign} '}{term(right, binds + (sign != '^'))}"
            return f"({text})" if binds < above else text
        case Fn("percent", (share,)):
            return f"{term(share, 4)}%"
        case Fn("neg", (arg,)):
            text = f"-{term(arg, 3)}"
            return f"({text})" if above > 1 else text
        case Fn("factorial", (arg,)):
            return f"{term(arg, 4)}!"
        case Fn(name, args):
            return f"{name}({', '.join(term(arg) for arg in args)})"
        case Measure(amount, unit):
            return f"{term(amount, 4)} {unit.name}"
        case Day(ordinal):
            return dates.written(ordinal)
        case Shift(day, count, unit, sign):
            return f"{term(count)} {unit}(s) {'after' if sign > 0 else 'before'} {term(day)}"


_RELATIONS = {
    "multiple": "{} is a multiple of {}", "factor": "{} is a factor of {}", "coprime": "{} and {} are coprime",
    "congruent": "{} is congruent to {} modulo {}", "remainder": "{} divided by {} is {} remainder {}",
    "days between": "between {} and {} are {} days", "leap": "{} is a leap year", "integer": "{} is an integer",
    "square": "{} is a perfect square", "cube": "{} is a perfect cube",
}  # fmt: skip


def _property(tree: Is) -> str:
    if tree.name == "weekday" and isinstance(tree.args[1], Num):
        return f"{term(tree.args[0])} is a {dates.NAMES[int(tree.args[1].value)]}"
    return _RELATIONS.get(tree.name, f"{{}} is {tree.name}").format(*map(term, tree.args))


def formula(tree: Formula, inside: bool = False) -> str:
    match tree:
        case Cmp(sign, left, right):
            text = f"{term(left)} {'is about' if sign == '~' else sign} {term(right)}"
        case Between(middle, low, high, _):
            return f"{term(middle)} is between {term(low)} and {term(high)}"
        case Is():
            return _property(tree)
        case Solves(equation, var, values, every):
            said = ", ".join(f"{var} = {term(value)}" for value in values)
            return f"{said} {'are all solutions of' if every else 'solves'} {formula(equation)}"
        case Changes(kind, of, var, bounds, result):
            over = f" over {var}" + (f" from {term(bounds[0])} to {term(bounds[1])}" if bounds else "")
            return f"{kind} of {term(of)}{over} = {term(result)}"
        case Pred(name, args):
            return f"{name}({', '.join(args)})" if args else name
        case Not(body):
            return f"not {formula(body, True)}"
        case Join(sign, left, right):
            if sign == "if":
                text = f"if {formula(left, True)} then {formula(right, True)}"
            else:
                word = {"either": "or else", "iff": "if and only if", "chain": "and"}.get(sign, sign)
                text = f"{formula(left, True)} {word} {formula(right, True)}"
        case Every(var, domain, body, some):
            text = f"for {'some' if some else 'all'} {'' if domain == 'thing' else domain + ' '}{var}: {formula(body)}"
    return f"({text})" if inside and not isinstance(tree, Cmp) else text
