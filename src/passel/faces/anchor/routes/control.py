"""OS control (2.6 of the `anchor` contract). Errors of these calls are plain: `{"error": "..."}`."""

from collections.abc import Mapping
from typing import Any, Literal

from fastapi import APIRouter, Request
from pydantic import Field
from starlette.responses import Response

from passel.core.errors import Invalid, PasselError
from passel.faces.anchor import requests, responses
from passel.faces.anchor.context import ReachIn
from passel.faces.anchor.errors import status_of
from passel.faces.anchor.ids import session_id as own_id
from passel.faces.anchor.openapi import takes
from passel.faces.anchor.requests import Body, parse
from passel.faces.kit.context import CallerIn, DepsIn
from passel.faces.kit.json import json_response
from passel.services.browser import sessions

routes = APIRouter(prefix="/v1/sessions/{session_id}", tags=["OS control"])

Number = int | float
Button = Literal["left", "middle", "right"]
_LONGEST_TEXT = 100_000
_LONGEST_TYPING = 60  # seconds


class Point(Body):
    x: Number = Field(ge=-100_000, le=100_000)
    y: Number = Field(ge=-100_000, le=100_000)
    button: Button | None = None


class Click(Body):
    x: Number | None = None
    y: Number | None = None
    selector: str | None = Field(None, min_length=1, max_length=10_000)
    button: Button | None = None
    timeout: Number | None = Field(None, ge=0, le=60_000)
    index: int | None = Field(None, ge=0, le=100_000)


class Drag(Body):
    startX: Number
    startY: Number
    endX: Number
    endY: Number
    button: Button | None = None


class Scroll(Body):
    x: Number
    y: Number
    deltaY: Number = Field(ge=-1000, le=1000)
    deltaX: Number | None = Field(None, ge=-1000, le=1000)
    steps: int | None = Field(None, ge=1, le=1000)
    useOs: bool | None = None


class Typed(Body):
    text: str = Field(max_length=_LONGEST_TEXT)
    delay: Number | None = Field(None, ge=0, le=10_000)


class Shortcut(Body):
    keys: list[str] = Field(min_length=1, max_length=10)
    holdTime: Number | None = Field(None, ge=0, le=10_000)


class Text(Body):
    text: str = Field(max_length=_LONGEST_TEXT)


class Url(Body):
    url: str = Field(min_length=1, max_length=2**21)


async def _do(deps: DepsIn, caller: CallerIn, reach: ReachIn, session_id: str, do: str, asked: Mapping[str, Any]) -> Any:
    return await sessions.ask(deps, caller, reach, own_id(session_id), do, asked)


def _plainly(failed: PasselError) -> Response:
    return json_response({"error": failed.message}, status_of(failed))


async def _act(
    request: Request, deps: DepsIn, caller: CallerIn, reach: ReachIn, session_id: str, model: type[Any], do: str, **more: Any
) -> Response:
    """A call whose body is of a model; what is not named has its default in `more`."""
    try:
        fields: Body = parse(model, await requests.read_body(request))
        asked = {name: value for name, value in fields.model_dump().items() if name in model.model_fields and value is not None}
        result = await _do(deps, caller, reach, session_id, do, {**more, **asked})
    except PasselError as failed:
        return _plainly(failed)
    return json_response(result or {"status": "success"})


@routes.get("/screenshot", response_class=Response)
async def screenshot(request: Request, session_id: str, deps: DepsIn, caller: CallerIn, reach: ReachIn) -> Response:
    """The page in front, as a PNG."""
    try:
        return Response(await _do(deps, caller, reach, session_id, "screenshot", {}), media_type="image/png")
    except PasselError as failed:
        return _plainly(failed)


@routes.post("/mouse/click", openapi_extra=takes(Click))
async def click(request: Request, session_id: str, deps: DepsIn, caller: CallerIn, reach: ReachIn) -> Response:
    """At `x` and `y`, or on the element that `selector` finds."""
    try:
        fields: Click = parse(Click, await requests.read_body(request))
        at = fields.x is not None and fields.y is not None
        if at == (fields.selector is not None) or (fields.x is None) != (fields.y is None):
            raise Invalid("give either x and y, or selector")
        where = {"x": fields.x, "y": fields.y} if at else {"selector": fields.selector, "index": fields.index or 0}
        patience = 5000 if fields.timeout is None else fields.timeout
        asked = {**where, "button": fields.button or "left", "clicks": 1, "timeout": patience, "patience": patience / 1000}
        await _do(deps, caller, reach, session_id, "click", asked)
    except PasselError as failed:
        return _plainly(failed)
    return json_response({"status": "success"})


@routes.post("/mouse/doubleClick", openapi_extra=takes(Point))
async def double_click(request: Request, session_id: str, deps: DepsIn, caller: CallerIn, reach: ReachIn) -> Response:
    return await _act(request, deps, caller, reach, session_id, Point, "click", button="left", clicks=2)


