"""Documents that the method `tool` searches: an addition to this wire format (D41)."""

from datetime import date
from typing import Any

from fastapi import APIRouter, Request
from pydantic import Field
from starlette.datastructures import UploadFile
from starlette.responses import Response

from passel.core.errors import Unprocessable
from passel.core.limits import MIB
from passel.core.text import leaf_name
from passel.core.verification.documents import NewDocument
from passel.faces.check import requests, responses
from passel.faces.check.fact_requests import is_upload
from passel.faces.kit.context import CallerIn, DepsIn
from passel.faces.kit.json import json_response
from passel.html import HtmlReader, Unreadable
from passel.services.verification import documents

routes = APIRouter(prefix="/v1/documents", tags=["documents"])

LARGEST_BODY = 24 * MIB
_SECONDS_OF_A_FILE = 30.0
_HTML = (".html", ".htm", ".xhtml")
_TEXT = (".txt", ".md", ".markdown", ".rst", ".text")


class DocumentFields(requests.Body):
    """`date` as `2026-11-27`."""

    title: str
    text: str
    url: str | None = None
    date: str | None = Field(None, max_length=10)


_FORM: dict[str, Any] = {
    "type": "object",
    "required": ["file"],
    "properties": {
        "file": {"type": "string", "format": "binary"},
        "title": {"type": "string"},
        "url": {"type": "string"},
        "date": {"type": "string"},
    },
}
_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": {"$ref": "#/components/schemas/DocumentFields"}},
            "multipart/form-data": {"schema": _FORM},
        },
    }
}


@routes.post("", status_code=201, openapi_extra=_BODY)
async def add(request: Request, deps: DepsIn, caller: CallerIn) -> Response:
    """As JSON, or as a file of text, Markdown or HTML in the form field `file`, with `title`, `url` and `date` beside it."""
    if is_upload(request.headers.get("content-type", "")):
        new = await _of_form(request)
    else:
        fields = requests.parse(DocumentFields, await requests.read_body(request))
        new = NewDocument(fields.title, fields.text, fields.url, _date(fields.date))
    return json_response(responses.document(await documents.add(deps, caller, new)), 201)


async def _of_form(request: Request) -> NewDocument:
    async with request.form(max_files=1, max_fields=5) as form:
        file = form.get("file")
        if not isinstance(file, UploadFile):
            raise Unprocessable("Send one file as the form field file", field="file")
        name = file.filename or "document"
        text = await _text_of(name, file.content_type or "", await file.read())
        title, url, dated = (form.get(field) for field in ("title", "url", "date"))
    return NewDocument(str(title or leaf_name(name)), text, str(url) if url else None, _date(str(dated) if dated else None))


async def _text_of(name: str, kind: str, data: bytes) -> str:
    """Raises `Unprocessable` for what is no text."""
    if name.lower().endswith(_HTML) or kind.startswith("text/html"):
        try:
            async with HtmlReader(_SECONDS_OF_A_FILE) as reader:
                return await reader.text(data)
        except Unreadable as error:
            raise Unprocessable(str(error), field="file") from error
    if not name.lower().endswith(_TEXT) and not kind.startswith("text/"):
        raise Unprocessable("file must be text, Markdown or HTML", field="file")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Unprocessable("file must be UTF-8", field="file") from error


def _date(given: str | None) -> date | None:
    try:
        return None if given is None else date.fromisoformat(given)
    except ValueError as error:
        raise Unprocessable("date must be a date, such as 2026-11-27", field="date") from error


@routes.get("")
async def list_documents(deps: DepsIn, caller: CallerIn, limit: str | None = None, offset: str | None = None) -> Response:
    """Newest first, without their texts."""
    most, skip = requests.whole(limit, "limit", 20, 1, 100), requests.whole(offset, "offset", 0, 0, 10**9)
    found, total = await documents.list_documents(deps, caller, most, skip)
    page = responses.pagination(total, most, skip, len(found))
    return json_response({"data": [responses.document(one) for one in found], "pagination": page})


@routes.get("/{document_id}")
async def get(document_id: str, deps: DepsIn, caller: CallerIn) -> Response:
    """With its text, in the passages that are searched."""
    found, text = await documents.get(deps, caller, document_id)
    return json_response(responses.document(found) | {"text": text})


@routes.delete("/{document_id}")
async def delete(document_id: str, deps: DepsIn, caller: CallerIn) -> Response:
    await documents.delete(deps, caller, document_id)
    return json_response({"id": document_id, "deleted": True})
