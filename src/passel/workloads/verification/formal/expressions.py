"""Tier B: what a sentence means, said by a model as a tree of JSON, and decided here. The tree is data in a small grammar;
`compile` makes our own trees of it and refuses all else.

A translation may be wrong where the machinery is not: so two of them have to `agree`, and three instances, of which the
model said beforehand whether the sentence is right for them, have to come out that way (`instances_hold`)."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, NamedTuple, cast

from passel.core.verification.findings import UNCERTAIN, Finding, abstain
from passel.workloads.verification.formal import deciding
from passel.workloads.verification.formal.checking import concluded, decided
from passel.workloads.verification.formal.entailment import contingent, equivalent
from passel.workloads.verification.formal.limits import DEPTH, NODES, PREMISES, TooLarge, Unclear
from passel.workloads.verification.formal.trees import (
    Cmp,
    Every,
    Fn,
    Formula,
    Join,
    Not,
    Num,
    Op,
    Pred,
    Term,
    Var,
    holds_any,
    put,
    variables,
)

CONFIDENCE = 0.95
INSTANCES = 3
_MOST_INSTANCES, _MOST_VALUES = 10, 20

_NUMBER = r"^-?[0-9]{1,100}(\.[0-9]{1,100}|/[0-9]{1,100})?$"
_NAME = r"^[A-Za-z][A-Za-z0-9_]{0,39}$"
_PREDICATE = r"^[A-Za-z][A-Za-z0-9_ -]{0,59}$"
_OPERATORS = ["+", "-", "*", "/", "^", "mod"]
_COMPARISONS = ["=", "!=", "<", "<=", ">", ">="]
_FUNCTIONS = {"sqrt": 1, "abs": 1, "floor": 1, "ceil": 1, "factorial": 1, "neg": 1, "gcd": 2, "lcm": 2, "max": 2, "min": 2, "choose": 2}
_DOMAINS = {"thing": "thing", "real": "real", "integer": "integer"}


@dataclass(frozen=True, slots=True)
class Formal:
    premises: tuple[Formula, ...]
    claim: Formula


def schema() -> dict[str, Any]:
    """The JSON Schema of what `compile` takes, for a model that answers in a schema."""
    term, formula, name = {"$ref": "#/$defs/term"}, {"$ref": "#/$defs/formula"}, {"type": "string", "pattern": _NAME}
    terms = [
        _object(num={"type": "string", "pattern": _NUMBER}),
        _object(var=name),
        _object(op={"enum": _OPERATORS}, left=term, right=term),
        _object(fn={"enum": list(_FUNCTIONS)}, args={"type": "array", "items": term, "minItems": 1, "maxItems": 2}),
    ]
    several = {"type": "array", "items": formula, "minItems": 2, "maxItems": 20}
    quantified = _object(quantifier={"enum": ["all", "some"]}, var=name, body=formula)
    quantified["properties"]["domain"] = {"enum": list(_DOMAINS)}
    formulas = [
        _object(cmp={"enum": _COMPARISONS}, left=term, right=term),
        _object(pred={"type": "string", "pattern": _PREDICATE}, args={"type": "array", "items": name, "maxItems": 3}),
        _object(**{"not": formula}),
        _object(**{"and": several}),
        _object(**{"or": several}),
        _object(**{"if": formula, "then": formula}),
        _object(iff=several | {"maxItems": 2}),
        quantified,
    ]
    whole = _object(premises={"type": "array", "items": formula, "maxItems": PREMISES}, claim=formula)
    return whole | {"$defs": {"term": {"anyOf": terms}, "formula": {"anyOf": formulas}}}


def _object(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def compile(tree: object) -> Formal:
    """Raises Unclear for what is not in the grammar, or beyond the limits."""
    compiler = _Compiler()
    whole = _fields(tree, {"premises", "claim"})
    premises = whole["premises"]
    if not isinstance(premises, list):
        raise _refused()
    given = cast("list[object]", premises)
    if len(given) > PREMISES:
        raise TooLarge(f"more than {PREMISES} premises")
    return Formal(tuple(compiler.formula(premise, 0) for premise in given), compiler.formula(whole["claim"], 0))


def decide(formal: Formal) -> Finding:
    try:
        if formal.premises:
            return concluded(formal.premises, formal.claim, CONFIDENCE, "B")
        if not holds_any(formal.claim, Pred) and not _free(formal.claim):
            return decided(formal.claim, CONFIDENCE, "B")
        found = concluded((), formal.claim, CONFIDENCE, "B")
        return abstain("It depends on the values of its variables.") if found.verdict == UNCERTAIN else found
    except Unclear as unclear:
        return abstain(unclear.reason)
    except (RecursionError, MemoryError):
        return abstain("Beyond the limits: it takes too much to decide.")


def translated(told: Sequence[object]) -> Finding:
    """What follows from translations of one sentence, each {values, premises, claim, instances}: trees over named quantities,
    the values that these have in the sentence, and other values with whether the sentence would be right. It takes two at
    least that say the same, of each of which the instances come out."""
    try:
        read = [_translation(one) for one in told]
        first = read[0]
        if len(read) < 2 or any(one.values != first.values or not agree(first.formal, one.formal) for one in read[1:]):
            return abstain("Translations of it into formulas do not agree.")
        if not all(instances_hold(one.formal, one.instances) for one in read):
            return abstain("Its translation into a formula fails for other values.")
        numbers: dict[str, Term] = {name: Num(value) for name, value in first.values.items()}
        premises = tuple(_with(premise, numbers) for premise in first.formal.premises)
        return decide(Formal(premises, _with(first.formal.claim, numbers)))
    except Unclear as unclear:
        return abstain(unclear.reason)
    except (RecursionError, MemoryError):
        return abstain("Beyond the limits: it takes too much to decide.")


class _Translation(NamedTuple):
    formal: Formal
    values: dict[str, int | Fraction]
    instances: list[tuple[dict[str, int | Fraction], bool]]


def _translation(told: object) -> _Translation:
    fields = _fields(told, {"values", "premises", "claim", "instances"})
    formal = compile({"premises": fields["premises"], "claim": fields["claim"]})
    instances: list[tuple[dict[str, int | Fraction], bool]] = []
    for one in _list(fields["instances"], INSTANCES, _MOST_INSTANCES):
        instance = _fields(one, {"values", "right"})
        if not isinstance(instance["right"], bool):
            raise _refused()
        instances.append((_values(instance["values"]), instance["right"]))
    return _Translation(formal, _values(fields["values"]), instances)


def _values(told: object) -> dict[str, int | Fraction]:
    if not isinstance(told, dict) or len(cast("dict[object, object]", told)) > _MOST_VALUES:
        raise _refused()
    return {_string(name, _NAME): _number(_string(value, _NUMBER)) for name, value in cast("dict[object, object]", told).items()}


def _number(text: str) -> int | Fraction:
    try:
        value = Fraction(text)
    except ZeroDivisionError:
        raise _refused() from None
    return value.numerator if value.denominator == 1 else value


def agree(one: Formal, other: Formal) -> bool:
    """Whether both were proved to say the same. What is always true, or never, says nothing: it has to be the same tree."""
    try:
        return _same(_all(one.premises), _all(other.premises)) and _same(one.claim, other.claim)
    except Unclear:
        return False


def instances_hold(formal: Formal, instances: Sequence[tuple[Mapping[str, int | Fraction], bool]]) -> bool:
    """Whether premises and claim hold together for just those values for which that was said. It takes three at least, right
    and wrong ones."""
    if len(instances) < INSTANCES or {right for _, right in instances} != {True, False}:
        return False
    trees = (*formal.premises, formal.claim)
    names = {name for tree in trees for name in variables(tree)}
    try:
        for values, right in instances:
            if set(values) != names:
                return False
            numbers: dict[str, Term] = {name: Num(value) for name, value in values.items()}
            if all(deciding.closed(_with(tree, numbers)) for tree in trees) != right:
                return False
    except Unclear:
        return False
    return True


def _all(trees: Sequence[Formula]) -> Formula | None:
    whole: Formula | None = None
    for tree in trees:
        whole = tree if whole is None else Join("and", whole, tree)
    return whole


def _same(one: Formula | None, other: Formula | None) -> bool:
    if one == other:
        return True
    if one is None or other is None:
        return False
    return contingent(one) and contingent(other) and equivalent(one, other)


def _free(tree: Formula) -> set[str]:
    match tree:
        case Every(var, _, body, _):
            return _free(body) - {var}
        case Not(body):
            return _free(body)
        case Join(_, a, b):
            return _free(a) | _free(b)
        case _:
            return set(variables(tree))


def _with(tree: Formula, values: dict[str, Term]) -> Formula:
    match tree:
        case Cmp(sign, a, b):
            return Cmp(sign, put(a, values), put(b, values))
        case Not(body):
            return Not(_with(body, values))
        case Join(sign, a, b):
            return Join(sign, _with(a, values), _with(b, values))
        case _:
            raise Unclear("Only comparisons have instances.")


# ---- from JSON to trees -------------------------------------------------------------------------------------------


def _refused() -> Unclear:
    return Unclear("The tree is not in the grammar.")


def _fields(tree: object, names: set[str], optional: str = "") -> dict[str, object]:
    if not isinstance(tree, dict):
        raise _refused()
    fields = cast("dict[str, object]", tree)
    if set(fields) - {optional} != names:
        raise _refused()
    return fields


def _string(value: object, pattern: str) -> str:
    if not isinstance(value, str) or not re.fullmatch(pattern.strip("^$"), value):
        raise _refused()
    return value


def _one_of(value: object, known: Sequence[str] | Mapping[str, Any]) -> str:
    if not isinstance(value, str) or value not in known:
        raise _refused()
    return value


def _list(value: object, least: int, most: int) -> list[object]:
    if not isinstance(value, list) or not least <= len(cast("list[object]", value)) <= most:
        raise _refused()
    return cast("list[object]", value)


class _Compiler:
    def __init__(self) -> None:
        self._nodes = 0

    def _enter(self, tree: object, depth: int) -> dict[str, object]:
        self._nodes += 1
        if depth > DEPTH:
            raise TooLarge(f"nested more than {DEPTH} deep")
        if self._nodes > NODES:
            raise TooLarge(f"a tree of more than {NODES} nodes")
        if not isinstance(tree, dict):
            raise _refused()
        return cast("dict[str, object]", tree)

    def term(self, tree: object, depth: int) -> Term:
        fields = self._enter(tree, depth)
        if "num" in fields:
            return Num(_number(_string(_fields(tree, {"num"})["num"], _NUMBER)))
        if "var" in fields:
            return Var(_string(_fields(tree, {"var"})["var"], _NAME))
        if "op" in fields:
            fields = _fields(tree, {"op", "left", "right"})
            sign = _one_of(fields["op"], _OPERATORS)
            return Op(sign, self.term(fields["left"], depth + 1), self.term(fields["right"], depth + 1))
        fields = _fields(tree, {"fn", "args"})
        name = _one_of(fields["fn"], _FUNCTIONS)
        args = _list(fields["args"], _FUNCTIONS[name], _FUNCTIONS[name])
        return Fn(name, tuple(self.term(arg, depth + 1) for arg in args))

    def formula(self, tree: object, depth: int) -> Formula:
        fields = self._enter(tree, depth)
        deeper = depth + 1
        if "cmp" in fields:
            fields = _fields(tree, {"cmp", "left", "right"})
            return Cmp(_one_of(fields["cmp"], _COMPARISONS), self.term(fields["left"], deeper), self.term(fields["right"], deeper))
        if "pred" in fields:
            fields = _fields(tree, {"pred", "args"})
            args = tuple(_string(arg, _NAME) for arg in _list(fields["args"], 0, 3))
            return Pred(_string(fields["pred"], _PREDICATE), args)
        if "not" in fields:
            return Not(self.formula(_fields(tree, {"not"})["not"], deeper))
        if "if" in fields:
            fields = _fields(tree, {"if", "then"})
            return Join("if", self.formula(fields["if"], deeper), self.formula(fields["then"], deeper))
        if "quantifier" in fields:
            return self._quantified(_fields(tree, {"quantifier", "var", "body"}, "domain"), deeper)
        for sign, most in (("and", 20), ("or", 20), ("iff", 2)):
            if sign in fields:
                first, *more = _list(_fields(tree, {sign})[sign], 2, most)
                whole = self.formula(first, deeper)
                for one in more:
                    whole = Join(sign, whole, self.formula(one, deeper))
                return whole
        raise _refused()

    def _quantified(self, fields: dict[str, object], depth: int) -> Formula:
        some = _one_of(fields["quantifier"], ["all", "some"]) == "some"
        domain = _DOMAINS[_one_of(fields.get("domain", "thing"), _DOMAINS)]
        return Every(_string(fields["var"], _NAME), domain, self.formula(fields["body"], depth), some)
