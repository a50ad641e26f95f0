"""Texts that claims are held against, in passages: what is searched, and what a search finds."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Protocol

from passel.core.ids import OrgId

LONGEST_TEXT = 5_000_000
LONGEST_TITLE = 500
LONGEST_URL = 2000

_PASSAGE = 800


@dataclass(frozen=True, slots=True)
class Hit:
    """What a search found: a text, and where it is from. A `url` is an address, or `document:ID` for one that has none. Of a hit
    that is not `whole` the text is a part of what lies at the address."""

    url: str
    title: str
    text: str
    date: str | None = None
    whole: bool = True


class Library(Protocol):
    """The documents of organisations."""

    async def search(self, org_id: OrgId, words: Sequence[str], limit: int) -> list[Hit]:
        """Passages with any of the words, the best first."""
        ...


@dataclass(frozen=True, slots=True)
class NewDocument:
    title: str
    text: str
    url: str | None = None
    dated: date | None = None


def in_passages(sentences: Sequence[str]) -> list[str]:
    """Sentences put together to passages of some 800 characters; one that is longer is cut where a word ends."""
    passages: list[str] = []
    for sentence in sentences:
        for part in _parts(sentence):
            if passages and len(passages[-1]) + len(part) < _PASSAGE:
                passages[-1] = f"{passages[-1]} {part}"
            else:
                passages.append(part)
    return passages


def _parts(sentence: str) -> list[str]:
    parts: list[str] = []
    at = 0
    while len(sentence) - at > _PASSAGE:
        cut = sentence.rfind(" ", at + 1, at + _PASSAGE)
        end = at + _PASSAGE if cut < 0 else cut
        parts.append(sentence[at:end])
        at = end
        while at < len(sentence) and sentence[at].isspace():
            at += 1
    return [*parts, sentence[at:]] if at < len(sentence) else parts
