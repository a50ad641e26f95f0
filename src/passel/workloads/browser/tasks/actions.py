"""The tools that the model of a web task is offered, and the calls of them read. Pure."""

import json
from collections.abc import Mapping
from typing import Any

from passel.core.schemas import problem
from passel.core.text import clean
from passel.models.questions import AskedTool, ToolOffer

DONE, GIVE_UP = "done", "give_up"

_ELEMENT = {"type": "integer", "minimum": 1, "description": "The number of an element, as the last look at the page has it."}
_TAB = {"type": "integer", "minimum": 1, "description": "The number of a tab."}


def _takes(required: tuple[str, ...] = (), **properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(required), "additionalProperties": False}


def _text(description: str) -> dict[str, Any]:
    return {"type": "string", "description": description}


_ACTIONS: Mapping[str, tuple[str, dict[str, Any]]] = {
    "goto": ("Open an address in this tab.", _takes(("url",), url=_text("With its scheme: https://example.com"))),
    "click": (
        "Click an element.",
        _takes(("element",), element=_ELEMENT, button={"enum": ["left", "right", "middle"]}, double={"type": "boolean"}),
    ),
    "type": (
        "Type into a field. What stands in it is replaced, unless `append`. With `submit`, Enter is pressed after it.",
        _takes(
            ("element", "text"),
            element=_ELEMENT,
            text=_text("What to type; a date is 2026-11-27, a time 13:45."),
            append={"type": "boolean"},
            submit={"type": "boolean"},
        ),
    ),
    "select": ("Choose from a list of choices.", _takes(("element", "choice"), element=_ELEMENT, choice=_text("As the list names it."))),
    "press": ("Press keys together.", _takes(("keys",), keys=_text("One key, or several with + between them: Enter, Escape, Control+A"))),
    "scroll": (
        "Scroll the page, or what an element is in.",
        _takes(
            ("pages",),
            pages={"type": "number", "minimum": -50, "maximum": 50, "description": "How many windows; below 0 is up."},
            element=_ELEMENT,
        ),
    ),
    "wait": ("Wait for a page that is still at work.", _takes(("seconds",), seconds={"type": "number", "minimum": 0, "maximum": 10})),
    "back": ("Go back in this tab's history.", _takes()),
    "read": (
        "Read all text of the page, also what is out of sight, a part of it at a time.",
        _takes(start={"type": "integer", "minimum": 0, "description": "The character to begin with."}),
    ),
    "new_tab": ("Open a new tab, and go on there.", _takes(("url",), url=_text("With its scheme."))),
    "switch_tab": ("Go on in another tab.", _takes(("tab",), tab=_TAB)),
    "close_tab": ("Close a tab.", _takes(("tab",), tab=_TAB)),
    "answer_dialog": (
        "Answer the dialog that the page waits for.",
        _takes(("accept",), accept={"type": "boolean"}, text=_text("What a prompt is answered with.")),
    ),
    GIVE_UP: ("The task cannot be done.", _takes(("reason",), reason=_text("Why, for whoever gave the task."))),
}


def offers(output_schema: dict[str, Any] | None) -> tuple[ToolOffer, ...]:
    """`done` last, with the shape of the result."""
    told = [ToolOffer(name, description, schema) for name, (description, schema) in _ACTIONS.items()]
    return (*told, ToolOffer(DONE, "The task is done. Call it alone, with the whole result.", _done(output_schema)))


def _done(output_schema: dict[str, Any] | None) -> dict[str, Any]:
    """References of a schema lead to its root, so what they lead to stands at the root here too."""
    if output_schema is None:
        return _takes(("result",), result=_text("What was found or done, complete: nobody sees the pages."))
    inner = {name: value for name, value in output_schema.items() if name not in ("$defs", "definitions", "$schema", "$id")}
    outer = {name: output_schema[name] for name in ("$defs", "definitions") if name in output_schema}
    return _takes(("result",), result=inner) | outer


class Misread(Exception):
    """A call cannot be carried out as it is; the message is for the model."""


def arguments(call: AskedTool) -> dict[str, Any]:
    """Checked, but for the result of `done`. Raises `Misread`."""
    try:
        told = json.loads(clean(call.arguments) or "{}", parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise Misread(f"the arguments are not JSON: {error}") from error
    if call.name == DONE:
        if not isinstance(told, dict) or "result" not in told:
            raise Misread("done takes an object with result")
        return told
    if call.name not in _ACTIONS:
        raise Misread(f"there is no tool {clean(call.name)[:100]}; there are {', '.join([*_ACTIONS, DONE])}")
    if (wrong := problem(_ACTIONS[call.name][1], told)) is not None:
        raise Misread(f"the arguments of {call.name} are wrong: {wrong}")
    return told


def result(told: Any, output_schema: dict[str, Any] | None) -> Any:
    """The result in the shape that was asked for, also where the model wrote it as a text. Raises `Misread`."""
    if output_schema is None:
        return told if isinstance(told, str) else json.dumps(told, ensure_ascii=False)
    wrong = problem(output_schema, told)
    if wrong is not None and isinstance(told, str):
        try:
            read = json.loads(told, parse_constant=_refuse)
        except (ValueError, RecursionError):
            read = told
        if problem(output_schema, read) is None:
            return read
    if wrong is not None:
        raise Misread(f"the result is not in the shape that was asked for: {wrong}")
    return told


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")
