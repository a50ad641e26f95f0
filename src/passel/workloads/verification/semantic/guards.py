"""What a fact says about a claim that lies near it. Pure, and never sure by nearness alone.

Both are taken apart into terms and quantities, what they share is struck out, and what is left over decides:

    nothing left, same roles            the fact says the claim            AGREES     (negated once: OPPOSES)
    one name or number in another's     another value where there is one   OPPOSES    (guard `name`, `number`)
      place                             only; else                         UNSURE
    a word and its antonym              the opposite                       OPPOSES    (guard `antonym`)
    same names, exchanged               for `than` and `the ... of`        OPPOSES    (guard `roles`)
    hedges, limits, added words         may well be another statement      UNSURE
    more than that                      another statement                  OTHER
"""

from collections.abc import Sequence
from dataclasses import dataclass

from passel.workloads.verification.semantic.quantities import LABEL, Quantity
from passel.workloads.verification.semantic.reading import Reading, Term, in_order, mirrored
from passel.workloads.verification.semantic.words import ANTONYMS, BIRTH, MAKING, ONCE, OTHER_NAME, REFERENCES, SYMMETRIC

AGREES, OPPOSES, UNSURE, OTHER = "agrees", "opposes", "unsure", "other"
NEGATION, NUMBER, NAME, ANTONYM, ROLES, WORDS, QUALIFIER, REFERENCE = (
    "negation", "number", "name", "antonym", "roles", "words", "qualifier", "reference",
)  # fmt: skip

_MOST_ADDED = 1


@dataclass(frozen=True, slots=True)
class Relation:
    """`kind`, and the guard that made it so; None where nothing differs. `by_value`: another value stands in its place, which
    contradicts only as long as no fact says the claim itself."""

    kind: str
    guard: str | None = None
    by_value: bool = False


@dataclass(frozen=True, slots=True)
class _Left:
    """What one side says and the other does not."""

    names: list[Term]
    words: list[Term]
    quantities: list[Quantity]

    def __bool__(self) -> bool:
        return bool(self.names or self.words or self.quantities)


def compare(claim: Reading, fact: Reading) -> Relation:
    of_claim, of_fact = _left_over(claim, fact)
    relation = _without_negation(claim, fact, of_claim, of_fact)
    if claim.negated != fact.negated:
        if len(claim.negated) + len(fact.negated) > 1:  # several, or in other places: nobody knows what they deny
            return Relation(OTHER if relation.kind == OTHER else UNSURE, NEGATION)
        relation = _negated(relation, claim)
    return relation if claim.refused == fact.refused else _negated(relation, claim)


def _negated(relation: Relation, claim: Reading) -> Relation:
    """One of the two denies what it says. Who denies another value than the fact's is right; a denied fact about another value
    says nothing."""
    if relation.kind == AGREES:
        return Relation(OPPOSES, NEGATION)
    if relation.kind == OPPOSES and (not relation.by_value or claim.denies):
        return Relation(AGREES, relation.guard)
    return Relation(UNSURE, NEGATION) if relation.kind == OPPOSES else relation


def _without_negation(claim: Reading, fact: Reading, of_claim: _Left, of_fact: _Left) -> Relation:
    if len(of_claim.names) > 1 or len(of_claim.words) > 2 or len(of_claim.quantities) > 1:
        return Relation(OTHER)
    if _refers_elsewhere(claim, fact):
        return Relation(UNSURE if len(of_claim.words) <= 1 else OTHER, REFERENCE)
    if claim.qualifiers != fact.qualifiers or claim.bounds != fact.bounds or _other_tense(claim, fact):
        return Relation(UNSURE if not of_claim else OTHER, QUALIFIER)
    if not of_claim:
        return _covered(claim, fact, of_fact)
    if not of_claim.words:
        return _exchanged(claim, fact, of_claim, of_fact)
    if of_claim.names or of_claim.quantities:
        return Relation(OTHER)
    return _other_words(claim, fact, of_claim, of_fact)


def _refers_elsewhere(claim: Reading, fact: Reading) -> bool:
    """It, this, they: somebody whom the claim does not name."""
    return bool((claim.words & REFERENCES) - fact.words)


def _other_tense(claim: Reading, fact: Reading) -> bool:
    """Bonn was the capital of Germany, and is not."""
    return any(claim.tenses) and any(fact.tenses) and claim.tenses != fact.tenses


