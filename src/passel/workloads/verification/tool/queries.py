"""What is searched for. The claim and its negation, in up to three rounds that ask for less and less. Pure."""

import re
from typing import NamedTuple

ROUNDS = 3

_LONGEST = 200
_MOST_WORDS = 24
_WORD = re.compile(r"[^\W_]+(?:[-'’.][^\W_]+)*")
_STOP = frozenset(
    [
        "a",
        "an",
        "the",
        "and",
        "or",
        "of",
        "in",
        "on",
        "at",
        "to",
        "for",
        "from",
        "by",
        "with",
        "as",
        "is",
        "are",
        "was",
        "were",
        "be",
        "been",
        "being",
        "has",
        "have",
        "had",
        "do",
        "does",
        "did",
        "will",
        "would",
        "can",
        "could",
        "that",
        "this",
        "these",
        "those",
        "there",
        "which",
        "who",
        "whom",
        "whose",
        "what",
        "when",
        "where",
        "it",
        "its",
        "he",
        "she",
        "they",
        "his",
        "her",
        "their",
        "them",
        "than",
        "then",
        "so",
        "not",
        "no",
    ]
)


class Query(NamedTuple):
    """As a sentence for engines, and as words for a search that takes words."""

    text: str
    words: tuple[str, ...]


def queries(claim: str, round: int) -> list[Query]:
    """Of a round from 1: the claim and what denies it; their words; what it names and counts."""
    words = _words(claim)
    if round == 1:
        text = " ".join(claim.split())[:_LONGEST]
        return [Query(text, words), Query(f"{text} false", (*words, "false", "myth"))]
    if round == 2:
        return [Query(" ".join(words), words), Query(" ".join((*words, "not")), (*words, "incorrect"))]
    named = tuple(word for word in words if word[:1].isupper() or any(ch.isdigit() for ch in word))
    return [Query(" ".join(named), named)] if named and named != words else []


def _words(claim: str) -> tuple[str, ...]:
    found = dict.fromkeys(word for word in _WORD.findall(claim) if word.lower() not in _STOP)
    return tuple(found)[:_MOST_WORDS]
