"""Webhooks of the organisation's verifications."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from passel.core.text import require_storable
from passel.faces.check import requests
from passel.faces.check import webhooks as bodies
from passel.faces.kit.context import CallerIn, DepsIn
from passel.faces.kit.json import json_response
from passel.services.verification import webhooks

routes = APIRouter(prefix="/v1/webhooks", tags=["verification webhooks"])


def _body(name: str) -> dict[str, object]:
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{name}"}}}}}


@routes.get("")
async def list_webhooks(deps: DepsIn, caller: CallerIn) -> Response:
    """The oldest first, without their secrets."""
    return json_response({"data": [bodies.webhook_body(one) for one in await webhooks.list_endpoints(deps, caller)]})


@routes.post("", status_code=201, openapi_extra=_body("WebhookFields"))
async def create(request: Request, deps: DepsIn, caller: CallerIn) -> Response:
    """The secret is shown only now."""
    made = await webhooks.create(deps, caller, bodies.webhook_request(await requests.read_body(request)))
    return json_response(bodies.webhook_body(made.webhook, made.secret), 201, {"Location": f"/v1/webhooks/{made.webhook.subject_id}"})


@routes.get("/{webhook_id}")
async def get(webhook_id: str, deps: DepsIn, caller: CallerIn) -> Response:
    return json_response(bodies.webhook_body(await webhooks.get(deps, caller, webhook_id)))


@routes.patch("/{webhook_id}", openapi_extra=_body("ChangeFields"))
async def change(request: Request, webhook_id: str, deps: DepsIn, caller: CallerIn) -> Response:
    """What is not named stays. One that was disabled is enabled again."""
    known = await webhooks.get(deps, caller, webhook_id)
    wanted = bodies.change_request(await requests.read_body(request), known)
    return json_response(bodies.webhook_body(await webhooks.change(deps, caller, webhook_id, wanted)))


@routes.delete("/{webhook_id}", status_code=204)
async def delete(webhook_id: str, deps: DepsIn, caller: CallerIn) -> Response:
    """What waits to be delivered is dropped."""
    await webhooks.delete(deps, caller, webhook_id)
    return Response(status_code=204)


@routes.post("/{webhook_id}/rotate-secret")
async def rotate(webhook_id: str, deps: DepsIn, caller: CallerIn) -> Response:
    """A new secret at once, shown only now; the old one signs beside it for a while."""
    done = await webhooks.rotate(deps, caller, webhook_id)
    return json_response(bodies.webhook_body(done.webhook, done.secret))


@routes.get("/{webhook_id}/deliveries")
async def list_deliveries(webhook_id: str, deps: DepsIn, caller: CallerIn, limit: str | None = None, after: str | None = None) -> Response:
    """Newest first, each with its attempts; `after` is the id of the last one of the page before."""
    most = requests.whole(limit, "limit", 20, 1, 100)
    require_storable(after or "", "after")
    found = await webhooks.list_deliveries(deps, caller, webhook_id, after=after, limit=most + 1)
    return json_response({"data": [bodies.delivery_body(one) for one in found[:most]], "hasMore": len(found) > most})


@routes.post("/{webhook_id}/deliveries/{delivery_id}/redeliver", status_code=202)
async def redeliver(webhook_id: str, delivery_id: str, deps: DepsIn, caller: CallerIn) -> Response:
    """Deliver one again, with the id that its event has."""
    return json_response(bodies.delivery_body(await webhooks.redeliver(deps, caller, webhook_id, delivery_id)), 202)
