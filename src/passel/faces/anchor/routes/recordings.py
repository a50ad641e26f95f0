"""Recordings (2.4 of the `anchor` contract)."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from passel.faces.anchor import responses
from passel.faces.anchor.context import ReachIn
from passel.faces.anchor.files import serve
from passel.faces.anchor.ids import session_id as own_id
from passel.faces.kit.context import CallerIn, DepsIn, base_url
from passel.faces.kit.json import json_response
from passel.services.browser import kept

routes = APIRouter(prefix="/v1/sessions/{session_id}/recordings", tags=["recordings"])


@routes.get("")
async def list_recordings(request: Request, session_id: str, deps: DepsIn, caller: CallerIn) -> Response:
    """Empty until the session has ended."""
    found = await kept.recordings(deps, caller, own_id(session_id))
    return json_response(responses.data(responses.recordings(base_url(request, deps), session_id, found)))


@routes.get("/{recording_id}/fetch", response_class=Response)
async def fetch(request: Request, session_id: str, recording_id: str, deps: DepsIn, caller: CallerIn) -> Response:
    """An MP4; `primary` stands for the session's own. Parts of it can be had."""
    opened = await kept.open_recording(deps, caller, own_id(session_id), recording_id)
    return serve(request, opened, f"{session_id}.mp4", inline=True)


@routes.delete("/{recording_id}")
async def delete(session_id: str, recording_id: str, deps: DepsIn, caller: CallerIn) -> Response:
    await kept.delete_recording(deps, caller, own_id(session_id), recording_id)
    return json_response(responses.data({"status": "success"}))


@routes.post("/pause")
async def pause(session_id: str, deps: DepsIn, caller: CallerIn, reach: ReachIn) -> Response:
    """What is shown from now on is left out of the film."""
    return await _set(deps, caller, reach, session_id, "pause")


@routes.post("/resume")
async def resume(session_id: str, deps: DepsIn, caller: CallerIn, reach: ReachIn) -> Response:
    return await _set(deps, caller, reach, session_id, "resume")


async def _set(deps: DepsIn, caller: CallerIn, reach: ReachIn, session_id: str, to: str) -> Response:
    """Wrapped twice, as the hosted service does it."""
    status = await kept.set_recording(deps, caller, reach, own_id(session_id), to)
    return json_response(responses.data(responses.data({"status": status})))
