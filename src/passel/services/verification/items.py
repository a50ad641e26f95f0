"""Items of batches of claims, as they are asked for, checked one after the other."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import orjson

from passel.core.verification.claims import MOST_CHARACTERS

SHOWN_PROBLEMS = 100
LONGEST_KEY = 255

REQUIRED, TOO_LONG, NO_OBJECT, TWICE = (
    "Content is required",
    "Content exceeds maximum length",
    "Context must be an object",
    "Duplicate idempotencyKey",
)
"""What can be wrong with an item, in the words of the `check` contract (3.3)."""


@dataclass(frozen=True, slots=True)
class ItemRequest:
    """`content` and `context` as the client gave them, which may be anything. `row` is the record's number in the file that it
    is from."""

    content: Any
    context: Any = None
    key: str | None = None
    row: int | None = None

    def problem(self) -> str | None:
        if not isinstance(self.content, str) or not self.content.strip():
            return REQUIRED
        if len(self.content) > MOST_CHARACTERS:
            return TOO_LONG
        if self.context is not None and not isinstance(self.context, dict):
            return NO_OBJECT
        if self.key is not None and len(self.key) > LONGEST_KEY:
            return f"idempotencyKey exceeds maximum length ({LONGEST_KEY} chars)"
        return None

    def pack(self) -> bytes:
        """As one line."""
        return orjson.dumps([self.content, self.context, self.key, self.row], option=orjson.OPT_APPEND_NEWLINE)

    @staticmethod
    def unpack(line: bytes) -> "ItemRequest":
        return ItemRequest(*orjson.loads(line))


@dataclass(slots=True)
class Checks:
    """Goes through items in their order. `problems` are the first hundred, by the numbers of their rows, which count from 1
    (D14); `wrong` is how many there are."""

    problems: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    wrong: int = 0
    _keys: set[str] = field(default_factory=set[str])

    def problem(self, item: ItemRequest) -> str | None:
        """What is wrong with the next item."""
        found = item.problem()
        if found is not None or item.key is None:
            return found  # its key counts for nothing, and a file may have millions of these
        if item.key in self._keys:
            return TWICE
        self._keys.add(item.key)
        return None

    def note(self, row: int, problem: str, **further: Any) -> None:
        self.wrong += 1
        if self.wrong <= SHOWN_PROBLEMS:
            self.problems.append({"row": row, "error": problem, **further})

    def take(self, first_row: int, items: Iterable[ItemRequest]) -> None:
        for row, item in enumerate(items, first_row):
            if (problem := self.problem(item)) is not None:
                self.note(row, problem)
