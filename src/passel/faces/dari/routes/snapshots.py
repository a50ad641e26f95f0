"""Source snapshots: reserve, upload, finalize, read the manifest."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from passel.core.errors import Forbidden
from passel.faces.dari import responses
from passel.faces.dari.requests import SnapshotRequest
from passel.faces.kit.context import CallerIn, DepsIn, base_url
from passel.faces.kit.json import json_response
from passel.services.agents import publishing

routes = APIRouter(prefix="/v1/source-snapshots", tags=["source snapshots"])


@routes.post("", status_code=201)
async def reserve(request: Request, body: SnapshotRequest, deps: DepsIn, caller: CallerIn) -> Response:
    snapshot = await publishing.reserve_snapshot(deps, caller, body.sha256, body.size_bytes, body.metadata or {})
    token = publishing.upload_token(deps, snapshot)
    url = f"{base_url(request, deps)}/v1/source-snapshots/{snapshot.id}/archive?token={token}"
    return json_response(responses.snapshot_reserved(snapshot, url), 201)


@routes.put("/{snapshot_id}/archive", include_in_schema=False)
async def upload(request: Request, snapshot_id: str, deps: DepsIn, token: str = "") -> Response:
    if not token.isascii():
        raise Forbidden("this upload URL is not valid")
    await publishing.upload_snapshot(deps, snapshot_id, token, request.stream())
    return json_response({})


@routes.post("/{snapshot_id}/finalize")
async def finalize(snapshot_id: str, deps: DepsIn, caller: CallerIn) -> Response:
    return json_response(responses.snapshot_finalized(await publishing.finalize_snapshot(deps, caller, snapshot_id)))


@routes.get("/{snapshot_id}/manifest")
async def manifest(snapshot_id: str, deps: DepsIn, caller: CallerIn) -> Response:
    found = await publishing.read_manifest(deps, caller, snapshot_id)
    body = {"source_snapshot_id": snapshot_id, "manifest": found.to_json(), "system_prompt": found.spec.system_prompt}
    return json_response(body)


@routes.delete("/{snapshot_id}")
async def delete(snapshot_id: str, deps: DepsIn, caller: CallerIn) -> Response:
    await publishing.delete_snapshot(deps, caller, snapshot_id)
    return json_response({"source_snapshot_id": snapshot_id, "deleted": True})
