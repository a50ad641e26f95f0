"""Batches of browser sessions (2.1 of the `anchor` contract)."""

from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from passel.faces.anchor import rate, requests, responses
from passel.faces.anchor.context import ReachIn
from passel.faces.anchor.ids import batch_id as own_id
from passel.faces.anchor.ids import to_uuid
from passel.faces.anchor.openapi import takes
from passel.faces.kit.context import CallerIn, DepsIn, base_url
from passel.faces.kit.json import json_response
from passel.services.browser import batches

routes = APIRouter(prefix="/v1/batch-sessions", tags=["batch sessions"])

Status = Literal["pending", "processing", "completed", "failed", "cancelled"]


@routes.post("", openapi_extra=takes(requests.BatchFields))
async def create(request: Request, deps: DepsIn, caller: CallerIn) -> Response:
    """Does not wait for browsers."""
    body = await requests.read_body(request)
    count, asked, metadata = requests.batch_request(body, deps.limits.batch_browsers, filters=deps.browser_filters)
    begun = await batches.create(deps, caller, asked, count, metadata)
    return json_response(responses.data(responses.batch_created(begun.batch)), headers=rate.headers(begun.standing))


@routes.get("")
async def list_batches(
    deps: DepsIn,
    caller: CallerIn,
    status: Status | None = None,
    page: Annotated[int, Query(ge=1, le=10**6)] = 1,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    created_after: datetime | None = None,
    created_before: datetime | None = None,
) -> Response:
    """Newest first."""
    after, before = requests.moment(created_after), requests.moment(created_before)
    found, total = await batches.list_batches(deps, caller, status, after, before, limit, (page - 1) * limit)
    body = {"batches": [responses.batch_row(batch) for batch in found], "pagination": responses.pagination(page, limit, total)}
    return json_response(responses.data(body))


@routes.get("/{batch_id}")
async def get(request: Request, batch_id: str, deps: DepsIn, caller: CallerIn, include_sessions: bool = True) -> Response:
    read = await batches.read(deps, caller, own_id(batch_id), items=include_sessions)
    return json_response(responses.data(responses.batch(deps, base_url(request, deps), read)))


@routes.patch("/{batch_id}", openapi_extra=takes(requests.CancelFields))
async def cancel(request: Request, batch_id: str, deps: DepsIn, caller: CallerIn, reach: ReachIn) -> Response:
    requests.parse(requests.CancelFields, await requests.read_body(request))
    batch, ended = await batches.cancel(deps, caller, reach, own_id(batch_id))
    told = {"batch_id": to_uuid(batch.id), "status": batches.CANCELLED, "cancelled_sessions": ended}
    return json_response(responses.data(told | {"message": f"Batch cancelled; {ended} running sessions were ended"}))


@routes.delete("/{batch_id}")
async def delete(batch_id: str, deps: DepsIn, caller: CallerIn) -> Response:
    gone = await batches.delete(deps, caller, own_id(batch_id))
    told = {"batch_id": batch_id, "deleted_sessions": gone, "failed_deletions": 0, "message": f"{gone} sessions were deleted"}
    return json_response(responses.data(told))


@routes.post("/{batch_id}/retry", openapi_extra=takes(requests.RetryFields))
async def retry(request: Request, batch_id: str, deps: DepsIn, caller: CallerIn) -> Response:
    fields: requests.RetryFields = requests.parse(requests.RetryFields, await requests.read_body(request))
    failed_only, starts = fields.retry_failed_only is not False, fields.max_retries or 1
    batch, count = await batches.retry(deps, caller, own_id(batch_id), failed_only=failed_only, starts=starts)
    told = {"batch_id": to_uuid(batch.id), "status": batches.status(batch), "retried_sessions": count}
    return json_response(responses.data(told | {"message": f"{count} failed sessions are tried again"}))
