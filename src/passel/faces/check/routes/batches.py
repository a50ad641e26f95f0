"""Batches of verifications."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import APIRouter, Header, Request
from starlette.datastructures import UploadFile
from starlette.responses import Response

from passel.core.text import leaf_name
from passel.core.verification.findings import FALSE, TRUE, UNCERTAIN
from passel.core.verification.pooling import ACCEPT, ESCALATE, REJECT
from passel.faces.check import files, requests, responses
from passel.faces.check.errors import error, upload_too_large
from passel.faces.kit.context import CallerIn, DepsIn
from passel.faces.kit.json import json_response
from passel.services.verification import batches, uploads
from passel.services.verification.allowance import batch_limits
from passel.services.verification.items import ItemRequest

routes = APIRouter(prefix="/v1/batch", tags=["verification batches"])

_MOST, _MOST_PARTS = 100, 10


_FILE = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {"type": "object", "required": ["file"], "properties": {"file": {"type": "string", "format": "binary"}}}
            }
        },
    }
}
_BODY = {"requestBody": {"required": True, "content": {"application/json": {"schema": {"$ref": "#/components/schemas/BatchFields"}}}}}


@routes.post("", status_code=202, openapi_extra=_BODY)
async def create(
    request: Request, deps: DepsIn, caller: CallerIn, idempotency_key: Annotated[str | None, Header(alias="Idempotency-Key")] = None
) -> Response:
    """Of items in the body, or of an uploaded file. It has failed at once where an item is wrong."""
    body, key = requests.BatchBody(request, deps.limits), requests.request_key(idempotency_key)
    groups = body.groups()
    first = await anext(groups, None)
    file_id = body.file_id() if first is None else None
    if file_id is None:
        made = await batches.create(deps, caller, _with_first(first, groups), body.head, key)
    else:
        made = await batches.create_of_file(deps, caller, file_id, body.head(), key)
    return json_response(responses.created(made), 202, {"Location": f"/v1/batch/{made.id}"})


async def _with_first(
    first: Sequence[ItemRequest] | None, groups: AsyncIterator[Sequence[ItemRequest]]
) -> AsyncIterator[Sequence[ItemRequest]]:
    if first is not None:
        yield first
    async for group in groups:
        yield group


@routes.post("/upload", openapi_extra=_FILE)
async def upload(request: Request, deps: DepsIn, caller: CallerIn) -> Response:
    """A CSV, JSON or JSONL file of claims, for one batch. Records that are wrong are left out and told."""
    async with _uploaded(request) as file:
        if file is None:
            return error(request.scope, 400, "validation_error", 'File is required. Use form field name "file".')
        size, limits = file.size or 0, await batch_limits(deps, caller)
        if size > limits.upload_bytes:
            return error(request.scope, 413, "payload_too_large", upload_too_large(limits.upload_bytes))
        try:
            format = await asyncio.to_thread(files.format_of, file.filename or "", file.content_type, file.file)
            kept = await uploads.keep(
                deps, caller, leaf_name(file.filename or "") or "file", format, files.records(file.file, format, size)
            )
        except uploads.Unusable as unusable:
            return json_response({"error": "File parsing failed", "validationErrors": unusable.problems}, 400)
    return json_response(responses.upload(kept))


@asynccontextmanager
async def _uploaded(request: Request) -> AsyncGenerator[UploadFile | None]:
    """The part named `file`, if there is just one, and it is a file."""
    if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        yield None
        return
    async with request.form(max_files=_MOST_PARTS, max_fields=_MOST_PARTS) as form:
        found = form.getlist("file")
        yield found[0] if len(found) == 1 and isinstance(found[0], UploadFile) else None


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
