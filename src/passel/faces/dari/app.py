"""The `dari` face as routes of one FastAPI application."""

from typing import Any

from fastapi import FastAPI

from passel.core.limits import Limits
from passel.faces.dari.requests import BatchRequest, EventsRequest, ToolResultEvent, UserMessageEvent
from passel.faces.dari.routes import agents, batches, files, messages, missing, organisations, sessions, snapshots, streams, webhooks

ERROR = {
    "type": "object",
    "required": ["detail"],
    "properties": {
        "detail": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {"type": "object", "properties": {"loc": {"type": "string"}, "msg": {"type": "string"}}},
        },
    },
}
_SAID = {
    400: "The request breaks a rule.",
    401: "The API key is missing or invalid.",
    403: "It belongs to another organisation, or the key lacks the scope.",
    404: "There is no such thing.",
    409: "Its state does not allow this.",
    413: "Past a limit of this server.",
    422: "A field is wrong; `errors` says which.",
    503: "The database is away; try again.",
}
RESPONSES: dict[int | str, dict[str, Any]] = {
    status: {"description": text, "content": {"application/json": {"schema": ERROR}}} for status, text in _SAID.items()
}


def mount(app: FastAPI) -> None:
    rooms = (snapshots, agents, webhooks, sessions, messages, batches, streams, files, organisations, missing)
    for room in rooms:
        app.include_router(room.routes, responses=RESPONSES)
    app.state.face_routes = [route for room in rooms for route in room.routes.routes]


def is_public(method: str, path: str) -> bool:
    """Routes that need no key: an upload URL carries its own permission."""
    if path == "/v1/auth/config":
        return True
    return method == "PUT" and path.startswith("/v1/source-snapshots/")


def body_limit(method: str, path: str, limits: Limits) -> int | None:
    """The most bytes that a request's body may have; None where the route counts for itself."""
    if method == "PUT" and path.startswith("/v1/source-snapshots/"):
        return None
    if path == "/v1/files":
        return limits.file_bytes + 64 * 1024  # the file, and what multipart puts around it
    if path == "/v1/session-batches":
        return None
    return limits.body_bytes


def complete_openapi(document: dict[str, Any]) -> dict[str, Any]:
    """What FastAPI does not see: bodies that are read by hand, and that every call needs a key."""
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    for model in (BatchRequest, UserMessageEvent, EventsRequest, ToolResultEvent):
        schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas.update(schema.pop("$defs", {}))
        schemas[model.__name__] = schema
    document["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
    for path, methods in document["paths"].items():
        if path.startswith("/v1/"):
            for operation in methods.values():
                operation["security"] = [{"key": []}]
    return document
