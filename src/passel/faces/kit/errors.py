"""Errors to answers, as a table. Every error body has one readable string in `detail`."""

import structlog
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from passel.core.errors import FieldError, PasselError, Unavailable
from passel.faces.kit.json import json_response

log = structlog.get_logger()

STATUS_OF_CODE = {
    "invalid": 400,
    "unprocessable": 422,
    "unauthenticated": 401,
    "forbidden": 403,
    "not_found": 404,
    "conflict": 409,
    "too_large": 413,
    "unavailable": 503,
}

_SHOWN_ERRORS = 20


def error_response(error: PasselError) -> Response:
    body: dict[str, object] = {"detail": error.message}
    if error.field is not None:
        body["errors"] = [{"loc": error.field, "msg": error.message}]
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
    return json_response({"detail": error.detail}, error.status_code, dict(error.headers or {}))


async def on_unexpected(request: Request, error: Exception) -> Response:
    log.error("request failed", method=request.method, path=request.url.path, exc_info=error)
    return json_response({"detail": "internal error; the server's log has the details"}, 500)


def validation_response(errors: list[FieldError]) -> Response:
    detail = "; ".join(f"{e.loc}: {e.msg}" if e.loc else e.msg for e in errors[:3])
    if len(errors) > 3:
        detail += f"; and {len(errors) - 3} more"
    listed = [{"loc": e.loc, "msg": e.msg} for e in errors[:_SHOWN_ERRORS]]
    return json_response({"detail": detail, "errors": listed}, 422)


def describe(errors: list[dict[str, object]], prefix: str = "") -> list[FieldError]:
    """Pydantic's errors with their places as a client writes them: `items[3].message.content`."""
    described: list[FieldError] = []
    for error in errors:
        loc = error["loc"]
        parts = [p for p in loc if p not in ("body", "query", "path", "header")] if isinstance(loc, tuple) else []
        described.append(FieldError(prefix + _path(parts), str(error["msg"])))
    return described


def _path(parts: list[object]) -> str:
    path = ""
    for part in parts:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else str(part)
    return path[:200]
