"""Browser sessions (2.2 of the `anchor` contract). Fixed paths stand before `/{session_id}`."""

from dataclasses import replace
from datetime import datetime
from typing import Annotated, Literal, NamedTuple

from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import Response

from passel.core.errors import Invalid, Unavailable
from passel.faces.anchor import rate, requests, responses
from passel.faces.anchor.context import ReachIn
from passel.faces.anchor.errors import error
from passel.faces.anchor.ids import batch_id as own_batch_id
from passel.faces.anchor.ids import session_id as own_id
from passel.faces.anchor.ids import to_uuid
from passel.faces.anchor.openapi import takes
from passel.faces.anchor.requests import moment
from passel.faces.kit.context import CallerIn, DepsIn, FollowingIn, base_url
from passel.faces.kit.json import json_response
from passel.services.browser import access, sessions
from passel.services.browser.sessions import Wanted

_PAGES = (10, 20, 50)
_SORTS = ("created_at", "session_id", "used_credits", "api_key_name")


async def _filters(
    tags: str | None = None,
    domains: str | None = None,
    created_from: datetime | None = None,
    created_to: datetime | None = None,
    batch_id: str | None = None,
    search: str | None = None,
    profile_name: str | None = None,
    proxy: bool | None = None,
    task_initiated: bool | None = None,
) -> Wanted:
    """Lists are joined by commas."""
    batch = None if batch_id is None else own_batch_id(batch_id)
    since, until = moment(created_from), moment(created_to)
    return Wanted(None, _list(tags), _list(search), since, until, batch, _list(domains), profile_name, proxy, task_initiated)


def _list(given: str | None) -> list[str] | None:
    return [part.strip() for part in given.split(",") if part.strip()] or None if given else None


async def _page(
    status: str | None = None, page: int = 1, limit: int = 10, sort_by: str = "created_at", sort_order: str = "asc"
) -> tuple[str | None, int, int, bool, bool]:
    """Status, page, sessions on it, whether the last come first, whether they are sorted by their keys. All have the same credits, so the
    order is else that of their making."""
    if limit not in _PAGES:
        raise Invalid("limit: must be 10, 20 or 50", field="limit")
    if not 1 <= page <= 10**6:
        raise Invalid("page: must be 1 or more", field="page")
    if sort_by not in _SORTS or sort_order not in ("asc", "desc"):
        raise Invalid(f"sort_by: must be one of {', '.join(_SORTS)}, and sort_order asc or desc", field="sort_by")
    return status, page, limit, sort_order == "desc", sort_by == "api_key_name"


class Analytics(NamedTuple):
    since: datetime | None
    until: datetime | None
    span: str
    metrics: list[str]
    page: int
    limit: int


