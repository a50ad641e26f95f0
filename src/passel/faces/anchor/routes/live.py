"""The live view (4.7 of the `anchor` contract): pages for people, and what they are made of. They need no API key but a token, and lie
beside the API's own paths.

    /live/{session}?token=T      /live?token=M (minted)      /live/batches/{batch}?token=T
"""

from functools import cache
from pathlib import Path

from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse, Response

from passel.core.errors import Invalid, NotFound, PasselError, Unauthenticated
from passel.faces.anchor import responses
from passel.faces.anchor.errors import passel_error, status_of
from passel.faces.anchor.ids import batch_id as own_batch_id
from passel.faces.anchor.ids import session_id as own_id
from passel.faces.kit.context import DepsIn, base_url
from passel.faces.kit.json import json_response
from passel.services.browser import access, batches
from passel.services.browser.access import Given
from passel.services.browser.sessions import Ended

routes = APIRouter(prefix="/live", include_in_schema=False)

_FILES = Path(__file__).parent.parent / "live"
_TYPES = {".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8"}
_POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self' ws: wss:; base-uri 'none'; form-action 'self'"


@cache
def _file(name: str) -> bytes:
    return (_FILES / name).read_bytes()


def _page(name: str, embedding: str) -> Response:
    headers = {
        "Content-Security-Policy": f"{_POLICY}; frame-ancestors {embedding}",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-store",
    }
    return Response(_file(name), media_type=_TYPES[".html"], headers=headers)


@routes.get("/assets/{name}")
async def asset(name: str) -> Response:
    if name not in ("live.css", "socket.js", "viewer.js", "grid.js"):
        raise NotFound("there is no such file")
    return Response(_file(name), media_type=_TYPES[Path(name).suffix], headers={"Cache-Control": "no-cache"})


@routes.get("")
async def viewer_of_token(request: Request) -> Response:
    return _page("viewer.html", request.app.state.embedding)


@routes.get("/socket")
async def socket_of_token(deps: DepsIn, token: str = "") -> Response:
    return await _refused(deps, Given(token=token))


@routes.get("/batches/{batch_id}")
async def grid(request: Request, batch_id: str) -> Response:
    return _page("grid.html", request.app.state.embedding)


@routes.get("/batches/{batch_id}/state")
async def grid_state(request: Request, batch_id: str, deps: DepsIn, token: str = "") -> Response:
    try:
        if not access.opens_batch(deps, own := own_batch_id(batch_id), token):
            raise Unauthenticated("Missing or invalid token")
        read = await batches.read_for_all(deps, own)
        return json_response(responses.grid(deps, base_url(request, deps), read), headers={"Cache-Control": "no-store"})
    except PasselError as failed:
        return passel_error(request.scope, failed)


@routes.get("/{session_id}")
async def viewer(request: Request, session_id: str) -> Response:
    return _page("viewer.html", request.app.state.embedding)


@routes.get("/{session_id}/socket")
async def socket(session_id: str, deps: DepsIn, token: str = "") -> Response:
    return await _refused(deps, Given(session_id=own_id(session_id), token=token))


async def _refused(deps: DepsIn, given: Given) -> Response:
    """Why a socket is refused, which pages are not told."""
    try:
        await access.admit(deps, given, access.LIVE, looks=True)
    except PasselError as failed:
        status = 410 if isinstance(failed, Ended) else status_of(failed)
        return json_response({"error": {"code": status, "message": failed.message}}, status)
    return json_response({"error": {"code": 426, "message": "this is a WebSocket"}}, 426)


def to_viewer(request: Request) -> Response | None:
    """Where a link at the root leads that names a session, as the hosted service has them."""
    query = request.query_params
    if "sessionId" not in query and "token" not in query:
        return None
    if not query.get("sessionId", "x").replace("-", "").isalnum():
        raise Invalid("sessionId: is no id")
    path = f"/live/{query['sessionId']}" if "sessionId" in query else "/live"
    rest = "&".join(part for part in request.url.query.split("&") if not part.startswith("sessionId="))
    return RedirectResponse(f"{path}?{rest}" if rest else path, 302)
