"""An agent's webhook: its configuration, what was delivered, and delivering it again."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from starlette.responses import Response

from passel.core.text import require_storable
from passel.faces.dari import responses
from passel.faces.dari.requests import RedeliverRequest, WebhookRequest
from passel.faces.kit.context import CallerIn, DepsIn
from passel.faces.kit.json import json_response
from passel.faces.kit.paging import After, Limit
from passel.services.agents import webhooks

routes = APIRouter(prefix="/v1/agents/{agent_id}/webhook", tags=["webhooks"])


@routes.get("")
async def get(agent_id: str, deps: DepsIn, caller: CallerIn) -> Response:
    """The secret is never shown again."""
    return json_response(responses.webhook(await webhooks.find(deps, caller, agent_id), None))


@routes.put("")
async def configure(agent_id: str, body: WebhookRequest, deps: DepsIn, caller: CallerIn) -> Response:
    """Make the agent's webhook, or change it. The secret is shown when it is made, and kept when it is changed."""
    done = await webhooks.configure(deps, caller, agent_id, body.webhook_url, body.event_types)
    return json_response(responses.webhook(done.webhook, done.secret))


@routes.delete("")
async def delete(agent_id: str, deps: DepsIn, caller: CallerIn) -> Response:
    """Repeatable. What waits to be delivered is dropped."""
    await webhooks.delete(deps, caller, agent_id)
    return json_response({"webhook_url": None, "signing_enabled": False, "signing_secret": None})


@routes.post("/rotate-secret")
async def rotate(agent_id: str, deps: DepsIn, caller: CallerIn) -> Response:
    """A new secret at once, shown only now."""
    done = await webhooks.rotate(deps, caller, agent_id)
    return json_response(responses.webhook(done.webhook, done.secret))


@routes.get("/deliveries")
async def list_deliveries(
    agent_id: str,
    deps: DepsIn,
    caller: CallerIn,
    status: Literal["pending", "delivered", "superseded", "failed"] | None = None,
    type: Annotated[str | None, Query(max_length=100)] = None,
    limit: Limit = 100,
    after: After = None,
) -> Response:
    """Newest first, each with its tries."""
    require_storable(after or "", "after")
    found = await webhooks.list_deliveries(deps, caller, agent_id, after=after, type=type, status=status, limit=limit + 1)
    page, more = found[:limit], len(found) > limit
    body: dict[str, Any] = responses.listing("deliveries", [responses.delivery(one, agent_id) for one in page])
    return json_response(body | {"has_more": more, "next_after": page[-1].delivery.id if more else None})


@routes.post("/deliveries/{delivery_id}/redeliver", status_code=202)
async def redeliver(agent_id: str, delivery_id: str, deps: DepsIn, caller: CallerIn) -> Response:
    """Deliver one again, under its own id and sequence."""
    return json_response(responses.delivery(await webhooks.redeliver(deps, caller, agent_id, delivery_id), agent_id), 202)


@routes.post("/redeliver", status_code=202)
async def redeliver_span(agent_id: str, body: RedeliverRequest, deps: DepsIn, caller: CallerIn) -> Response:
    """Deliver again what was written from `since` until before `until`, the oldest first. When there is more than one
    call takes up, the answer says where to go on."""
    again = await webhooks.redeliver_span(deps, caller, agent_id, body.since, body.until, body.after)
    return json_response({"redelivered": again.count, "has_more": again.next_after is not None, "next_after": again.next_after}, 202)
