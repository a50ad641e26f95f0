"""Session batches. Bodies are read and written item by item: they may have a million."""

import tempfile
from collections.abc import AsyncIterator
from typing import IO, Annotated, Any, Literal

import orjson
from fastapi import APIRouter, Header, Query, Request
from pydantic import ValidationError
from starlette.responses import Response, StreamingResponse

from passel.core.errors import TooLarge, Unprocessable
from passel.faces.dari import adapter, responses
from passel.faces.dari.requests import BatchFields, BatchItem, RetryRequest, VerifyFields
from passel.faces.dari.routes.bodies import Faults, parse
from passel.faces.kit.context import CallerIn, DepsIn
from passel.faces.kit.item_stream import ItemsInObject, StreamLimits, read_lines
from passel.faces.kit.json import json_response
from passel.faces.kit.paging import After, Limit
from passel.services import batches, growth
from passel.services.agents import verified
from passel.services.agents.planning import AgentPlanner, ItemRequest
from passel.services.agents.sessions import KIND
from passel.services.agents.verified import VERIFY, Verify
from passel.services.batches import Batch, Item, Made
from passel.services.deps import Caller, Deps
from passel.services.growth import Wanted
from passel.services.intake import Intake

routes = APIRouter(prefix="/v1/session-batches", tags=["session batches"])

NDJSON = "application/x-ndjson"
_KEPT_IN_MEMORY = 4 * 1024 * 1024
_LONGEST_LIST = 10_000

_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": {"$ref": "#/components/schemas/BatchRequest"}},
            NDJSON: {"schema": {"type": "string", "description": "One item a line; key, mode and limits are query parameters."}},
        },
    }
}


@routes.post("", status_code=201, openapi_extra=_BODY)
async def create(
    request: Request,
    deps: DepsIn,
    caller: CallerIn,
    idempotency_key: Annotated[str | None, Query(min_length=1, max_length=128)] = None,
    max_concurrency: Annotated[int | None, Query(ge=1, lt=2**31)] = None,
    mode: Literal["create", "complete_missing"] = "create",
    include_sessions: bool | None = None,
    verify: Annotated[str | None, Query(description="What `verify` is in a body, as JSON text.")] = None,
    key_header: Annotated[str | None, Header(alias="Idempotency-Key", min_length=1, max_length=128)] = None,
) -> Response:
    """N sessions of one agent, each with its first message. As JSON, or as a stream of items. With the key of a batch
    that exists and `mode: "complete_missing"`, what never ran or failed runs, and further items are appended. With
    `verify` each answer begins a verification."""
    asked = None if verify is None else parse(VerifyFields, verify.encode(), "verify")
    given = BatchFields(idempotency_key=idempotency_key or key_header, max_concurrency=max_concurrency, mode=mode, verify=asked)
    planner = AgentPlanner(deps, caller)
    with Intake(planner) as intake:
        if _is_ndjson(request):
            with_sessions = bool(include_sessions)
            adapter.to_verify(asked)
            if given.mode == "create" and not deps.strict_idempotency and (made := await _known(deps, caller, given)):
                return await _answer(deps, caller, made, with_sessions)
            await intake.take_all(_items_of_lines(request, deps))
            fields = given
        else:
            with_sessions = include_sessions is not False
            fields = _merge(await _take_json(request, deps, intake), given)
        if fields.mode == "complete_missing":
            return await _complete(deps, caller, planner, intake, fields, with_sessions)
        made = await _known(deps, caller, fields) or await _create(deps, caller, planner, intake, fields)
        if made.replayed:
            batches.require_same(deps, made.batch, intake, fields.max_concurrency, _spec(adapter.to_verify(fields.verify)))
    return await _answer(deps, caller, made, with_sessions)


def _is_ndjson(request: Request) -> bool:
    return request.headers.get("content-type", "").split(";")[0].strip().lower() == NDJSON


async def _known(deps: Deps, caller: Caller, fields: BatchFields) -> Made | None:
    """The batch of a key that is known; then its items are not even looked at."""
    if fields.idempotency_key is None:
        return None
    batch = await batches.find_by_key(deps, caller, KIND, fields.idempotency_key)
    return None if batch is None else Made(batch, replayed=True)


async def _create(deps: Deps, caller: Caller, planner: AgentPlanner, intake: Intake[ItemRequest], fields: BatchFields) -> Made:
    verify = adapter.to_verify(fields.verify)
    if verify is not None:
        planner.follow_up = await verify.follow_up(deps, caller, intake.count)
    return await batches.create(deps, caller, planner, intake, fields.idempotency_key, fields.max_concurrency, _spec(verify))


