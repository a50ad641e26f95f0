"""What a model is asked and what it answers, whoever carries it there."""

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from passel.core.costs import Usage


@dataclass(frozen=True, slots=True)
class Picture:
    media_type: str
    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class AskedTool:
    """A tool that a model asks for: `call_id` is the model's, `arguments` JSON as it wrote them."""

    call_id: str
    name: str
    arguments: str


class Spoken(NamedTuple):
    """What `user` or `assistant` said, texts and pictures in order, with the tools that the assistant asked for; or
    what a `tool` gave for the call `call_id`."""

    role: str
    parts: tuple[str | Picture, ...]
    tools: tuple[AskedTool, ...] = ()
    call_id: str | None = None


class ToolOffer(NamedTuple):
    """A tool that the model may ask for; `parameters` is a JSON Schema."""

    name: str
    description: str
    parameters: dict[str, Any]


class Question(NamedTuple):
    """Where `system` is empty, no system message is sent. `schema` is a JSON Schema that the answer is to have: local models
    are held to it, others have to be told in words."""

    system: str
    conversation: tuple[Spoken, ...]
    tools: tuple[ToolOffer, ...] = ()
    schema: dict[str, Any] | None = None


class Answer(NamedTuple):
    """`text` is empty where there are only tools. `stop_reason` is `stop` where nobody named one."""

    text: str
    stop_reason: str
    usage: Usage
    tools: tuple[AskedTool, ...] = ()
