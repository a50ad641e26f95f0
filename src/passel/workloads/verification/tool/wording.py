"""Texts by their words: whether one is a copy of another. Pure."""

import re
from dataclasses import dataclass
from typing import Self

_WORD = re.compile(r"[^\W_]+(?:['’]t)?")
_ROW = 3  # words
_ALIKE = 0.8  # share of rows of words that two texts have both, from which one is a copy
_FEWEST = 12  # rows; of shorter texts only the same words are a copy
_TURNS = frozenset(["not", "no", "never", "false", "myth"])


def words_of(text: str) -> list[str]:
    return [word.casefold() for word in _WORD.findall(text)]


@dataclass(frozen=True, slots=True)
class Wording:
    """Every few words in a row; and the words that make it another statement, however alike the rest is: numbers and denials."""

    rows: frozenset[str]
    telling: frozenset[str]

    @classmethod
    def of(cls, text: str) -> Self:
        words = words_of(text)
        rows = (" ".join(words[n : n + _ROW]) for n in range(max(1, len(words) - _ROW + 1)))
        telling = (word for word in words if word in _TURNS or word.endswith(("'t", "’t")) or any(ch.isdigit() for ch in word))
        return cls(frozenset(rows), frozenset(telling))

    def copies(self, other: "Wording") -> bool:
        if self.rows == other.rows:
            return True
        if self.telling != other.telling or min(len(self.rows), len(other.rows)) < _FEWEST:
            return False
        return len(self.rows & other.rows) >= _ALIKE * len(self.rows | other.rows)
