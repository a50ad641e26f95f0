"""Saved states of browsers (2.7 of the `anchor` contract)."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from passel.faces.anchor import requests, responses
from passel.faces.anchor.ids import session_id as own_id
from passel.faces.anchor.openapi import takes
from passel.faces.kit.context import CallerIn, DepsIn
from passel.faces.kit.json import json_response
from passel.services.browser import profiles, sessions

routes = APIRouter(prefix="/v1/profiles", tags=["profiles"])


@routes.post("", openapi_extra=takes(requests.ProfileFields))
async def create(request: Request, deps: DepsIn, caller: CallerIn) -> Response:
    """Saved when the session ends."""
    name, description, session_id = requests.profile_request(await requests.read_body(request))
    await sessions.save_profile(deps, caller, own_id(session_id), name, description)
    return json_response(responses.data({"status": "pending_session"}))


@routes.get("")
async def list_profiles(deps: DepsIn, caller: CallerIn) -> Response:
    """The oldest first."""
    items = [responses.profile(one) for one in await profiles.list_profiles(deps, caller)]
    return json_response(responses.data({"count": len(items), "items": items}))


@routes.get("/{name}")
async def get(name: str, deps: DepsIn, caller: CallerIn) -> Response:
    return json_response(responses.data(responses.profile(await profiles.get(deps, caller, name))))


@routes.delete("/{name}")
async def delete(name: str, deps: DepsIn, caller: CallerIn) -> Response:
    """Sessions that began with it go on; one that would write it saves nothing."""
    await profiles.delete(deps, caller, name)
    return json_response(responses.data({"status": "success"}))
