"""Errors as this wire format has them (2.0 of the `anchor` contract): `{"error": {"code", "message"}}`, where the code repeats the
status. A bad key has the message at the top too, since the live service answered so."""

from typing import Any

import structlog
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from passel.core.errors import PasselError
from passel.core.text import clean
from passel.faces.anchor import rate
from passel.faces.kit.json import json_response
from passel.services.browser.rates import TooMany

log = structlog.get_logger()

_STATUS = {
    "invalid": 400,
    "unprocessable": 400,
    "unauthenticated": 401,
    "forbidden": 403,
    "not_found": 404,
    "conflict": 409,
    "too_large": 413,
    "quota_exceeded": 429,
    "rate_limited": 429,
    "unavailable": 503,
    "unreachable": 422,
    "too_slow": 504,
    "no_model": 501,
}
_LONGEST = 2000


def error(status: int, message: str, headers: dict[str, str] | None = None) -> Response:
    message = clean(message)[:_LONGEST]
    body: dict[str, Any] = {"error": {"code": status, "message": message}}
    return json_response(body | ({"message": message} if status == 401 else {}), status, headers)


def headers_of(failed: PasselError) -> dict[str, str]:
    """That say when to come again."""
    if isinstance(failed, TooMany):
        return rate.headers(failed.standing, refused=True)
    return {"Retry-After": "2"} if failed.code == "unavailable" else {}


def status_of(failed: PasselError) -> int:
    return _STATUS.get(failed.code, 400)


def passel_error(scope: Any, failed: PasselError) -> Response:
    return error(status_of(failed), failed.message, headers_of(failed))


async def on_passel_error(request: Request, failed: Exception) -> Response:
    assert isinstance(failed, PasselError)
    return passel_error(request.scope, failed)


async def on_validation_error(request: Request, failed: Exception) -> Response:
    """Of queries and paths: bodies are checked by `passel.faces.anchor.requests`."""
    assert isinstance(failed, RequestValidationError)
    first = failed.errors()[0]
    return error(400, f"{'.'.join(str(part) for part in first['loc'][1:])}: {first['msg']}")


async def on_http_error(request: Request, failed: Exception) -> Response:
    assert isinstance(failed, HTTPException)
    return error(failed.status_code, str(failed.detail))


async def on_unexpected(request: Request, failed: Exception) -> Response:
    log.error("request failed", path=request.url.path, exc_info=failed)
    return error(500, "internal error")
