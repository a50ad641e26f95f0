"""Certificates of an organisation's own authorities (2.10 of the `anchor` contract)."""

from fastapi import APIRouter, Request
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException
from starlette.responses import Response

from passel.core.errors import Invalid
from passel.core.text import require_storable
from passel.faces.anchor import requests, responses
from passel.faces.kit.context import CallerIn, DepsIn
from passel.faces.kit.json import json_response
from passel.services.browser import certificates

routes = APIRouter(prefix="/v1/certificates", tags=["certificates"])

_FORM = {
    "type": "object",
    "required": ["name", "file"],
    "properties": {
        "name": {"type": "string", "pattern": requests.CERTIFICATE_NAME},
        "description": {"type": "string", "maxLength": 1000},
        "file": {"type": "string", "format": "binary", "description": "X.509 of an authority, as PEM or DER"},
    },
}


@routes.post("", openapi_extra={"requestBody": {"content": {"multipart/form-data": {"schema": _FORM}}}})
async def create(request: Request, deps: DepsIn, caller: CallerIn) -> Response:
    """Sessions that name it in `browser.certificates` trust what it has signed."""
    try:
        async with request.form(max_files=1, max_fields=10) as form:
            file = form.get("file")
            if not isinstance(file, UploadFile):
                raise Invalid("file: send a multipart form with the parts name and file", field="file")
            fields: requests.CertificateFields = requests.parse(
                requests.CertificateFields, {key: value for key, value in form.items() if key in ("name", "description")}
            )
            raw = await file.read(certificates.LARGEST + 1)
    except MultiPartException as error:
        raise Invalid(f"file: {error.message}", field="file") from error
    description = fields.description and require_storable(fields.description, "description")
    return json_response(responses.data(responses.certificate(await certificates.create(deps, caller, fields.name, description, raw))))


@routes.get("")
async def list_certificates(deps: DepsIn, caller: CallerIn) -> Response:
    """The oldest first."""
    return json_response(responses.data([responses.certificate(one) for one in await certificates.list_certificates(deps, caller)]))


@routes.delete("/{name}")
async def delete(name: str, deps: DepsIn, caller: CallerIn) -> Response:
    """Sessions that run trust it until they end."""
    await certificates.delete(deps, caller, name)
    return json_response(responses.data({"status": "success"}))
