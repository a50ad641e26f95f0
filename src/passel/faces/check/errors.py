"""Errors as this wire format has them (section 2.0 of the `check` contract): an object with a code, a message, the fields and
the request's id."""

from typing import Any

import structlog
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from passel.core.errors import PasselError, RevokedKey, TooLarge, Unauthenticated, Unavailable
from passel.core.limits import MIB
from passel.core.text import clean
from passel.faces.kit.json import json_response
from passel.faces.kit.limits import request_id

log = structlog.get_logger()

_STATUS_AND_CODE = {
    "invalid": (400, "bad_request"),
    "unprocessable": (422, "validation_error"),
    "unauthenticated": (401, "unauthorized"),
    "forbidden": (403, "forbidden"),
    "not_found": (404, "not_found"),
    "conflict": (409, "conflict"),
    "too_large": (413, "payload_too_large"),
    "quota_exceeded": (402, "quota_exceeded"),
    "rate_limited": (429, "rate_limited"),
    "unavailable": (503, "service_unavailable"),
}
_NO_KEY = "API key is required. Include it in the Authorization header as 'Bearer vfy_...'"
_INVALID, _REVOKED = "Invalid API key", "API key has been revoked"
_OTHER = {404: "not_found", 405: "bad_request", 413: "payload_too_large"}
_LONGEST = 2000


UPLOAD = "/v1/batch/upload"


def upload_too_large(most: int) -> str:
    return f"File size exceeds maximum of {most // MIB} MB"


def error(scope: Any, status: int, code: str, message: str, details: list[dict[str, str]] | None = None) -> Response:
    body: dict[str, Any] = {"code": code, "message": clean(message)[:_LONGEST]}
    if details:
        body["details"] = details
    headers = {"Retry-After": "2"} if status == 503 else None
    return json_response({"error": body | {"requestId": request_id(scope)}}, status, headers)


def passel_error(scope: Any, failed: PasselError) -> Response:
    status, code = _STATUS_AND_CODE.get(failed.code, (400, "bad_request"))
    message = failed.message
    if isinstance(failed, Unauthenticated):
        message = _REVOKED if isinstance(failed, RevokedKey) else _INVALID if _has_key(scope) else _NO_KEY
    if isinstance(failed, Unavailable):
        message = f"Service is unavailable: {message}"
    if isinstance(failed, TooLarge) and scope["path"] == UPLOAD:
        message = _too_large(message)
    details = [{"field": one.loc, "message": one.msg} for one in failed.errors[:20]]
    return error(scope, status, code, message, details)


def _has_key(scope: Any) -> bool:
    return any(name == b"authorization" for name, _ in scope["headers"])


async def on_passel_error(request: Request, failed: Exception) -> Response:
    assert isinstance(failed, PasselError)
    return passel_error(request.scope, failed)


async def on_http_error(request: Request, failed: Exception) -> Response:
    assert isinstance(failed, HTTPException)
    message = str(failed.detail)
    if failed.status_code == 413 and request.url.path == UPLOAD:
        message = _too_large(message)
    if failed.status_code == 400 and request.url.path == UPLOAD:
        return error(request.scope, 400, "validation_error", message)
    return error(request.scope, failed.status_code, _OTHER.get(failed.status_code, "bad_request"), message)


def _too_large(said: str) -> str:
    """In the words of the record, where the body as a whole was refused: `said` names the bytes that it may have."""
    most = next((int(word) for word in said.split() if word.isdigit()), 0)
    return upload_too_large(most)


async def on_unexpected(request: Request, failed: Exception) -> Response:
    log.error("request failed", method=request.method, path=request.url.path, exc_info=failed)
    return error(request.scope, 500, "internal_error", "An unexpected error occurred")
