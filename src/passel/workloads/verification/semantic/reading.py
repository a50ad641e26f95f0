"""A sentence as the guards see it: what it names, counts and says, in which roles, and whether it denies it."""

import re
from dataclasses import dataclass, replace
from itertools import pairwise

from passel.workloads.verification.formal.dates import MONTHS
from passel.workloads.verification.semantic.quantities import Quantity, as_label, quantity_at
from passel.workloads.verification.semantic.words import (
    APPROXIMATE,
    BOUNDS,
    FORMS,
    FUNCTION,
    NEGATIONS,
    NO_SUPERLATIVE,
    PARTICLES,
    PREPOSITIONS,
    QUALIFIERS,
    SUPERLATIVES,
    VERBS_OF_BEING,
)

_TOKEN = re.compile(
    r"[-−]?\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:st|nd|rd|th)\b|\d+s\b|[-−]?\d+(?:\.\d+)?|°[CF]?|%"
    r"|[^\W\d_]+(?:[-'’][^\W\d_]+)*|[^\w\s]"
)
_DAY = re.compile(r"\b(\d{4})-(\d\d)-(\d\d)\b")
_FRAME = re.compile(r"\s*It(?: is|['’]s) (?P<not>not )?(?P<value>true|false|untrue|incorrect|wrong|correct) that (?=\S)", re.IGNORECASE)
_THE_YEAR = re.compile(r"\bthe year (?=\d{4}\b)")
_ALIKE = {"for": "of"}
_NOT_ONLY = re.compile(r"\bnot only\b", re.IGNORECASE)
_MONTH_NAMES = {n: name.capitalize() for name, n in MONTHS.items()}
# `is the capital of`, `The capital of France is`, `France's capital is`; not `The river Rhine flows through`
_DEFINITE = re.compile(
    r"\b(?:is|was|are|were|became|remains) (?:the|its|their) (?:[a-z-]+ )*?[a-z-]+(?:[ ,]*$|[.,;]| (?:of|in|on|for|to|at|by|with|that|who)\b)"
    r"|^(?:The|Its) (?:[a-z-]+ )+?(?:of|in|on|for|to|at|by) .*\b(?:is|was|are|were)\b"
    r"|'s [a-z].*\b(?:is|was|are|were)\b"
)


@dataclass(frozen=True, slots=True)
class Term:
    """A name, of one word or several, or another word that says something. `governor` is the preposition before it; a
    possessor is governed by `of`. `start`: it begins the sentence, where a capital letter says nothing."""

    words: tuple[str, ...]
    name: bool
    governor: str = ""
    start: bool = False


@dataclass(frozen=True, slots=True)
class Reading:
    """`negated`: the words that a negation stands before. `bounds`: what makes numbers limits (`more than`). `definite`: it describes one thing
    (`the capital of`, `the longest river`), so that another thing in its place would contradict it; `superlative` such that
    it is true within its limits only. `words` are all of its words, in small letters. `before_being`: how many terms stand before
    `is` or `was`; None where there is neither. `refused`: all of this is said to be false."""

    terms: tuple[Term, ...]
    quantities: tuple[Quantity, ...]
    qualifiers: frozenset[str]
    negated: tuple[str, ...]
    bounds: frozenset[str]
    definite: bool
    superlative: bool
    words: frozenset[str]
    before_being: int | None = None
    refused: bool = False

    @property
    def denies(self) -> bool:
        """Whether it says that something is not so; with several negations nobody knows what."""
        return self.refused != (len(self.negated) == 1)

    @property
    def tenses(self) -> tuple[bool, bool]:
        """Whether it says `is`, and whether `was`."""
        return bool({"is", "are"} & self.words), bool({"was", "were"} & self.words)

    @property
    def names(self) -> list[Term]:
        return [term for term in self.terms if term.name]


def read(text: str) -> Reading:
    """Of one sentence, or of what is not told apart from one."""
    frame = _FRAME.match(text)
    if frame is None:
        return _read(text)
    within = read(text[frame.end() :])
    denies = (frame["not"] is not None) != (frame["value"].lower() in NEGATIONS)
    return replace(within, refused=within.refused != denies)


def _read(text: str) -> Reading:
    text = _NOT_ONLY.sub("", _THE_YEAR.sub("", _DAY.sub(_spoken_day, text.replace("’", "'"))))
    tokens = _TOKEN.findall(text)
    small = [token.lower() for token in tokens]
    reader = _Reader(tokens)
    terms, quantities = reader.read()
    words = frozenset(small)
    return Reading(
        tuple(terms),
        tuple(quantities),
        frozenset(words & QUALIFIERS),
        reader.negated,
        frozenset(bound for bound in BOUNDS if quantities and f" {bound} " in f" {' '.join(small)} "),
        _DEFINITE.search(text) is not None,
        any(word in SUPERLATIVES or (word.endswith("est") and len(word) > 4 and word not in NO_SUPERLATIVE) for word in tokens),
        words,
        reader.before_being,
    )


def _spoken_day(found: re.Match[str]) -> str:
    month = _MONTH_NAMES.get(int(found[2]))
    return found[0] if month is None else f"{int(found[3])} {month} {found[1]}"