async def _analytics(
    from_date: datetime | None = None,
    to_date: datetime | None = None,
    granularity: Literal["hour", "day", "week", "month"] = "day",
    metrics: str | None = None,
    page: Annotated[int, Query(ge=1, le=10**6)] = 1,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> Analytics:
    named = _list(metrics) or list(responses.METRICS)
    for name in named:
        if name not in responses.METRICS:
            raise Invalid(f"metrics: there are {', '.join(responses.METRICS)}", field="metrics")
    return Analytics(moment(from_date), moment(to_date), granularity, named, page, limit)


AnalyticsIn = Annotated[Analytics, Depends(_analytics)]
FiltersIn = Annotated[Wanted, Depends(_filters)]
PageIn = Annotated[tuple[str | None, int, int, bool, bool], Depends(_page)]

routes = APIRouter(prefix="/v1/sessions", tags=["browser sessions"])


@routes.post("", openapi_extra=takes(requests.SessionFields))
async def create(request: Request, deps: DepsIn, caller: CallerIn, following: FollowingIn) -> Response:
    """Waits until the browser can be connected to."""
    asked = requests.session_request(await requests.read_body(request), filters=deps.browser_filters)
    begun = await sessions.create(deps, caller, asked)
    found = await sessions.wait_ready(deps, caller, following, begun.session.id)
    if found.status == sessions.PENDING:
        raise Unavailable("no browser was free in time; the session goes on, and is ready later")
    told = rate.headers(begun.standing)
    if found.address is None:
        return error(500, f"the browser did not start: {found.message.error}", told)
    tokens = await access.mint(deps, caller, found.id, ()) if found.scoped else None
    return json_response(responses.data(responses.created(deps, base_url(request, deps), found, tokens)), headers=told)


@routes.get("")
async def history(deps: DepsIn, caller: CallerIn, filters: FiltersIn, asked: PageIn) -> Response:
    """A page of all sessions."""
    status, page, limit, newest_first, by_key = asked
    offset = (page - 1) * limit
    wanted = replace(filters, status=status)
    found, total = await sessions.list_sessions(deps, caller, wanted, newest_first=newest_first, limit=limit, offset=offset, by_key=by_key)
    rows = [responses.history_row(one, deps.now()) for one in found]
    body = {"sessions": rows, "total": total, "page": page, "total_pages": max(1, -(-total // limit))}
    return json_response(responses.data(body))


@routes.post("/async", openapi_extra=takes(requests.SessionFields))
async def begin(request: Request, deps: DepsIn, caller: CallerIn) -> Response:
    """Returns at once; the request's id is the session's."""
    asked = requests.session_request(await requests.read_body(request), filters=deps.browser_filters)
    begun = await sessions.create(deps, caller, asked)
    body = {"request_id": to_uuid(begun.session.id), "status": "pending", "session_id": None}
    return json_response(responses.data(body), headers=rate.headers(begun.standing))


@routes.get("/async/{request_id}/status")
async def begun(request: Request, request_id: str, deps: DepsIn, caller: CallerIn) -> Response:
    found = await sessions.get(deps, caller, own_id(request_id))
    return json_response(responses.data(responses.async_status(deps, base_url(request, deps), found)))


@routes.get("/all/status")
async def statuses(deps: DepsIn, caller: CallerIn, filters: FiltersIn) -> Response:
    """The newest thousand."""
    found, _ = await sessions.list_sessions(deps, caller, filters, newest_first=True, limit=1000, offset=0)
    items = [responses.status_row(one) for one in found]
    return json_response(responses.data({"count": len(items), "items": items}))


@routes.delete("/all")
async def end_all(deps: DepsIn, caller: CallerIn, reach: ReachIn) -> Response:
    ended = await sessions.end_all(deps, caller, reach)
    return json_response(responses.data({"status": f"{ended} sessions ended"}))


@routes.get("/history")
async def analytics(deps: DepsIn, caller: CallerIn, asked: AnalyticsIn) -> Response:
    """How much the project had in each span of time; spans without sessions are left out. The body is bare."""
    spans = await sessions.analyse(deps, caller, asked.since, asked.until, asked.span)
    return json_response(responses.analytics(spans, asked.metrics, asked.page, asked.limit))


@routes.get("/{session_id}/tags")
async def get_tags(session_id: str, deps: DepsIn, caller: CallerIn) -> Response:
    return _tagged(await sessions.get(deps, caller, own_id(session_id)))


@routes.put("/{session_id}/tags", openapi_extra=takes(requests.TagFields))
async def put_tags(request: Request, session_id: str, deps: DepsIn, caller: CallerIn) -> Response:
    """Replaces them."""
    return _tagged(await sessions.retag(deps, caller, own_id(session_id), requests.tags(await requests.read_body(request))))


@routes.delete("/{session_id}/tags")
async def delete_tags(session_id: str, deps: DepsIn, caller: CallerIn) -> Response:
    return _tagged(await sessions.retag(deps, caller, own_id(session_id), ()))


def _tagged(found: sessions.BrowserSession) -> Response:
    return json_response(responses.data({"session_id": to_uuid(found.id), "tags": found.tags}))


@routes.get("/{session_id}")
async def get(session_id: str, deps: DepsIn, caller: CallerIn) -> Response:
    return json_response(responses.data(responses.session(await sessions.get(deps, caller, own_id(session_id)), deps.now())))


@routes.delete("/{session_id}")
async def end(session_id: str, deps: DepsIn, caller: CallerIn, reach: ReachIn) -> Response:
    """May be repeated (D14)."""
    await sessions.end(deps, caller, reach, own_id(session_id))
    return json_response(responses.data({"status": "success"}))


@routes.get("/{session_id}/pages")
async def pages(request: Request, session_id: str, deps: DepsIn, caller: CallerIn, reach: ReachIn) -> Response:
    found, open_pages = await sessions.pages(deps, caller, reach, own_id(session_id))
    return json_response(responses.data(responses.pages(deps, base_url(request, deps), found, open_pages)))


@routes.post("/{session_id}/tokens", openapi_extra=takes(requests.TokenFields))
async def mint(request: Request, session_id: str, deps: DepsIn, caller: CallerIn) -> Response:
    """A new link for each scope. From the first on, the session is opened by such links alone, and by API keys."""
    fields: requests.TokenFields = requests.parse(requests.TokenFields, await requests.read_body(request))
    found = await sessions.get(deps, caller, own_id(session_id))
    tokens = await access.mint(deps, caller, found.id, fields.scopes or ())
    return json_response(responses.data(responses.minted(base_url(request, deps), tokens, found.request.configuration)))


@routes.delete("/{session_id}/tokens/{token}")
async def revoke(session_id: str, token: str, deps: DepsIn, caller: CallerIn) -> Response:
    """Its link opens no new connection; open ones stay."""
    await access.revoke(deps, caller, own_id(session_id), token)
    return json_response(responses.data({"status": "success"}))
