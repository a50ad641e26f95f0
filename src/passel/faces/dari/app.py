"""The `dari` face as routes of one FastAPI application."""

from typing import Any

from fastapi import APIRouter, FastAPI
from starlette.responses import Response

from passel.faces.dari.routes import agents, batches, files, organisations, sessions, snapshots
from passel.faces.kit.auth import Authenticator
from passel.faces.kit.json import json_response
from passel.services.deps import Deps

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
    403: "It belongs to another organisation.",
    404: "There is no such thing.",
    409: "Its state does not allow this.",
    413: "Past a limit of this server.",
    422: "A field is wrong; `errors` says which.",
    503: "The database is away; try again.",
}
RESPONSES: dict[int | str, dict[str, Any]] = {
    status: {"description": text, "content": {"application/json": {"schema": ERROR}}} for status, text in _SAID.items()
}

# Documented upstream, not served yet: a clear answer instead of a bare 404.
_NOT_YET = {
    "/v1/sessions/{session_id}/stream": (["GET"], "event streams"),
    "/v1/sessions/{session_id}/workspace.zip": (["GET"], "workspaces"),
    "/v1/agents/{agent_id}/webhook": (["GET", "PUT", "DELETE"], "webhooks"),
    "/v1/agents/{agent_id}/webhook/rotate-secret": (["POST"], "webhooks"),
}


def mount(app: FastAPI, deps: Deps, auth: Authenticator, public_url: str | None) -> None:
    for router in (
        snapshots.router(deps, auth, public_url),
        agents.router(deps, auth, public_url),
        sessions.router(deps, auth),
        batches.router(deps, auth),
        files.router(deps, auth),
        organisations.router(deps, auth),
        _not_yet(),
    ):
        app.include_router(router, responses=RESPONSES)


def _not_yet() -> APIRouter:
    routes = APIRouter()
    for path, (methods, what) in _NOT_YET.items():
        routes.add_api_route(path, _answer_not_yet(what), methods=methods, include_in_schema=False)
    return routes


def _answer_not_yet(what: str) -> Any:
    async def answer() -> Response:
        return json_response({"detail": f"this server does not serve {what} yet (docs/compatibility/dari.md)"}, 501)

    return answer


def streams_its_body(method: str, path: str, content_type: str) -> bool:
    """Routes that count the bytes of their body themselves."""
    if method == "PUT" and path.startswith("/v1/source-snapshots/"):
        return True
    if path == "/v1/files":
        return True
    return path == "/v1/session-batches" and content_type.split(";")[0].strip().lower() == batches.NDJSON
