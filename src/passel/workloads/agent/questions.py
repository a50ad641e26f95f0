"""What a model is asked and what it answers, whoever carries it there."""

from dataclasses import dataclass, field

from passel.core.costs import Usage


@dataclass(frozen=True, slots=True)
class Picture:
    media_type: str
    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Spoken:
    """What `user` or `assistant` said: texts and pictures in order."""

    role: str
    parts: tuple[str | Picture, ...]


@dataclass(frozen=True, slots=True)
class Question:
    system: str
    conversation: tuple[Spoken, ...]


@dataclass(frozen=True, slots=True)
class Answer:
    text: str
    stop_reason: str
    usage: Usage
