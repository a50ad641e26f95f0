"""Webhooks of browser sessions (2.9 of the `anchor` contract). Bodies are bare."""

from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from passel.faces.anchor import requests
from passel.faces.anchor import webhooks as bodies
from passel.faces.anchor.openapi import takes
from passel.faces.kit.context import CallerIn, DepsIn
from passel.faces.kit.json import json_response
from passel.services.browser import webhooks

routes = APIRouter(prefix="/v1/webhooks", tags=["browser webhooks"])

Status = Literal["pending", "in_flight", "succeeded", "failed", "dead"]


@routes.post("", openapi_extra=takes(bodies.WebhookFields))
async def create(request: Request, deps: DepsIn, caller: CallerIn) -> Response:
    """The secret is shown only now."""
    made = await webhooks.create(deps, caller, bodies.webhook_request(await requests.read_body(request)))
    return json_response(bodies.webhook_body(made.webhook, made.secret))


@routes.get("")
async def list_webhooks(deps: DepsIn, caller: CallerIn) -> Response:
    return json_response({"webhooks": [bodies.webhook_body(one) for one in await webhooks.list_endpoints(deps, caller)]})


@routes.get("/{webhook_id}")
async def get(webhook_id: str, deps: DepsIn, caller: CallerIn) -> Response:
    return json_response(bodies.webhook_body(await webhooks.get(deps, caller, webhook_id)))


@routes.patch("/{webhook_id}", openapi_extra=takes(bodies.ChangeFields))
async def change(request: Request, webhook_id: str, deps: DepsIn, caller: CallerIn) -> Response:
    """What is not named stays."""
    known = await webhooks.get(deps, caller, webhook_id)
    wanted = bodies.change_request(await requests.read_body(request), known)
    return json_response(bodies.webhook_body(await webhooks.change(deps, caller, webhook_id, wanted)))


@routes.delete("/{webhook_id}")
async def delete(webhook_id: str, deps: DepsIn, caller: CallerIn) -> Response:
    """What waits to be delivered is dropped; its events stay readable."""
    await webhooks.delete(deps, caller, webhook_id)
    return json_response({"ok": True})


@routes.post("/{webhook_id}/rotate-secret")
async def rotate(webhook_id: str, deps: DepsIn, caller: CallerIn) -> Response:
    """A new secret at once, shown only now; the old one signs beside it for a day."""
    done = await webhooks.rotate(deps, caller, webhook_id)
    return json_response(bodies.webhook_body(done.webhook, done.secret))


@routes.post("/{webhook_id}/test", openapi_extra=takes(bodies.TestFields))
async def send_test(request: Request, webhook_id: str, deps: DepsIn, caller: CallerIn) -> Response:
    """A delivery of this type whose data are `{"test": true}`."""
    fields: bodies.TestFields = requests.parse(bodies.TestFields, await requests.read_body(request))
    id = await webhooks.send_test(deps, caller, webhook_id, fields.event_type)
    return json_response({"external_event_id": bodies.event_id(id), "event_type": fields.event_type})


@routes.get("/{webhook_id}/events")
async def list_events(
    webhook_id: str,
    deps: DepsIn,
    caller: CallerIn,
    limit: Annotated[int, Query(ge=1, le=100)] = 25,
    offset: Annotated[int, Query(ge=0, le=10**9)] = 0,
    status: Status | None = None,
    event_type: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
) -> Response:
    """Newest first."""
    span = {"since": requests.moment(since), "until": requests.moment(until)}
    found, total = await webhooks.list_events(deps, caller, webhook_id, status=status, type=event_type, limit=limit, offset=offset, **span)
    page = {"limit": limit, "offset": offset, "total": total}
    return json_response({"events": [bodies.event_body(one) for one in found], "pagination": page})
