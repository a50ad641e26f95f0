"""Facts that the method `semantic` compares claims with: an addition to this wire format (D41)."""

from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from passel.faces.check import requests, responses
from passel.faces.check.fact_requests import CsvUpload, is_upload, read_facts
from passel.faces.kit.context import CallerIn, DepsIn, EmbedderIn
from passel.faces.kit.json import json_response
from passel.services.verification import facts

routes = APIRouter(prefix="/v1/facts", tags=["facts"])

_MOST = 100
_ONE: dict[str, Any] = {
    "type": "object",
    "required": ["text"],
    "properties": {
        "text": {"type": "string", "maxLength": 1000},
        "polarity": {"type": "boolean", "default": True},
        "source": {"type": "string"},
        "date": {"type": "string", "format": "date"},
    },
}
_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": {"oneOf": [_ONE, {"type": "array", "items": _ONE, "minItems": 1, "maxItems": 1000}]}},
            "multipart/form-data": {
                "schema": {"type": "object", "required": ["file"], "properties": {"file": {"type": "string", "format": "binary"}}}
            },
        },
    }
}


@routes.post("", status_code=201, openapi_extra=_BODY)
async def load(request: Request, deps: DepsIn, caller: CallerIn, embedder: EmbedderIn) -> Response:
    """One, a list, or a CSV file as the form field `file`. A text that is there already takes over what is said of it now."""
    if is_upload(request.headers.get("content-type", "")):
        upload = await CsvUpload.of(request)
        total = await upload.check()
        created, updated = await facts.load_all(deps, caller, embedder, upload.groups())
        return json_response({"total": total, "created": created, "updated": updated}, 201)
    given, listed = await read_facts(request)
    loaded = await facts.load(deps, caller, embedder, given)
    data = [responses.fact(one) for one in loaded.facts]
    if not listed:
        return json_response(data[0], 201)
    return json_response({"data": data, "total": len(given), "created": loaded.created, "updated": loaded.updated}, 201)


@routes.get("")
async def list_facts(deps: DepsIn, caller: CallerIn, limit: str | None = None, offset: str | None = None) -> Response:
    """Newest first."""
    most, skip = requests.whole(limit, "limit", 20, 1, _MOST), requests.whole(offset, "offset", 0, 0, 10**9)
    found, total = await facts.list_facts(deps, caller, most, skip)
    return json_response(
        {"data": [responses.fact(one) for one in found], "pagination": responses.pagination(total, most, skip, len(found))}
    )


@routes.delete("/{fact_id}")
async def delete(fact_id: str, deps: DepsIn, caller: CallerIn) -> Response:
    await facts.delete(deps, caller, fact_id)
    return json_response({"id": fact_id, "deleted": True})
