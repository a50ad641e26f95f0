"""Whether a claim follows from premises: z3 decides, on formulas built from our trees."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from passel.core.verification.findings import FALSE, TRUE, UNCERTAIN
from passel.workloads.verification.formal import deciding
from passel.workloads.verification.formal.limits import TooLarge, Unclear, thorough
from passel.workloads.verification.formal.trees import Cmp, Every, Fn, Formula, Join, Not, Num, Op, Pred, Term, Var, holds_any, variables
from passel.workloads.verification.formal.values import evaluate, number

_MILLISECONDS = 400
_POWER = 20
_USES = 500  # of a context


@dataclass(frozen=True, slots=True)
class Verdict:
    verdict: str
    reasoning: str


def follows(premises: Sequence[Formula], claim: Formula) -> Verdict:
    """All readings have to give the same: `either` with and without both, numbers as real and as whole ones."""
    everything = (*premises, claim)
    found = _decided(premises, claim, exclusive=False, whole=False)
    if any(_has_either(tree) for tree in everything) and _decided(premises, claim, exclusive=True, whole=False) != found:
        raise Unclear("Whether `either ... or` allows both has two readings.")
    if found.verdict == UNCERTAIN and any(holds_any(tree, Var) for tree in everything):
        for exclusive in (False, True):
            if _decided(premises, claim, exclusive=exclusive, whole=True) != found:
                raise Unclear("It depends on whether the numbers are whole ones.")
    return found


def equivalent(one: Formula, other: Formula) -> bool:
    """Proved to be."""
    encoder = _Encoder(exclusive=True, whole=False)
    a, b = encoder.formula(one), encoder.formula(other)
    return encoder.holds([a != b]) is False


def contingent(tree: Formula) -> bool:
    """Neither always true nor always false."""
    encoder = _Encoder(exclusive=True, whole=False)
    body = encoder.formula(tree)
    return bool(encoder.holds([body])) and bool(encoder.holds([encoder.z3.Not(body)]))


def _has_either(tree: Formula) -> bool:
    match tree:
        case Join(sign, a, b):
            return sign == "either" or _has_either(a) or _has_either(b)
        case Not(body) | Every(_, _, body, _):
            return _has_either(body)
        case _:
            return False


def _decided(premises: Sequence[Formula], claim: Formula, *, exclusive: bool, whole: bool) -> Verdict:
    encoder = _Encoder(exclusive=exclusive, whole=whole)
    given = [encoder.formula(premise) for premise in premises]
    said = encoder.formula(claim)
    without = encoder.holds([*given, encoder.z3.Not(said)])
    with_it = encoder.holds([*given, said])
    match with_it, without:
        case False, False:
            return Verdict(UNCERTAIN, "The premises are inconsistent: anything would follow from them.")
        case _, False:
            if encoder.holds(given) is not True:
                raise Unclear("Whether the premises contradict each other was not found out in time.")
            return Verdict(TRUE, "It follows from the premises.")
        case False, _:
            if encoder.holds(given) is not True:
                raise Unclear("Whether the premises contradict each other was not found out in time.")
            return Verdict(FALSE, "The premises exclude it.")
        case True, True:
            return Verdict(UNCERTAIN, "The premises leave it open.")
        case _:
            raise Unclear("Whether it follows was not found out in time.")


class _Contexts:
    """Making one takes longer than most claims, and each only grows."""

    _one: Any = None
    _left = 0

    @classmethod
    def one(cls, z3: Any) -> Any:
        if cls._left == 0:
            cls._one, cls._left = z3.Context(), _USES
        cls._left -= 1
        return cls._one


class _Encoder:
    def __init__(self, *, exclusive: bool, whole: bool) -> None:
        thorough()
        import z3

        self.z3: Any = z3
        self._exclusive, self._whole = exclusive, whole
        self._context: Any = _Contexts.one(z3)
        self._thing: Any = z3.DeclareSort("Thing", self._context)

    def holds(self, formulas: list[Any]) -> bool | None:
        """Whether all of them can be at once, None if that was not found out."""
        solver: Any = self.z3.Solver(ctx=self._context)
        solver.set("timeout", _MILLISECONDS)
        solver.add(*formulas)
        found = solver.check()
        return True if found == self.z3.sat else False if found == self.z3.unsat else None

    def formula(self, tree: Formula, bound: dict[str, Any] | None = None) -> Any:
        z3, bound = self.z3, bound or {}
        match tree:
            case Pred(name, ()):
                return z3.Bool(f"p {name}", self._context)
            case Pred(name, args):
                kinds = [self._thing] * len(args)
                function = z3.Function(f"p {name}/{len(args)}", *kinds, z3.BoolSort(self._context))
                return function(*[self._named(arg, bound) for arg in args])
            case Not(body):
                return z3.Not(self.formula(body, bound))
            case Join(sign, a, b):
                return self._joined(sign, self.formula(a, bound), self.formula(b, bound))
            case Every(var, domain, body, some):
                return self._every(var, domain, body, some, bound)
            case Cmp(sign, left, right) if sign != "~" and (variables(tree) or not bound):
                return self._compared(sign, self.term(left, bound), self.term(right, bound)) if variables(tree) else self._closed(tree)
            case _:
                return self._closed(tree)

    def _named(self, name: str, bound: dict[str, Any]) -> Any:
        return self._of_sort(bound[name], thing=True) if name in bound else self.z3.Const(f"c {name}", self._thing)

    def _of_sort(self, name: Any, *, thing: bool) -> Any:
        if (name.sort() == self._thing) != thing:
            raise Unclear("A variable stands for a number and for a thing.")
        return name

    def _closed(self, tree: Formula) -> Any:
        if variables(tree):
            raise Unclear("It depends on the values of its variables.")
        return self.z3.BoolVal(deciding.closed(tree), self._context)

    def _joined(self, sign: str, a: Any, b: Any) -> Any:
        z3 = self.z3
        match sign:
            case "and" | "chain":
                return z3.And(a, b)
            case "or":
                return z3.Or(a, b)
            case "either":
                return z3.Xor(a, b) if self._exclusive else z3.Or(a, b)
            case "if":
                return z3.Implies(a, b)
            case _:
                return a == b

    def _every(self, var: str, domain: str, body: Formula, some: bool, bound: dict[str, Any]) -> Any:
        z3 = self.z3
        if domain == "thing":
            name: Any = z3.Const(f"b {var} {len(bound)}", self._thing)
            guard = None
        else:
            name = (z3.Int if "integer" in domain else z3.Real)(f"b {var} {len(bound)}", self._context)
            guard = name > 0 if "positive" in domain else None
        inner = self.formula(body, {**bound, var: name})
        if some:
            return z3.Exists([name], inner if guard is None else z3.And(guard, inner))
        return z3.ForAll([name], inner if guard is None else z3.Implies(guard, inner))

    def term(self, tree: Term, bound: dict[str, Any]) -> Any:
        if not variables(tree):
            top = Fraction(number(evaluate(tree)))
            return self.z3.Q(top.numerator, top.denominator, self._context)
        match tree:
            case Var(name):
                if name in bound:
                    return self._of_sort(bound[name], thing=False)
                return (self.z3.Int if self._whole else self.z3.Real)(f"v {name}", self._context)
            case Op("/", a, b) if not variables(b):
                below = number(evaluate(b))
                if below == 0:
                    raise Unclear("Nothing can be divided by zero.")
                return self.term(a, bound) * self.term(Num(Fraction(1) / below), bound)
            case Op("^", a, Num(int(n))) if n >= 1:
                if n > _POWER:
                    raise TooLarge(f"an exponent of more than {_POWER} in logic")
                base = total = self.term(a, bound)
                for _ in range(n - 1):
                    total = total * base
                return total
            case Op(("+" | "-" | "*") as sign, a, b):
                x, y = self.term(a, bound), self.term(b, bound)
                return x + y if sign == "+" else x - y if sign == "-" else x * y
            case Fn("neg", (a,)):
                return -self.term(a, bound)
            case _:
                raise Unclear("That is not read in logic.")

    def _compared(self, sign: str, a: Any, b: Any) -> Any:
        match sign:
            case "=":
                return a == b
            case "!=":
                return a != b
            case "<":
                return a < b
            case "<=":
                return a <= b
            case ">":
                return a > b
            case _:
                return a >= b
