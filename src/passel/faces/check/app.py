"""The `check` face as routes of one FastAPI application."""

from typing import Any

from fastapi import FastAPI
from starlette.types import Scope

from passel.core.limits import MIB, Limits
from passel.faces.check.errors import UPLOAD
from passel.faces.check.escalations import ResolveFields
from passel.faces.check.fact_requests import is_upload
from passel.faces.check.organisation import KeyFields, ProviderKeyFields, SettingsFields
from passel.faces.check.requests import BatchFields, VerifyFields
from passel.faces.check.routes import batches, documents, escalations, facts, keys, provider_keys, settings, status, usage, verify, webhooks
from passel.faces.check.webhooks import ChangeFields, WebhookFields

ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["code", "message", "requestId"],
            "properties": {
                "code": {"type": "string"},
                "message": {"type": "string"},
                "details": {
                    "type": "array",
                    "items": {"type": "object", "properties": {"field": {"type": "string"}, "message": {"type": "string"}}},
                },
                "requestId": {"type": "string"},
            },
        }
    },
}
_SAID = {
    400: "The request is malformed, or its state does not allow this.",
    401: "The API key is missing or invalid.",
    403: "It belongs to another organisation, or the key lacks the scope.",
    404: "There is no such thing.",
    413: "Past a limit of this server.",
    422: "A field is wrong; `details` says which.",
    503: "The database is away; try again.",
}
RESPONSES: dict[int | str, dict[str, Any]] = {
    status: {"description": text, "content": {"application/json": {"schema": ERROR}}} for status, text in _SAID.items()
}

_ROOMS = (verify, batches, documents, escalations, facts, settings, provider_keys, keys, webhooks, usage, status)
_ROOTS = tuple(room.routes.prefix for room in _ROOMS)
_BODIES = (
    VerifyFields,
    BatchFields,
    ResolveFields,
    SettingsFields,
    ProviderKeyFields,
    KeyFields,
    WebhookFields,
    ChangeFields,
    documents.DocumentFields,
)


def mount(app: FastAPI, wait_seconds: float) -> None:
    """`wait_seconds` is how long a synchronous verification is waited for."""
    app.state.verification_wait = wait_seconds
    for room in _ROOMS:
        app.include_router(room.routes, responses=RESPONSES)
    app.state.face_routes += [route for room in _ROOMS for route in room.routes.routes]


def owns(path: str) -> bool:
    """Whether a path belongs to this face, whose errors it then has."""
    return any(path == root or path.startswith(f"{root}/") for root in _ROOTS)


def complete_openapi(document: dict[str, Any]) -> None:
    """The bodies, which are read by hand."""
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    for model in _BODIES:
        schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas.update(schema.pop("$defs", {}))
        schemas[model.__name__] = schema


def is_public(path: str) -> bool:
    return path == status.routes.prefix


def body_limit(scope: Scope, limits: Limits) -> int:
    path = scope["path"]
    if path == UPLOAD:
        return limits.upload_bytes + MIB // 2  # what multipart adds
    if path == documents.routes.prefix:
        return documents.LARGEST_BODY
    if path == facts.routes.prefix:
        is_file = is_upload(dict(scope["headers"]).get(b"content-type", b"").decode("latin-1"))
        return limits.upload_bytes + MIB // 2 if is_file else limits.body_bytes
    return limits.batch_body_bytes if path == "/v1/batch" else MIB
