"""Batches of verifications."""

import asyncio

from fastapi import APIRouter, Request
from starlette.responses import Response

from passel.core.verification.findings import FALSE, TRUE, UNCERTAIN
from passel.core.verification.pooling import ACCEPT, ESCALATE, REJECT
from passel.faces.check import requests, responses
from passel.faces.check.errors import error
from passel.faces.kit.context import CallerIn, DepsIn
from passel.faces.kit.json import json_response
from passel.services.verification import batches

routes = APIRouter(prefix="/v1/batch", tags=["verification batches"])

_MOST = 100


_BODY = {"requestBody": {"required": True, "content": {"application/json": {"schema": {"$ref": "#/components/schemas/BatchFields"}}}}}


@routes.post("", status_code=202, openapi_extra=_BODY)
async def create(request: Request, deps: DepsIn, caller: CallerIn) -> Response:
    body = await requests.read_body(request)
    made = await batches.create(deps, caller, await asyncio.to_thread(requests.batch_request, body))
    return json_response(responses.created(made), 202, {"Location": f"/v1/batch/{made.id}"})


@routes.get("")
async def list_batches(
    deps: DepsIn, caller: CallerIn, limit: str | None = None, offset: str | None = None, status: str | None = None
) -> Response:
    """Newest first."""
    most, skip = requests.whole(limit, "limit", 10, 1, _MOST), requests.whole(offset, "offset", 0, 0, 10**9)
    statuses = requests.comma_list(status, responses.BATCH_STATUSES, "status")
    found, total = await batches.list_batches(deps, caller, statuses, most, skip)
    page = responses.pagination(total, most, skip, len(found))
    return json_response({"data": [responses.summary(one) for one in found], "pagination": page})


@routes.get("/{batch_id}")
async def get(batch_id: str, deps: DepsIn, caller: CallerIn) -> Response:
    return json_response(responses.batch(await batches.get(deps, caller, batch_id)))


@routes.get("/{batch_id}/results")
async def results(
    batch_id: str,
    deps: DepsIn,
    caller: CallerIn,
    limit: str | None = None,
    offset: str | None = None,
    status: str | None = None,
    verdict: str | None = None,
    decision: str | None = None,
) -> Response:
    """In input order, in any state of the batch."""
    most, skip = requests.whole(limit, "limit", 20, 1, _MOST), requests.whole(offset, "offset", 0, 0, 10**9)
    batch, items, total = await batches.results(
        deps,
        caller,
        batch_id,
        statuses=requests.comma_list(status, responses.ITEM_STATUSES, "status"),
        verdicts=requests.comma_list(verdict, (TRUE, FALSE, UNCERTAIN), "verdict"),
        decisions=requests.comma_list(decision, (ACCEPT, ESCALATE, REJECT), "decision"),
        limit=most,
        offset=skip,
    )
    return json_response(responses.results(batch, items, responses.pagination(total, most, skip, len(items))))


@routes.post("/{batch_id}/cancel")
async def cancel(request: Request, batch_id: str, deps: DepsIn, caller: CallerIn) -> Response:
    ended = await batches.cancel(deps, caller, batch_id)
    if ended is None:
        return error(request.scope, 400, "CANNOT_CANCEL", "Cannot cancel batch. Batch not found or already completed/cancelled.")
    return json_response({"id": ended.id, "status": "cancelled", "message": "Batch cancelled successfully"})