def _spec(verify: Verify | None) -> dict[str, Any]:
    return {} if verify is None else {VERIFY: verify.to_json()}


async def _items_of_lines(request: Request, deps: Deps) -> AsyncIterator[list[ItemRequest]]:
    limits = StreamLimits(deps.limits.stream_bytes, deps.limits.item_bytes, deps.limits.stream_items)
    index = 0
    async for lines in read_lines(request.stream(), limits):
        yield [_parse_line(index + n, line) for n, line in enumerate(lines)]
        index += len(lines)


def _parse_line(index: int, line: bytes) -> ItemRequest:
    return adapter.to_item(parse(BatchItem, line, f"items[{index}]"))


async def _take_json(request: Request, deps: Deps, intake: Intake[ItemRequest]) -> BatchFields:
    """Take in the items of a JSON body; returns its other fields. Once something is wrong nothing more is taken in,
    and the rest is read for what else is wrong."""
    limits = StreamLimits(deps.limits.batch_body_bytes, deps.limits.item_bytes, deps.limits.json_items)
    reader, faults = ItemsInObject(request.stream(), "items", limits), Faults()
    async for members in reader.groups():
        if reader.count > limits.items:
            raise TooLarge(
                f"items has more than {limits.items} entries, the most of a JSON body: send more as {NDJSON}, one item a line",
                field="items",
            )
        items = _parse_members(reader.count - len(members), members, faults)
        if faults.enough:
            raise faults.error()
        if not faults:
            await intake.take(items)
    fields = _parse_fields(reader, faults)
    if faults or fields is None:
        raise faults.error()
    if intake.count == 0:
        raise Unprocessable("items must hold at least one item", field="items")
    return fields


def _parse_members(first: int, members: list[Any], faults: Faults) -> list[ItemRequest]:
    items: list[ItemRequest] = []
    for index, member in enumerate(members, start=first):
        try:
            items.append(adapter.to_item(BatchItem.model_validate(member)))
        except ValidationError as error:
            faults.add(error, f"items[{index}]")
    return items


def _parse_fields(reader: ItemsInObject, faults: Faults) -> BatchFields | None:
    if not reader.found:
        said = "must be a list" if "items" in reader.fields else "Field required"
        raise Unprocessable(f"items: {said}", field="items")
    try:
        return BatchFields.model_validate(reader.fields)
    except ValidationError as error:
        faults.add(error)
        return None


def _merge(body: BatchFields, given: BatchFields) -> BatchFields:
    """The body's fields before those of the URL and the header."""
    return BatchFields(
        idempotency_key=body.idempotency_key or given.idempotency_key,
        max_concurrency=body.max_concurrency or given.max_concurrency,
        mode=body.mode if body.mode != "create" else given.mode,
        verify=body.verify or given.verify,
    )


async def _complete(
    deps: Deps, caller: Caller, planner: AgentPlanner, intake: Intake[ItemRequest], fields: BatchFields, with_sessions: bool
) -> Response:
    if fields.idempotency_key is None:
        raise Unprocessable("mode complete_missing needs the idempotency_key of the batch", field="idempotency_key")
    known = await _known(deps, caller, fields)
    if known is None:
        return await _answer(deps, caller, await _create(deps, caller, planner, intake, fields), with_sessions)
    asked, verify = adapter.to_verify(fields.verify), Verify.of_batch(known.batch)
    if asked is not None and asked != verify:
        raise Unprocessable("verify is not what the batch was made with: leave it out, or send that", field="verify")
    if verify is not None:
        planner.follow_up = await verify.follow_up(deps, caller, intake.count)
    grown = await growth.complete_missing(deps, caller, planner, known.batch.id, intake)
    listed = {"unchanged": list(grown.unchanged)} if with_sessions or len(grown.unchanged) <= _LONGEST_LIST else {}
    extra = listed | {"unchanged_count": len(grown.unchanged)}
    return await _answer(deps, caller, Made(grown.batch, replayed=False), with_sessions, extra)


async def _answer(deps: Deps, caller: Caller, made: Made, with_sessions: bool, extra: dict[str, Any] | None = None) -> Response:
    headers = {"Idempotency-Replayed": "true"} if made.replayed else {}
    if not with_sessions:
        return json_response(await _described(deps, made.batch) | (extra or {}), 201, headers)
    return await _with_sessions(deps, caller, made.batch.id, 201, headers, extra or {})


async def _described(deps: Deps, batch: Batch) -> dict[str, Any]:
    return responses.batch(batch, await verified.count(deps, batch))


