"""Session batches. Bodies are read and written by hand here: they may have a million items."""

import hashlib
import tempfile
from collections.abc import AsyncIterator
from typing import IO, Annotated, Any

import orjson
from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import Response, StreamingResponse

from passel.core.errors import TooLarge
from passel.faces.dari import adapter, responses
from passel.faces.dari.requests import BatchItem, BatchRequest
from passel.faces.dari.routes.bodies import parse
from passel.faces.dari.routes.paging import After, Limit
from passel.faces.kit.auth import current_caller
from passel.faces.kit.json import json_response
from passel.services import batches
from passel.services.batches import Batch, Item, ItemRequest
from passel.services.deps import Caller, Deps

NDJSON = "application/x-ndjson"
_KEPT_IN_MEMORY = 4 * 1024 * 1024

_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": {"$ref": "#/components/schemas/BatchRequest"}},
            NDJSON: {"schema": {"type": "string", "description": "One item a line; key and limits are query parameters."}},
        },
    }
}


def router(deps: Deps) -> APIRouter:
    routes = APIRouter(prefix="/v1/session-batches", tags=["session batches"])
    caller = Depends(current_caller)

    @routes.post("", status_code=201, openapi_extra=_BODY)
    async def create(
        request: Request,
        idempotency_key: Annotated[str | None, Query(min_length=1, max_length=128)] = None,
        max_concurrency: Annotated[int | None, Query(ge=1, lt=2**31)] = None,
        include_sessions: bool | None = None,
        caller: Caller = caller,
    ) -> Response:
        """N sessions of one agent, each with its first message. As JSON, or as a stream of items."""
        if request.headers.get("content-type", "").split(";")[0].strip().lower() == NDJSON:
            made = await batches.create_from_lines(deps, caller, request.stream(), parse_line, idempotency_key, max_concurrency)
            with_sessions = bool(include_sessions)
        else:
            raw = await request.body()
            body = parse(BatchRequest, raw)
            if len(body.items) > deps.limits.json_items:
                raise TooLarge(
                    f"items has {len(body.items)} entries; a JSON body may have {deps.limits.json_items}: send more as {NDJSON}, one item a line",
                    field="items",
                )
            items = [adapter.to_item(item) for item in body.items]
            digest = hashlib.sha256(raw).hexdigest()
            key, cap = body.idempotency_key or idempotency_key, body.max_concurrency or max_concurrency
            made = await batches.create(deps, caller, items, digest, key, cap)
            with_sessions = include_sessions is not False
        headers = {"Idempotency-Replayed": "true"} if made.replayed else {}
        if not with_sessions:
            return json_response(responses.batch(made.batch), 201, headers)
        return await _with_sessions(caller, made.batch.id, 201, headers)

    @routes.get("")
    async def list_batches(after: After = None, limit: Limit = 100, caller: Caller = caller) -> Response:
        """Newest first."""
        found = await batches.list_batches(deps, caller, after, limit)
        return json_response(responses.listing("session_batches", [responses.batch(batch) for batch in found]))

    @routes.get("/{batch_id}")
    async def get(batch_id: str, include_sessions: bool = True, caller: Caller = caller) -> Response:
        if not include_sessions:
            return json_response(responses.batch(await batches.get(deps, caller, batch_id)))
        return await _with_sessions(caller, batch_id, 200, {})

    @routes.post("/{batch_id}/cancel")
    async def cancel(batch_id: str, caller: Caller = caller) -> Response:
        return json_response(responses.batch(await batches.cancel(deps, caller, batch_id)))

    @routes.get("/{batch_id}/results")
    async def results(batch_id: str, caller: Caller = caller) -> Response:
        """One line an item, in input order, finished or not."""
        parts = batches.read_results(deps, caller, batch_id)
        batch = await anext(parts)  # errors of the first step are still answers, not broken streams
        assert isinstance(batch, Batch)
        return StreamingResponse(_lines(parts, batch), media_type=NDJSON)

    async def _with_sessions(caller: Caller, batch_id: str, status: int, headers: dict[str, str]) -> Response:
        """The whole answer is put together first, on disk when it is long, and sent at the client's pace then."""
        body = tempfile.SpooledTemporaryFile(max_size=_KEPT_IN_MEMORY)  # noqa: SIM115 - closed when it has been sent
        try:

            def write(batch: Batch, page: list[Item]) -> None:
                body.write(b"," if body.tell() else b"[")
                body.write(b",".join(orjson.dumps(responses.item(item, batch.agent_id)) for item in page))

            batch = await batches.read_items(deps, caller, batch_id, write)
            if not body.tell():
                body.write(b"[")
        except BaseException:
            body.close()
            raise
        return StreamingResponse(_batch_body(batch, body), status, headers, media_type="application/json")

    return routes


def parse_line(index: int, line: bytes) -> ItemRequest:
    return adapter.to_item(parse(BatchItem, line, f"items[{index}]"))


async def _batch_body(batch: Batch, sessions: IO[bytes]) -> AsyncIterator[bytes]:
    with sessions:
        sessions.seek(0)
        yield orjson.dumps(responses.batch(batch))[:-1] + b',"sessions":'
        while chunk := sessions.read(256 * 1024):
            yield chunk
        yield b"]}"


async def _lines(parts: AsyncIterator[Any], batch: Batch) -> AsyncIterator[bytes]:
    async for page in parts:
        yield b"".join(orjson.dumps(responses.result(item, row, batch.agent_id)) + b"\n" for item, row in page)
