"""Source snapshots: reserve, upload, finalize, read the manifest."""

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from passel.core.errors import Forbidden
from passel.faces.dari import responses
from passel.faces.dari.requests import SnapshotRequest
from passel.faces.kit.auth import current_caller
from passel.faces.kit.json import json_response
from passel.services import agents
from passel.services.deps import Caller, Deps


def router(deps: Deps, public_url: str | None) -> APIRouter:
    routes = APIRouter(prefix="/v1/source-snapshots", tags=["source snapshots"])
    caller = Depends(current_caller)

    @routes.post("", status_code=201)
    async def reserve(request: Request, body: SnapshotRequest, caller: Caller = caller) -> Response:
        snapshot = await agents.reserve_snapshot(deps, caller, body.sha256, body.size_bytes, body.metadata or {})
        base = (public_url or str(request.base_url)).rstrip("/")
        url = f"{base}/v1/source-snapshots/{snapshot.id}/archive?token={agents.upload_token(deps, snapshot)}"
        return json_response(responses.snapshot_reserved(snapshot, url), 201)

    @routes.put("/{snapshot_id}/archive", include_in_schema=False)
    async def upload(request: Request, snapshot_id: str, token: str = "") -> Response:
        if not token.isascii():
            raise Forbidden("this upload URL is not valid")
        await agents.upload_snapshot(deps, snapshot_id, token, request.stream())
        return json_response({})

    @routes.post("/{snapshot_id}/finalize")
    async def finalize(snapshot_id: str, caller: Caller = caller) -> Response:
        return json_response(responses.snapshot_finalized(await agents.finalize_snapshot(deps, caller, snapshot_id)))

    @routes.get("/{snapshot_id}/manifest")
    async def manifest(snapshot_id: str, caller: Caller = caller) -> Response:
        found = await agents.read_manifest(deps, caller, snapshot_id)
        body = {"source_snapshot_id": snapshot_id, "manifest": found.to_json(), "system_prompt": found.spec.system_prompt}
        return json_response(body)

    @routes.delete("/{snapshot_id}")
    async def delete(snapshot_id: str, caller: Caller = caller) -> Response:
        await agents.delete_snapshot(deps, caller, snapshot_id)
        return json_response({"source_snapshot_id": snapshot_id, "deleted": True})

    return routes
