"""What people are asked to decide."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from passel.core.verification.escalations import PRIORITIES, REASONS, STATUSES
from passel.faces.check import escalations as bodies
from passel.faces.check import requests, responses
from passel.faces.kit.context import CallerIn, DepsIn
from passel.faces.kit.json import json_response
from passel.services.verification import escalations

routes = APIRouter(prefix="/v1/escalations", tags=["escalations"])

_BODY = {"requestBody": {"required": True, "content": {"application/json": {"schema": {"$ref": "#/components/schemas/ResolveFields"}}}}}


@routes.get("")
async def list_escalations(
    deps: DepsIn,
    caller: CallerIn,
    limit: str | None = None,
    offset: str | None = None,
    status: str | None = None,
    reason: str | None = None,
    priority: str | None = None,
) -> Response:
    """Newest first."""
    most, skip = requests.whole(limit, "limit", 20, 1, 100), requests.whole(offset, "offset", 0, 0, 10**9)
    found, total = await escalations.list_escalations(
        deps,
        caller,
        statuses=requests.comma_list(status, STATUSES, "status"),
        reasons=requests.comma_list(reason, REASONS, "reason"),
        priorities=requests.comma_list(priority, PRIORITIES, "priority"),
        limit=most,
        offset=skip,
    )
    now = deps.now()
    page = responses.pagination(total, most, skip, len(found))
    return json_response({"data": [bodies.full(one, now) for one in found], "pagination": page})


@routes.get("/{escalation_id}")
async def get(escalation_id: str, deps: DepsIn, caller: CallerIn) -> Response:
    return json_response(bodies.full(await escalations.get(deps, caller, escalation_id), deps.now()))


@routes.post("/{escalation_id}/resolve", openapi_extra=_BODY, responses={409: {"description": "Decided before, or too late."}})
async def resolve(request: Request, escalation_id: str, deps: DepsIn, caller: CallerIn) -> Response:
    """A person decides. The first decision holds."""
    said = bodies.resolve_request(await requests.read_body(request))
    done = await escalations.resolve(deps, caller, escalation_id, said.resolution, said.verdict, said.note)
    return json_response(bodies.full(done, deps.now()))
