"""Errors to answers, as a table. Every error body has one readable string in `detail`."""

from collections.abc import Callable

import structlog
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match, Route
from starlette.types import Scope

from passel.core.errors import FieldError, PasselError, Unavailable
from passel.core.text import clean
from passel.faces.kit.json import json_response

log = structlog.get_logger()

Refuse = Callable[[Scope, PasselError], Response]
"""How a request is refused before it reaches its route: in the form of the face that the path belongs to."""

STATUS_OF_CODE = {
    "invalid": 400,
    "unprocessable": 422,
    "unauthenticated": 401,
    "forbidden": 403,
    "not_found": 404,
    "conflict": 409,
    "too_large": 413,
    "quota_exceeded": 402,
    "rate_limited": 429,
    "unavailable": 503,
}

SHOWN_ERRORS = 20
_LONGEST_DETAIL, _LONGEST_MESSAGE, _LONGEST_PLACE = 2000, 300, 200
_SOURCES = ("body", "query", "path", "header")
_BLOCKS = ("text", "file", "image")


def error_response(error: PasselError) -> Response:
    detail = clean(error.message)[:_LONGEST_DETAIL]
    body: dict[str, object] = {"detail": detail}
    if error.errors:
        body["errors"] = [_listed(one) for one in error.errors[:SHOWN_ERRORS]]
    headers = {"Retry-After": "2"} if isinstance(error, Unavailable) else None
    return json_response(body, STATUS_OF_CODE.get(error.code, 400), headers)


async def on_passel_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, PasselError)
    return error_response(error)


async def on_validation_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return validation_response(describe(list(error.errors())))


async def on_http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == 400 and "parsing the body" in str(error.detail):
        # FastAPI says no more of bodies that are no UTF-8, nested too deep or cut in the middle
        return json_response({"detail": "the body cannot be read: it must be JSON in UTF-8, or multipart/form-data for files"}, 422)
    headers = dict(error.headers or {})
    if error.status_code == 405:
        headers["Allow"] = ", ".join(_methods_of(request))
    return json_response({"detail": clean(str(error.detail))[:_LONGEST_DETAIL]}, error.status_code, headers)


def _methods_of(request: Request) -> list[str]:
    """All methods of a path; the router itself tells those of the first route only. The routes of a face are in the
    application's state, since FastAPI hides those of included routers."""
    methods: set[str] = set()
    for route in (*request.app.routes, *request.app.state.face_routes):
        if isinstance(route, Route) and route.matches(request.scope)[0] is not Match.NONE:
            methods |= route.methods or set()
    return sorted(methods)


async def on_disconnect(request: Request, error: Exception) -> Response:
    """The client hung up in the middle of its body: nobody reads this answer."""
    return json_response({"detail": "the body ended before it was complete"}, 400)


async def on_unexpected(request: Request, error: Exception) -> Response:
    log.error("request failed", method=request.method, path=request.url.path, exc_info=error)
    return json_response({"detail": "internal error; the server's log has the details"}, 500)


def sentence(errors: list[FieldError]) -> str:
    """The first errors in words, and how many more there are."""
    said = "; ".join(f"{e.loc}: {e.msg}" if e.loc else e.msg for e in errors[:3])
    return f"{said}; and {len(errors) - 3} more" if len(errors) > 3 else said


def validation_response(errors: list[FieldError]) -> Response:
    detail = sentence(errors)
    detail = detail[:_LONGEST_DETAIL]
    return json_response({"detail": detail, "errors": [_listed(e) for e in errors[:SHOWN_ERRORS]]}, 422)


def _listed(error: FieldError) -> dict[str, str]:
    return {"loc": clean(error.loc)[:_LONGEST_PLACE] or "body", "msg": clean(error.msg)[:_LONGEST_MESSAGE]}


def describe(errors: list[dict[str, object]]) -> list[FieldError]:
    """Pydantic's errors with their places as a client writes them: `items[3].message.content`."""
    return [_describe(error) for error in errors]


def _describe(error: dict[str, object]) -> FieldError:
    loc = error["loc"]
    parts = list(loc) if isinstance(loc, tuple) else []
    if parts and parts[0] in _SOURCES:
        parts = parts[1:]
    msg = clean(str(error["msg"])).removeprefix("Value error, ")[:_LONGEST_MESSAGE]
    if error["type"] == "json_invalid":
        return FieldError("", f"the body is not valid JSON: {msg}")
    if error["type"] == "missing" and not parts:
        return FieldError("", "a JSON body is required")
    if not parts and error["type"] in ("model_attributes_type", "model_type", "dict_type"):
        return FieldError("", "the body must be a JSON object, sent with Content-Type: application/json")
    if error["type"] == "extra_forbidden":
        msg = "is not a field here"
    if parts[-1:] == ["[key]"]:  # how pydantic says that the key and not the value is wrong
        return FieldError(_path(parts[:-2]), f"the key {str(parts[-2])[:80]!r}: {msg}")
    if "UploadFile" in msg:
        msg = "must be a file part of multipart/form-data"
    return FieldError(_path(parts), msg)


def _path(parts: list[object]) -> str:
    path, after_index = "", False
    for part in parts:
        if isinstance(part, int):
            path, after_index = f"{path}[{part}]", True
        elif after_index and part in _BLOCKS:
            after_index = False  # the step into one kind of block is none that a client wrote
        else:
            path, after_index = f"{path}.{part}" if path else str(part), False
    return clean(path)[:_LONGEST_PLACE]