def _covered(claim: Reading, fact: Reading, of_fact: _Left) -> Relation:
    """The fact says all that the claim does, and perhaps more. A superlative without its limits is another statement, and
    so is a rank without its number, or what is put together from here and there in the fact."""
    size = len(claim.terms) + len(claim.quantities)
    left = len(of_fact.names) + len(of_fact.words) + len(of_fact.quantities)
    if size < 2 or left > size:
        return Relation(UNSURE, WORDS)
    if of_fact and (fact.superlative or any(one.kind == "ordinal" for one in of_fact.quantities)):
        return Relation(UNSURE, WORDS)
    if (of_fact.names or of_fact.words) and not _is_part(claim, fact):
        return Relation(UNSURE, WORDS)
    if not _counts_in_order(claim, fact):
        return Relation(UNSURE, NUMBER)
    return _roles(claim, fact)


def _is_part(claim: Reading, fact: Reading) -> bool:
    """Whether the claim's words stand in the fact without a gap, so that none of them belongs to what else it says. Short forms of
    names count as the names."""
    whole = [term.words[-1] for term in fact.terms]
    mine = [term.words[-1] for term in claim.terms]
    return any(whole[at : at + len(mine)] == mine for at in range(len(whole) - len(mine) + 1))


def _counts_in_order(claim: Reading, fact: Reading) -> bool:
    """Whether the claim's quantities come in the fact's order: from 9 to 17 is not from 17 to 9."""
    rest = iter(fact.quantities)
    return all(any(quantity.same(other) for other in rest) for quantity in claim.quantities)


def _roles(claim: Reading, fact: Reading) -> Relation:
    """The same terms; in the same roles?"""
    if SYMMETRIC & claim.words & fact.words:
        return Relation(AGREES)
    before, after = _governors(fact), _governors(claim)
    moved = [name for name in after if name in before and after[name] != before[name]]
    if _is_passive_of_the_other(claim, fact, moved):
        return Relation(AGREES)
    if moved:
        firmly = _changed_places(before, after, moved) and (fact.definite or "than" in before.values())
        return Relation(OPPOSES if firmly else UNSURE, ROLES)
    if in_order(claim, fact) or mirrored(claim, fact):
        return Relation(AGREES)
    known = [after[name] for name in after if name in before]
    apart = len(known) >= 2 and len(set(known)) == len(known)  # each name's role shows, so the order says nothing
    return Relation(AGREES) if apart else Relation(UNSURE, ROLES)


def _governors(reading: Reading) -> dict[str, str]:
    """By the last word of each name, which short forms of it have too."""
    return {term.words[-1]: term.governor for term in reading.names}


def _changed_places(before: dict[str, str], after: dict[str, str], moved: Sequence[str]) -> bool:
    return len(moved) == 2 and after[moved[0]] == before[moved[1]] and after[moved[1]] == before[moved[0]]


def _is_passive_of_the_other(claim: Reading, fact: Reading, moved: Sequence[str]) -> bool:
    """`Fleming discovered penicillin` and `penicillin was discovered by Fleming`: who did it comes first in one, and behind
    `by` in the other."""
    if len(moved) != 1:
        return False
    governors = (_governors(claim)[moved[0]], _governors(fact)[moved[0]])
    if sorted(governors) != ["", "by"]:
        return False
    active, passive = (fact, claim) if governors[0] == "by" else (claim, fact)
    return active.terms[0].words[-1] == moved[0] and passive.terms[0].words[-1] != moved[0] and len(active.terms) == len(passive.terms)


def _exchanged(claim: Reading, fact: Reading, of_claim: _Left, of_fact: _Left) -> Relation:
    """Names or quantities of the claim stand where the fact has others."""
    if of_fact.words or len(of_fact.names) != len(of_claim.names) or len(of_fact.quantities) != len(of_claim.quantities):
        return Relation(UNSURE if len(of_fact.words) <= _MOST_ADDED and not of_fact.names else OTHER, WORDS)
    if of_claim.names and of_claim.quantities:
        return Relation(OTHER)
    if of_claim.quantities:
        return _another_number(fact, of_claim.quantities[0], of_fact.quantities[0])
    return _another_name(claim, fact, of_claim.names[0], of_fact.names[0])


def _another_number(fact: Reading, of_claim: Quantity, of_fact: Quantity) -> Relation:
    if LABEL in (of_claim.kind, of_fact.kind):
        return Relation(OTHER)
    if of_claim.kind != of_fact.kind or of_claim.same(of_fact):
        return Relation(UNSURE, NUMBER)
    once = fact.definite or fact.superlative or bool(ONCE & fact.words)
    return Relation(OPPOSES if of_fact.kind != "year" or once else UNSURE, NUMBER, by_value=True)


