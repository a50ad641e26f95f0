"""What an organisation holds to be true or false: what claims are compared with."""

import datetime
from dataclasses import dataclass

LONGEST_TEXT = 1000
"""In characters. What is longer is no one statement, and its embedding says little."""


@dataclass(frozen=True, slots=True)
class NewFact:
    """`polarity`: whether the text is true. `source` and `date` say where and when that was found."""

    text: str
    polarity: bool = True
    source: str | None = None
    date: datetime.date | None = None


@dataclass(frozen=True, slots=True)
class Fact:
    """`version` is that of the organisation's facts when this one was written."""

    id: str
    text: str
    polarity: bool
    source: str | None
    date: datetime.date | None
    created_at: datetime.datetime
    version: int


@dataclass(frozen=True, slots=True)
class News:
    """What has changed in an organisation's facts since a version. `written` are facts with their embeddings, which replace
    those of the same id. `kept`: the ids of all that there are, where some were taken away."""

    version: int
    written: list[tuple[Fact, bytes]]
    kept: frozenset[str] | None = None
