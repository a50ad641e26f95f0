"""Whether a sentence that was found asserts what it says. A fact does by its kind; sentences at large also ask, report, doubt,
remember and tell of myths. Pure, and in doubt it is no assertion."""

import re
from typing import NamedTuple

_MYTH = re.compile(
    r"^(?:it(?:'s|’s| is) )?(?:an? |the )?(?:\w+ )?(?:myth|misconception|fallacy|hoax|falsehood|lie) that (?P<told>.+)$", re.IGNORECASE
)
_RETRACTS = re.compile(
    r"^(?:(?:but|however|yet),? )?(?:(?:no|wrong|false|untrue|incorrect)\b(?=\W)"
    r"|(?:this|that|it)(?:'s|’s| is| was) (?:not(?: true| so| the case)?|false|wrong|untrue|incorrect|an? (?:\w+ )?(?:myth|misconception|hoax|lie))\W*$"
    r"|(?:this|that|it) (?:is|was)n['’]t(?: true| so| the case)?\W*$)",
    re.IGNORECASE,
)
_WORD = re.compile(r"[^\W\d_]+")
_DISTANT = frozenset(
    [
        "myth",
        "misconception",
        "fallacy",
        "hoax",
        "falsehood",
        "lie",
        "rumour",
        "rumor",
        "rumours",
        "rumors",
        "allegedly",
        "reportedly",
        "supposedly",
        "purportedly",
        "apparently",
        "perhaps",
        "maybe",
        "possibly",
        "probably",
        "according",
        "said",
        "says",
        "say",
        "saying",
        "told",
        "tells",
        "wrote",
        "writes",
        "written",
        "claim",
        "claims",
        "claimed",
        "claiming",
        "believe",
        "believes",
        "believed",
        "believing",
        "think",
        "thinks",
        "thought",
        "suggest",
        "suggests",
        "suggested",
        "argue",
        "argues",
        "argued",
        "assume",
        "assumes",
        "assumed",
        "suppose",
        "supposed",
        "imagine",
        "imagined",
        "pretend",
        "pretended",
        "if",
        "whether",
        "unless",
        "would",
        "could",
        "might",
        "should",
        "proposed",
        "planned",
        "expected",
        "mistakenly",
        "wrongly",
        "falsely",
        "formerly",
        "former",
        "previously",
        "once",
        "until",
    ]
)
_NOW, _THEN = frozenset(["is", "are", "has", "have"]), frozenset(["was", "were", "had"])


class Assertion(NamedTuple):
    """What a sentence asserts, or asserts to be untrue."""

    text: str
    denied: bool = False


def assertion(claim: str, sentence: str, following: str = "") -> Assertion | None:
    """None for a sentence that does not assert what it says, or at another time than the claim. Words of distance that the claim
    has too are its own."""
    if sentence.rstrip("\"'”’) ").endswith("?") or _RETRACTS.match(following):
        return None
    myth = _MYTH.match(sentence)
    told = myth["told"] if myth else sentence
    mine, theirs = _words(claim), _words(told)
    if (theirs - mine) & _DISTANT or _at_another_time(mine, theirs):
        return None
    return Assertion(told, denied=myth is not None)


def _words(text: str) -> frozenset[str]:
    return frozenset(word.casefold() for word in _WORD.findall(text))


def _at_another_time(mine: frozenset[str], theirs: frozenset[str]) -> bool:
    """One speaks of now alone and the other of then alone."""
    return any(mine & one and not mine & other and theirs & other and not theirs & one for one, other in ((_NOW, _THEN), (_THEN, _NOW)))
