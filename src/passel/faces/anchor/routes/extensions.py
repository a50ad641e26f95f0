"""Extensions of browsers (2.10 of the `anchor` contract). Which bodies are wrapped how often is the contract's."""

from fastapi import APIRouter, Request
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException
from starlette.responses import Response

from passel.core.errors import Invalid
from passel.core.text import require_storable
from passel.faces.anchor import responses
from passel.faces.anchor.ids import extension_id as own_id
from passel.faces.kit.context import CallerIn, DepsIn
from passel.faces.kit.json import json_response
from passel.services.browser import extensions

routes = APIRouter(prefix="/v1/extensions", tags=["extensions"])

_LONGEST_NAME = 255
_FORM = {
    "type": "object",
    "required": ["name", "file"],
    "properties": {
        "name": {"type": "string", "minLength": 1, "maxLength": _LONGEST_NAME},
        "file": {"type": "string", "format": "binary", "description": "A zip file with manifest.json at its top, of manifest version 3"},
    },
}


@routes.post("", openapi_extra={"requestBody": {"content": {"multipart/form-data": {"schema": _FORM}}}})
async def upload(request: Request, deps: DepsIn, caller: CallerIn) -> Response:
    """What it may ask for is a list; what is not on it is refused, with the reason."""
    try:
        async with request.form(max_files=1, max_fields=10) as form:
            name, file = form.get("name"), form.get("file")
            if not isinstance(file, UploadFile) or file.size is None:
                raise Invalid("file: send a multipart form with the parts name and file", field="file")
            if not isinstance(name, str) or not 0 < len(name) <= _LONGEST_NAME:
                raise Invalid(f"name: must be a text of 1 to {_LONGEST_NAME} characters", field="name")
            made = await extensions.upload(deps, caller, require_storable(name, "name"), file.file, file.size)
    except MultiPartException as error:
        raise Invalid(f"file: {error.message}", field="file") from error
    return json_response(responses.data(responses.extension(made)))


@routes.get("")
async def list_extensions(deps: DepsIn, caller: CallerIn) -> Response:
    """The oldest first."""
    return json_response(responses.data([responses.extension(one) for one in await extensions.list_extensions(deps, caller)]))


@routes.get("/{extension_id}")
async def get(extension_id: str, deps: DepsIn, caller: CallerIn) -> Response:
    return json_response(responses.extension(await extensions.get(deps, caller, own_id(extension_id))))


@routes.delete("/{extension_id}")
async def delete(extension_id: str, deps: DepsIn, caller: CallerIn) -> Response:
    """Sessions that run keep it."""
    await extensions.delete(deps, caller, own_id(extension_id))
    return json_response(responses.data(responses.data({"status": "success"})))