@routes.get("")
async def list_batches(deps: DepsIn, caller: CallerIn, after: After = None, limit: Limit = 100) -> Response:
    """Newest first."""
    found = await batches.list_batches(deps, caller, KIND, after, limit)
    return json_response(responses.listing("session_batches", [responses.batch(batch) for batch in found]))


@routes.get("/{batch_id}")
async def get(batch_id: str, deps: DepsIn, caller: CallerIn, include_sessions: bool = True) -> Response:
    if not include_sessions:
        return json_response(await _described(deps, await batches.get(deps, caller, KIND, batch_id)))
    return await _with_sessions(deps, caller, batch_id, 200, {}, {})


@routes.delete("/{batch_id}")
async def delete(batch_id: str, deps: DepsIn, caller: CallerIn) -> Response:
    """Delete an ended batch with the sessions of all its tries, for good."""
    await batches.delete(deps, caller, KIND, batch_id)
    return json_response({"batch_id": batch_id, "deleted": True})


@routes.post("/{batch_id}/cancel")
async def cancel(batch_id: str, deps: DepsIn, caller: CallerIn) -> Response:
    return json_response(await _described(deps, await batches.cancel(deps, caller, KIND, batch_id)))


@routes.post("/{batch_id}/retry")
async def retry(batch_id: str, deps: DepsIn, caller: CallerIn, body: RetryRequest | None = None) -> Response:
    """Run failed items again. Different filters must all match; cancelled items only when `errors` names them."""
    asked = body or RetryRequest()
    llm_ids = asked.llm_ids

    def accepts(spec: dict[str, Any]) -> bool:
        return llm_ids is None or spec.get("llm_id") in llm_ids

    wanted = Wanted(tuple(asked.errors or ()), asked.metadata or {}, accepts)
    planner, batch = AgentPlanner(deps, caller), await batches.get(deps, caller, KIND, batch_id)
    if (verify := Verify.of_batch(batch)) is not None:
        planner.follow_up = await verify.follow_up(deps, caller, batch.counts.failed)
    done = await growth.retry(deps, caller, planner, batch_id, wanted)
    return json_response(await _described(deps, done.batch) | {"retried": done.retried})


@routes.get("/{batch_id}/items/{index}/tries")
async def list_tries(batch_id: str, index: int, deps: DepsIn, caller: CallerIn) -> Response:
    """Every try of an item, the oldest first, each with its session."""
    if not 0 <= index < 2**31:
        raise Unprocessable("index must be the index of an item", field="index")
    batch = await batches.get(deps, caller, KIND, batch_id)
    found = await growth.list_tries(deps, caller, KIND, batch_id, index)
    return json_response({"index": index, "tries": [responses.result(one, batch) for one in found]})


@routes.get("/{batch_id}/results")
async def results(batch_id: str, deps: DepsIn, caller: CallerIn) -> Response:
    """One line an item, in input order, finished or not."""
    parts = batches.read_results(deps, caller, KIND, batch_id)
    batch = await anext(parts)  # errors of the first step are still answers, not broken streams
    assert isinstance(batch, Batch)
    return StreamingResponse(_lines(parts, batch), media_type=NDJSON)


async def _with_sessions(
    deps: Deps, caller: Caller, batch_id: str, status: int, headers: dict[str, str], extra: dict[str, Any]
) -> Response:
    """The whole answer is put together first, on disk when it is long, and sent at the client's pace then."""
    body = tempfile.SpooledTemporaryFile(max_size=_KEPT_IN_MEMORY)  # noqa: SIM115 - closed when it has been sent
    try:

        def write(batch: Batch, page: list[Item]) -> None:
            body.write(b"," if body.tell() else b"[")
            body.write(b",".join(orjson.dumps(responses.item(item, batch.subject_id)) for item in page))

        batch = await batches.read_items(deps, caller, KIND, batch_id, write)
        if not body.tell():
            body.write(b"[")
        described = await _described(deps, batch)
    except BaseException:
        body.close()
        raise
    return StreamingResponse(_batch_body(described, extra, body), status, headers, media_type="application/json")


async def _batch_body(described: dict[str, Any], extra: dict[str, Any], sessions: IO[bytes]) -> AsyncIterator[bytes]:
    with sessions:
        sessions.seek(0)
        yield orjson.dumps(described | extra)[:-1] + b',"sessions":'
        while chunk := sessions.read(256 * 1024):
            yield chunk
        yield b"]}"


async def _lines(parts: AsyncIterator[Any], batch: Batch) -> AsyncIterator[bytes]:
    async for page in parts:
        yield b"".join(orjson.dumps(responses.result(one, batch)) + b"\n" for one in page)