class _Reader:
    """One pass over the tokens."""

    def __init__(self, tokens: list[str]) -> None:
        self._tokens = tokens
        self._terms: list[Term] = []
        self._quantities: list[Quantity] = []
        self.before_being: int | None = None
        self._negations: dict[str, int] = {}
        self._pending = 0

    @property
    def negated(self) -> tuple[str, ...]:
        """`not false` is none."""
        return tuple(sorted(word for word, count in self._negations.items() if count % 2 == 1))

    def read(self) -> tuple[list[Term], list[Quantity]]:
        at, governor, near = 0, "", False
        while at < len(self._tokens):
            token, small = self._tokens[at], self._tokens[at].lower()
            if (found := quantity_at(self._tokens, at, near)) is not None:
                quantity, end = found
                quantity = as_label(quantity) if self._is_label(at, end) else quantity
                self._quantities.append(replace(quantity, behind=self._terms[-1].words[-1] if self._terms else ""))
                at = end
                near = False
                continue
            near = small in APPROXIMATE or (near and small in FUNCTION)
            if not token[0].isalpha():
                governor = "" if token not in ("-", '"', "“", "”", "'") else governor
                at += 1
            elif self._is_small(at):
                if small in ("is", "was", "are", "were") and self.before_being is None:
                    self.before_being = len(self._terms)
                self._pending += small in NEGATIONS or small.endswith("n't")
                governor = _ALIKE.get(small, small) if small in PREPOSITIONS else governor if small in ("the", "a", "an") else ""
                at += 1
            else:
                at = self._term(at, governor)
                governor = governor if not self._terms[-1].name else ""
                self._negate(self._terms[-1].words[-1])
        self._negate("")
        return self._terms, self._quantities

    def _negate(self, word: str) -> None:
        if self._pending:
            self._negations[word] = self._negations.get(word, 0) + self._pending
            self._pending = 0

    def _is_label(self, at: int, end: int) -> bool:
        """A number behind a word, of which more is said: drill 13 weighs, Apollo 11 landed, X200 lasts."""
        follows = at > 0 and self._tokens[at - 1][0].isalpha() and not self._is_small(at - 1)
        return follows and any(token[0].isalpha() for token in self._tokens[end:])

    def _term(self, at: int, governor: str) -> int:
        end = at + 1
        if self._is_name(at):
            while (more := self._goes_on(end)) > 0:
                end += more
        words = [self._tokens[n] for n in range(at, end)]
        owner = words[-1].lower().endswith("'s") or words[-1].endswith("'")
        name = self._is_name(at)
        self._terms.append(Term(tuple(stem(word) for word in words), name, "of" if owner else governor, at == 0))
        return end

    def _goes_on(self, end: int) -> int:
        """How many tokens at `end` belong to the name before them."""
        if self._tokens[end - 1].lower().endswith("'s") or end >= len(self._tokens):
            return 0
        if self._is_name(end):
            return 1
        return 2 if self._tokens[end] in PARTICLES and end + 1 < len(self._tokens) and self._is_name(end + 1) else 0

    def _is_small(self, at: int) -> bool:
        """A word that says nothing of its own. A short one with a capital letter may be a symbol: Be is an element."""
        token, small = self._tokens[at], self._tokens[at].lower()
        if token[0].isupper() and len(token) <= 2 and (at > 0 or self._before_being(at)) and small not in ("it", "no"):
            return False
        return small in FUNCTION or small in NEGATIONS or small in QUALIFIERS or small.endswith("n't")

    def _before_being(self, at: int) -> bool:
        return at + 1 < len(self._tokens) and self._tokens[at + 1].lower() in VERBS_OF_BEING

    def _is_name(self, at: int) -> bool:
        """Capital letters make names; so they do at the beginning, unless the word is one of ours."""
        return self._tokens[at][0].isupper() and not self._is_small(at)


def stem(word: str) -> str:
    """Small letters, no possessive, no plural."""
    word = word.lower().removesuffix("'s").removesuffix("'")
    word = FORMS.get(word, word)
    if word.endswith("ies") and len(word) > 5:
        return word[:-3] + "y"
    if word.endswith(("ches", "shes", "xes", "sses")):
        return word[:-2]
    return word[:-1] if word.endswith("s") and not word.endswith(("ss", "us", "is")) and len(word) > 3 else word


def in_order(claim: Reading, fact: Reading) -> bool:
    """Whether the claim's words come in the fact's order; words of different governors may change places."""
    order = _roles(fact)
    if _roles(claim) == order:
        return True
    places: dict[str, list[int]] = {}
    for term in claim.terms:
        for word in term.words:
            if (word, term.governor) not in order:
                return False
            places.setdefault(term.governor, []).append(order.index((word, term.governor)))
    return all(before <= after for row in places.values() for before, after in pairwise(row))


def _roles(reading: Reading) -> list[tuple[str, str]]:
    return [(word, term.governor) for term in reading.terms for word in term.words]


def mirrored(claim: Reading, fact: Reading) -> bool:
    """Whether what stands before and behind `is` has changed places, where one side describes the other: `Paris is the capital of
    France` and `the capital of France is Paris`."""
    if claim.before_being is None or fact.before_being is None or not (claim.definite and fact.definite):
        return False
    left, right = _sides(claim, claim.before_being)
    return (right, left) == _sides(fact, fact.before_being)


def _sides(reading: Reading, middle: int) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    sides = [[(word, term.governor) for term in part for word in term.words] for part in (reading.terms[:middle], reading.terms[middle:])]
    return sides[0], sides[1]
