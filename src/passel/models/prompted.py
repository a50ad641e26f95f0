"""Tools for local models whose chat template has no place for them: told in the system prompt, asked for in JSON.

The server holds the answer to a JSON Schema, so even a small model can only ask for tools that there are, with arguments of
their shape, or answer:

    {"tool_call": {"name": ..., "arguments": {...}}}   or   {"response": "..."}

One tool at a time: small models that may ask for several do not come to an end.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, cast

import orjson

from passel.core.llm.retry import Fault, ModelFailure
from passel.models.questions import Answer, AskedTool, Picture, Question, Spoken, ToolOffer

_HOW = """You answer in JSON, in one of two ways.
To use a tool: {"tool_call": {"name": "...", "arguments": {...}}}
To answer the user: {"response": "..."}

The tools, each with the JSON Schema of its arguments:"""

# what llama.cpp makes a grammar of without conditions (its json_schema_to_grammar)
_PLAIN = frozenset(
    [
        "type",
        "properties",
        "required",
        "items",
        "enum",
        "const",
        "title",
        "description",
        "default",
        "examples",
        "additionalProperties",
        "anyOf",
        "oneOf",
        "minItems",
        "maxItems",
    ]
)


def rewritten(question: Question) -> Question:
    """The same question without tools in its form."""
    offers = (f"- {tool.name}: {tool.description}\n  {orjson.dumps(tool.parameters).decode()}" for tool in question.tools)
    system = "\n".join(part for part in (question.system, _HOW, *offers) if part)
    return Question(system, tuple(_spoken(one) for one in question.conversation))


def _spoken(one: Spoken) -> Spoken:
    if one.role == "tool":
        return Spoken("user", ("The tool gave:", *one.parts, "Now answer the user, in JSON."))
    if one.role != "assistant":
        return one
    if not one.tools:
        return Spoken("assistant", (orjson.dumps({"response": _text(one.parts)}).decode(),))
    asked = ({"tool_call": {"name": tool.name, "arguments": _loads(tool.arguments)}} for tool in one.tools)
    return Spoken("assistant", tuple(orjson.dumps(call).decode() for call in asked))


def response_format(tools: Sequence[ToolOffer]) -> dict[str, Any]:
    """What holds the answer to the two ways."""
    calls = [_record(name={"const": tool.name}, arguments=_parameters(tool)) for tool in tools]
    schema = {"anyOf": [*(_record(tool_call=call) for call in calls), _record(response={"type": "string"})]}
    return held_to(schema)


def held_to(schema: dict[str, Any]) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}


def _record(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def _parameters(tool: ToolOffer) -> dict[str, Any]:
    """Of a schema that says more than a grammar can hold, only that it is an object: its arguments are checked anyway."""
    told = tool.parameters
    return told if told.get("type") == "object" and _is_plain(told) else {"type": "object"}


def _is_plain(schema: Any) -> bool:
    if not isinstance(schema, Mapping):
        return isinstance(schema, bool)
    told = cast(Mapping[str, Any], schema)
    if not _PLAIN.issuperset(told):
        return False
    inner = [*told.get("properties", {}).values(), *told.get("anyOf", ()), *told.get("oneOf", ())]
    inner += [told[name] for name in ("items", "additionalProperties") if name in told]
    return all(_is_plain(one) for one in inner)


def answered(answer: Answer) -> Answer:
    """What the model meant. An answer that was cut off is as much of it as there is. Raises `ModelFailure` for a tool call
    that was."""
    said = _loads(answer.text)
    if isinstance(said, dict):
        told = cast(dict[str, Any], said)
        if isinstance(call := told.get("tool_call"), dict):
            asked = AskedTool("", str(call.get("name")), orjson.dumps(call.get("arguments", {})).decode())
            return answer._replace(text="", stop_reason="tool_calls", tools=(asked,))
        return answer._replace(text=str(told.get("response", "")))
    if answer.text.lstrip("{ \n\r\t").startswith('"tool_call"'):
        raise ModelFailure(Fault.REFUSED, "the answer was cut off in the middle of a tool call: raise max_tokens")
    return answer._replace(text=_begun(answer.text))


def _begun(text: str) -> str:
    """The beginning of `{"response": "...`, without an escape that is not whole."""
    began = re.match(r'\s*\{\s*"response"\s*:\s*"', text)
    if began is None:
        return text
    rest = re.sub(r"\\(u[0-9a-fA-F]{0,3})?$", "", text[began.end() :])
    said = _loads(f'"{rest}"')
    return said if isinstance(said, str) else rest


def _loads(text: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return None


def _text(parts: Sequence[str | Picture]) -> str:
    return "\n\n".join(part for part in parts if isinstance(part, str))