@routes.post("/mouse/down", openapi_extra=takes(Point))
async def down(request: Request, session_id: str, deps: DepsIn, caller: CallerIn, reach: ReachIn) -> Response:
    return await _act(request, deps, caller, reach, session_id, Point, "mouse", kind="mousePressed", button="left", clicks=1)


@routes.post("/mouse/up", openapi_extra=takes(Point))
async def up(request: Request, session_id: str, deps: DepsIn, caller: CallerIn, reach: ReachIn) -> Response:
    return await _act(request, deps, caller, reach, session_id, Point, "mouse", kind="mouseReleased", button="left", clicks=1)


@routes.post("/mouse/move", openapi_extra=takes(Point))
async def move(request: Request, session_id: str, deps: DepsIn, caller: CallerIn, reach: ReachIn) -> Response:
    return await _act(request, deps, caller, reach, session_id, Point, "mouse", kind="mouseMoved")


@routes.post("/drag-and-drop", openapi_extra=takes(Drag))
async def drag(request: Request, session_id: str, deps: DepsIn, caller: CallerIn, reach: ReachIn) -> Response:
    return await _act(request, deps, caller, reach, session_id, Drag, "drag", button="left")


@routes.post("/scroll", openapi_extra=takes(Scroll))
async def scroll(request: Request, session_id: str, deps: DepsIn, caller: CallerIn, reach: ReachIn) -> Response:
    """In steps of a wheel; positive is down and right."""
    return await _act(request, deps, caller, reach, session_id, Scroll, "scroll", deltaX=0, steps=1)


@routes.post("/keyboard/type", openapi_extra=takes(Typed))
async def type_text(request: Request, session_id: str, deps: DepsIn, caller: CallerIn, reach: ReachIn) -> Response:
    """Key by key, with so many milliseconds in between; at most a minute in all."""
    try:
        fields: Typed = parse(Typed, await requests.read_body(request))
        delay = fields.delay or 0
        if (takes_seconds := delay * len(fields.text) / 1000) > _LONGEST_TYPING:
            raise Invalid(f"delay: this text would take longer than {_LONGEST_TYPING} s", field="delay")
        asked = {"text": fields.text, "delay": delay, "patience": takes_seconds}
        await _do(deps, caller, reach, session_id, "type", asked)
    except PasselError as failed:
        return _plainly(failed)
    return json_response({"status": "success"})


@routes.post("/keyboard/shortcut", openapi_extra=takes(Shortcut))
async def shortcut(request: Request, session_id: str, deps: DepsIn, caller: CallerIn, reach: ReachIn) -> Response:
    """Keys that are pressed together."""
    return await _act(request, deps, caller, reach, session_id, Shortcut, "shortcut", holdTime=0)


@routes.get("/clipboard")
async def read_clipboard(request: Request, session_id: str, deps: DepsIn, caller: CallerIn, reach: ReachIn) -> Response:
    try:
        return json_response(responses.data(await _do(deps, caller, reach, session_id, "clipboard", {})))
    except PasselError as failed:
        return _plainly(failed)


@routes.post("/clipboard", openapi_extra=takes(Text))
async def write_clipboard(request: Request, session_id: str, deps: DepsIn, caller: CallerIn, reach: ReachIn) -> Response:
    try:
        fields: Text = parse(Text, await requests.read_body(request))
        await _do(deps, caller, reach, session_id, "clipboard", {"text": fields.text})
    except PasselError as failed:
        return _plainly(failed)
    return json_response({"status": "success"})


@routes.post("/copy")
async def copy(request: Request, session_id: str, deps: DepsIn, caller: CallerIn, reach: ReachIn) -> Response:
    """What is selected."""
    try:
        return json_response(await _do(deps, caller, reach, session_id, "copy", {}))
    except PasselError as failed:
        return _plainly(failed)


@routes.post("/paste", openapi_extra=takes(Text))
async def paste(request: Request, session_id: str, deps: DepsIn, caller: CallerIn, reach: ReachIn) -> Response:
    return await _act(request, deps, caller, reach, session_id, Text, "paste")


@routes.post("/goto", openapi_extra=takes(Url))
async def goto(request: Request, session_id: str, deps: DepsIn, caller: CallerIn, reach: ReachIn) -> Response:
    """Of the page in front. Errors but 400 are nested once more, as the record has them."""
    try:
        fields: Url = parse(Url, await requests.read_body(request))
        await _do(deps, caller, reach, session_id, "goto", {"url": fields.url})
    except Invalid:
        raise
    except PasselError as failed:
        status = status_of(failed)
        return json_response({"error": {"error": {"code": status, "message": failed.message}}}, status)
    return json_response({"status": "success"})
