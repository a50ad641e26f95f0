"""Tools (2.8 of the `anchor` contract)."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request
from pydantic import Field
from starlette.responses import Response

from passel.core.errors import Invalid, PasselError
from passel.faces.anchor import requests
from passel.faces.anchor.context import ReachIn, Readers
from passel.faces.anchor.errors import error, headers_of, status_of
from passel.faces.anchor.ids import session_id as own_id
from passel.faces.anchor.openapi import takes
from passel.faces.anchor.requests import Body, parse
from passel.faces.kit.context import CallerIn, DepsIn, FollowingIn
from passel.faces.kit.json import json_response
from passel.html import HtmlReader, Unreadable
from passel.services.browser import tools

routes = APIRouter(prefix="/v1/tools", tags=["tools"])

_LONGEST_WAIT = 60_000
_PAGES = r"^\d+(-\d+)?(,\s*\d+(-\d+)?)*$"
_HTML, _TEXT = "text/html; charset=utf-8", "text/plain; charset=utf-8"
SessionId = Annotated[str | None, Query(alias="sessionId")]


class Fetch(Body):
    url: str | None = Field(None, max_length=2**20)
    format: Literal["html", "markdown"] = "html"
    wait: int | float | None = Field(None, ge=0, le=_LONGEST_WAIT)
    new_page: bool | None = None
    page_index: int | None = Field(None, ge=0, le=10_000)
    return_partial_on_timeout: bool | None = None


class Unlock(Body):
    url: str = Field(min_length=1, max_length=2**20)


class Screenshot(Body):
    url: str | None = Field(None, max_length=2**20)
    width: int | None = Field(None, ge=1, le=8000)
    height: int | None = Field(None, ge=1, le=8000)
    image_quality: int | None = Field(None, ge=1, le=100)
    wait: int | float | None = Field(None, ge=0, le=_LONGEST_WAIT)
    scroll_all_content: bool | None = None
    capture_full_height: bool | None = None
    s3_target_address: str | None = None


class Pdf(Body):
    url: str | None = Field(None, max_length=2**20)
    landscape: bool = False
    displayHeaderFooter: bool = False
    printBackground: bool = False
    scale: int | float = Field(1, ge=0.1, le=2)
    paperWidth: int | float = Field(8.5, gt=0, le=200)
    paperHeight: int | float = Field(11, gt=0, le=200)
    marginTop: int | float = Field(0.4, ge=0)
    marginBottom: int | float = Field(0.4, ge=0)
    marginLeft: int | float = Field(0.4, ge=0)
    marginRight: int | float = Field(0.4, ge=0)
    pageRanges: str | None = Field(None, pattern=_PAGES)
    headerTemplate: str | None = Field(None, max_length=2**18)
    footerTemplate: str | None = Field(None, max_length=2**18)
    preferCSSPageSize: bool = False


async def _readers(request: Request) -> Readers:
    return request.app.state.readers


ReadersIn = Annotated[Readers, Depends(_readers)]


def _given(**asked: Any) -> dict[str, Any]:
    return {name: value for name, value in asked.items() if value is not None}


@routes.post("/fetch-webpage", response_class=Response, openapi_extra=takes(Fetch))
async def fetch_webpage(
    request: Request,
    deps: DepsIn,
    caller: CallerIn,
    following: FollowingIn,
    reach: ReachIn,
    readers: ReadersIn,
    sessionId: SessionId = None,
) -> Response:
    """A page as HTML or as Markdown; where no address is given, that which is in front. Of a PDF the text, whatever the format."""
    fields: Fetch = parse(Fetch, await requests.read_body(request))
    _require_url(fields.url, sessionId)
    asked = _given(
        url=fields.url, wait=fields.wait, new_page=fields.new_page, page_index=fields.page_index, partial=fields.return_partial_on_timeout
    )
    read = await tools.use(deps, caller, following, reach, _own(sessionId), "html", asked)
    if isinstance(read, bytes):
        return Response(await _text(readers.pdf, read, "url: the PDF cannot be had as text"), media_type=_TEXT)
    if fields.format == "html":
        return Response(read["html"], media_type=_TEXT)
    page = read["html"].encode("utf-8", "replace")
    return Response(await _text(readers.markdown, page, "format: the page cannot be had as Markdown"), media_type=_TEXT)


async def _text(reader: HtmlReader, page: bytes, problem: str) -> str:
    try:
        return await reader.text(page)
    except Unreadable as unreadable:
        raise Invalid(f"{problem}: {unreadable}", field=problem.partition(":")[0]) from unreadable


@routes.post("/fetch/webpage", response_class=Response, openapi_extra=takes(Unlock))
async def unlock(request: Request, deps: DepsIn, caller: CallerIn, following: FollowingIn, reach: ReachIn, readers: ReadersIn) -> Response:
    """A page as HTML, by a browser of its own; of a PDF the text. 422 where it cannot be reached, 504 where it is too slow."""
    fields: Unlock = parse(Unlock, await requests.read_body(request))
    read = await tools.use(deps, caller, following, reach, None, "html", {"url": fields.url})
    if isinstance(read, bytes):
        return Response(await _text(readers.pdf, read, "url: the PDF cannot be had as text"), media_type=_TEXT)
    return Response(read["html"], media_type=_HTML)


@routes.post("/screenshot", response_class=Response, openapi_extra=takes(Screenshot))
async def screenshot(
    request: Request, deps: DepsIn, caller: CallerIn, following: FollowingIn, reach: ReachIn, sessionId: SessionId = None
) -> Response:
    """PNG; JPEG where `image_quality` is given."""
    fields: Screenshot = parse(Screenshot, await requests.read_body(request))
    _require_url(fields.url, sessionId)
    if fields.s3_target_address:
        raise Invalid("s3_target_address is not supported by this server: take the picture from the answer", field="s3_target_address")
    asked = _given(url=fields.url, width=fields.width, height=fields.height, quality=fields.image_quality, wait=fields.wait)
    asked |= _given(scroll=fields.scroll_all_content, full=fields.capture_full_height)
    picture = await tools.use(deps, caller, following, reach, _own(sessionId), "picture", asked)
    return Response(picture, media_type="image/png" if fields.image_quality is None else "image/jpeg")


@routes.post("/page-pdf", response_class=Response, openapi_extra=takes(Pdf))
async def page_pdf(
    request: Request, deps: DepsIn, caller: CallerIn, following: FollowingIn, reach: ReachIn, sessionId: SessionId = None
) -> Response:
    """A page as it is printed; sizes in inches. Errors of this call are plain."""
    try:
        fields: Pdf = parse(Pdf, await requests.read_body(request))
        _require_url(fields.url, sessionId)
        printed = {name: value for name, value in fields.model_dump(include=set(Pdf.model_fields) - {"url"}).items() if value is not None}
        asked = _given(url=fields.url, print=printed)
        pdf = await tools.use(deps, caller, following, reach, _own(sessionId), "pdf", asked)
    except PasselError as failed:
        return json_response(
            {"error": failed.message, "details": [one.msg for one in failed.errors]}, status_of(failed), headers_of(failed)
        )
    return Response(pdf, media_type="application/pdf")


@routes.post("/execute-code")
async def execute_code() -> Response:
    """Not served: it would need a runner for TypeScript that keeps programs apart."""
    return error(501, "execute-code is not served here: run your program on a machine of yours, and drive the session over its cdp_url")


def _require_url(url: str | None, session_id: str | None) -> None:
    if not url and session_id is None:
        raise Invalid("url: is required where no sessionId is given", field="url")


def _own(session_id: str | None) -> str | None:
    return None if session_id is None else own_id(session_id)
