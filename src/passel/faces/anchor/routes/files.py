"""Files of a session (2.3 of the `anchor` contract)."""

from collections.abc import AsyncIterator

from fastapi import APIRouter, Request
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException
from starlette.responses import Response

from passel.core.errors import Invalid
from passel.core.text import require_storable
from passel.faces.anchor import responses
from passel.faces.anchor.context import ReachIn
from passel.faces.anchor.files import serve
from passel.faces.anchor.ids import session_id as own_id
from passel.faces.kit.context import CallerIn, DepsIn, base_url
from passel.faces.kit.json import json_response
from passel.services.browser import kept

routes = APIRouter(prefix="/v1/sessions/{session_id}", tags=["files"])

_PART = 256 * 1024
_FORM = {"type": "object", "required": ["file"], "properties": {"file": {"type": "string", "format": "binary"}}}


@routes.post("/uploads", openapi_extra={"requestBody": {"content": {"multipart/form-data": {"schema": _FORM}}}})
async def upload(request: Request, session_id: str, deps: DepsIn, caller: CallerIn, reach: ReachIn) -> Response:
    """One part named `file`; the answer says what pages are given it by, over CDP (`DOM.setFileInputFiles`)."""
    try:
        async with request.form(max_files=1) as form:
            file = form.get("file")
            if not isinstance(file, UploadFile) or not file.filename:
                raise Invalid("file: send a multipart form with one part named file", field="file")
            require_storable(file.filename, "file")
            path = await kept.upload(deps, caller, reach, own_id(session_id), file.filename, _parts(file))
    except MultiPartException as error:
        raise Invalid(f"file: {error.message}", field="file") from error
    return json_response(responses.data({"status": "success", "message": f"File saved at {path}"}))


async def _parts(file: UploadFile) -> AsyncIterator[bytes]:
    while part := await file.read(_PART):
        yield part


@routes.get("/downloads")
async def list_downloads(request: Request, session_id: str, deps: DepsIn, caller: CallerIn) -> Response:
    """In the order in which they were complete; also when the session has ended."""
    found = await kept.downloads(deps, caller, own_id(session_id))
    return json_response(responses.data(responses.downloads(base_url(request, deps), session_id, found)))


@routes.get("/downloads/{download_id}/fetch", response_class=Response)
async def fetch(request: Request, session_id: str, download_id: str, deps: DepsIn, caller: CallerIn) -> Response:
    """The file; or, for who accepts JSON alone, where it is."""
    one, opened = await kept.open_download(deps, caller, own_id(session_id), download_id)
    if request.headers.get("accept", "").partition(";")[0].strip() == "application/json":
        [item] = [
            item
            for item in responses.downloads(base_url(request, deps), session_id, await kept.downloads(deps, caller, own_id(session_id)))[
                "items"
            ]
            if item["id"] == one.id
        ]
        return json_response(responses.data(item))
    return serve(request, opened, one.data["name"])
