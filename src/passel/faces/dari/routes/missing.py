"""What the record documents and this server does not do: a sentence instead of a bare 404."""

from typing import Any

from fastapi import APIRouter
from starlette.responses import Response

from passel.faces.kit.json import json_response

_NO_LOGIN = "this server has no login: make an API key with `passel keys create` and set it as DARI_API_KEY"

_NOT_YET: dict[str, tuple[list[str], str]] = {
    "/v1/sessions/{session_id}/workspace.zip": (["GET"], "workspaces"),
    "/v1/sessions/{session_id}/files": (["GET", "POST", "PUT"], "the session files of March 2026, nor the workspaces that followed them"),
    "/v1/organizations/{org_id}/storage-bindings": (["GET", "POST"], "storage bindings"),
    "/v1/organizations/{org_id}/members": (["GET"], "members"),
    "/v1/organizations/{org_id}/invitations": (["POST"], "members"),
    "/v1/organizations/{org_id}": (["DELETE"], "the deletion of organisations"),
}
_LOGIN: dict[str, tuple[list[str], int]] = {
    "/v1/auth/config": (["GET"], 404),  # which tells the vendor's client that there is no login
    "/v1/auth/userinfo": (["GET"], 501),
    "/v1/me/bootstrap": (["POST"], 501),
}


def _build() -> APIRouter:
    router = APIRouter(include_in_schema=False)
    for path, (methods, what) in _NOT_YET.items():
        router.add_api_route(path, _answer(501, f"this server does not serve {what} yet (docs/compatibility/dari.md)"), methods=methods)
    for path, (methods, status) in _LOGIN.items():
        router.add_api_route(path, _answer(status, _NO_LOGIN), methods=methods)
    return router


def _answer(status: int, sentence: str) -> Any:
    async def answer() -> Response:
        return json_response({"detail": sentence}, status)

    return answer


routes = _build()
