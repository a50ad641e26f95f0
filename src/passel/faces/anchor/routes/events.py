"""Event coordination and billing (2.10 of the `anchor` contract)."""

from typing import Any

from fastapi import APIRouter, Request
from pydantic import Field
from starlette.responses import Response

from passel.core.errors import Invalid
from passel.core.text import require_storable
from passel.faces.anchor import requests, responses
from passel.faces.anchor.errors import error
from passel.faces.anchor.openapi import takes
from passel.faces.anchor.requests import Body
from passel.faces.kit.context import CallerIn, DepsIn, FollowingIn
from passel.faces.kit.json import json_response
from passel.services.browser import sessions, signals

routes = APIRouter(prefix="/v1", tags=["browser events"])

_LARGEST = 64 * 1024


class SignalFields(Body):
    data: dict[str, Any]


class WaitFields(Body):
    timeoutMs: int = Field(60_000, ge=0, le=600_000)


@routes.post("/events/{name}", openapi_extra=takes(SignalFields))
async def signal(request: Request, name: str, deps: DepsIn, caller: CallerIn) -> Response:
    """Whoever waits for this name, now or within a day, gets the data; one of them."""
    fields: SignalFields = requests.parse(SignalFields, await requests.read_body(request))
    raw = await request.body()
    if len(raw) > _LARGEST:
        raise Invalid(f"data: at most {_LARGEST} bytes", field="data")
    require_storable(raw.decode(), "data")
    require_storable(name, "name")
    await signals.signal(deps, caller, name, fields.data)
    return json_response(responses.data({"status": "success"}))


@routes.post("/events/{name}/wait", openapi_extra=takes(WaitFields))
async def wait(request: Request, name: str, deps: DepsIn, caller: CallerIn, following: FollowingIn) -> Response:
    fields: WaitFields = requests.parse(WaitFields, await requests.read_body(request))
    require_storable(name, "name")
    data = await signals.wait(deps, caller, following, name, fields.timeoutMs / 1000, request.is_disconnected)
    if data is None:
        return error(408, f"Nothing was signalled within {fields.timeoutMs} ms")
    return json_response(responses.data(data))


@routes.get("/billing")
async def billing(deps: DepsIn, caller: CallerIn) -> Response:
    """Zeros: nothing is sold here."""
    return json_response(responses.data(responses.billing(deps.now(), await sessions.capacity(deps))))