def _another_name(claim: Reading, fact: Reading, of_claim: Term, of_fact: Term) -> Relation:
    same_place = of_claim.governor == of_fact.governor
    only_one = _only_one(fact, of_fact)
    return Relation(OPPOSES if same_place and only_one else UNSURE, NAME, by_value=True)


def _only_one(fact: Reading, name: Term) -> bool:
    """Whether nothing but this name can stand in its place: what a definite description describes, a work's maker, the
    place of a birth."""
    if len(fact.terms) + len(fact.quantities) < 3 and not fact.superlative:
        return False
    if name.governor == "":
        first = fact.names[0] == name
        return fact.definite or fact.superlative or (first and "by" not in fact.words and bool(MAKING & fact.words))
    if name.governor == "by":
        return bool(MAKING & fact.words)
    return name.governor in ("in", "at", "on") and bool(BIRTH & fact.words)


def _other_words(claim: Reading, fact: Reading, of_claim: _Left, of_fact: _Left) -> Relation:
    mine, theirs = _flat(of_claim.words), _flat([*of_fact.words, *of_fact.names])
    if len(mine) == 1 and len(theirs) == 1 and not of_fact.quantities:
        if frozenset((mine[0], theirs[0])) in ANTONYMS:
            roles = _roles_beside(claim, fact, mine[0], theirs[0])
            return Relation({AGREES: OPPOSES, OPPOSES: AGREES}.get(roles.kind, UNSURE), ANTONYM)
        return Relation(OTHER)
    added = len(mine) <= _MOST_ADDED and not theirs and not of_fact.quantities
    return Relation(UNSURE if added else OTHER, WORDS)


def _roles_beside(claim: Reading, fact: Reading, mine: str, theirs: str) -> Relation:
    """The roles of everything but an antonym."""
    before, after = _governors(fact), _governors(claim)
    if before == after and list(before) == list(after):
        return Relation(AGREES)
    exchanged = "than" in before.values() and _changed_places(before, after, [name for name in after if name in before])
    return Relation(OPPOSES if exchanged else UNSURE, ROLES)


def _flat(terms: Sequence[Term]) -> list[str]:
    return [word for term in terms for word in term.words]


def _left_over(claim: Reading, fact: Reading) -> tuple[_Left, _Left]:
    """What each says that the other does not; a term counts as often as it stands there."""
    mine, theirs = list(claim.terms), list(fact.terms)
    for term in claim.terms:
        match = next((other for other in theirs if _same(term, other)), None)
        if match is not None:
            mine.remove(term)
            theirs.remove(match)
    mine, theirs = _without_spelled_alike(mine, theirs)
    counted, known = list(claim.quantities), list(fact.quantities)
    for quantity in claim.quantities:
        several = len(fact.quantities) > 1
        match = next((other for other in known if quantity.same(other) and (not several or quantity.behind == other.behind)), None)
        if match is not None:
            counted.remove(quantity)
            known.remove(match)
    return _Left(*_by_kind(mine), counted), _Left(*_by_kind(theirs), known)


def _by_kind(terms: list[Term]) -> tuple[list[Term], list[Term]]:
    return [term for term in terms if term.name], [term for term in terms if not term.name]


def _same(one: Term, other: Term) -> bool:
    if one.words == other.words:
        return True
    if not (one.name and other.name):
        return False
    longer, shorter = (one.words, other.words) if len(one.words) > len(other.words) else (other.words, one.words)
    rest = longer[: -len(shorter)]
    return longer[-len(shorter) :] == shorter and 0 < len(rest) <= 2 and not OTHER_NAME & set(rest)


def _without_spelled_alike(mine: list[Term], theirs: list[Term]) -> tuple[list[Term], list[Term]]:
    """Terms that are the same words, cut into terms in another way: `Lake Superior` and `lake Superior`."""
    left, right = sorted(_flat(mine)), sorted(_flat(theirs))
    if left == right:
        return [], []
    for term in list(mine):
        if len(term.words) > 1 and all(word in _flat(theirs) for word in term.words):
            spent = set(term.words)
            within = [other for other in theirs if set(other.words) <= spent]
            if sorted(_flat(within)) == sorted(term.words):
                mine = [one for one in mine if one is not term]
                theirs = [other for other in theirs if other not in within]
    return mine, theirs
