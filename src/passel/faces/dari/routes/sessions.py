"""Sessions: making them, listing them, and what their ledgers say."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from passel.core.errors import Conflict, Invalid
from passel.core.text import require_storable
from passel.faces.dari import adapter, responses
from passel.faces.dari.events import event_id
from passel.faces.dari.requests import ForkFields, SessionFields
from passel.faces.kit.context import CallerIn, DepsIn
from passel.faces.kit.json import json_response
from passel.faces.kit.metadata import asked_metadata
from passel.faces.kit.paging import UNPAGED, After, Limit, OptionalLimit
from passel.services import sessions
from passel.services.agents import forking
from passel.services.agents import sessions as agents
from passel.services.agents.forking import NotAtRest
from passel.services.agents.sessions import KIND
from passel.services.sessions import Session

routes = APIRouter(prefix="/v1", tags=["sessions"])

_ACCEPTED_STATUSES = Literal["idle", "running", "failed", "expired", "active", "completed"]


@routes.post("/agents/{agent_id}/sessions", status_code=201)
async def create(agent_id: str, deps: DepsIn, caller: CallerIn, body: SessionFields | None = None) -> Response:
    session = await agents.create_session(deps, caller, agent_id, adapter.to_session(body))
    return json_response(responses.session(session), 201)


@routes.get("/agents/{agent_id}/sessions")
async def list_of_agent(agent_id: str, deps: DepsIn, caller: CallerIn, after: After = None, limit: OptionalLimit = None) -> Response:
    """Newest first. Without a limit up to 10,000, since clients read this without paging."""
    most = limit or UNPAGED
    return _page(await agents.list_agent_sessions(deps, caller, agent_id, after, most + 1), most)


@routes.get("/sessions")
async def list_sessions(
    request: Request,
    deps: DepsIn,
    caller: CallerIn,
    agent_id: Annotated[str | None, Query(max_length=128)] = None,
    status: _ACCEPTED_STATUSES | None = None,
    after: After = None,
    limit: OptionalLimit = None,
) -> Response:
    """Newest first. `metadata.<key>=<value>` parameters must all match exactly. Without a limit 100, or up to 10,000
    where metadata is asked for, since clients read that without paging."""
    metadata = asked_metadata(request)
    if metadata is None:
        return _page([], 1)
    for value in (agent_id, after):
        require_storable(value or "", "query")
    most = limit or (UNPAGED if metadata else 100)
    found = await sessions.list_sessions(
        deps, caller, KIND, subject_id=agent_id, status=status, metadata=metadata, before=after, limit=most + 1
    )
    return _page(found, most)


def _page(found: list[Session], most: int) -> Response:
    page = found[:most]
    body: dict[str, Any] = responses.listing("sessions", [responses.session(s) for s in page])
    return json_response(body | {"has_more": len(found) > most, "next_after": page[-1].id if len(found) > most else None})


@routes.get("/sessions/{session_id}")
async def get(session_id: str, deps: DepsIn, caller: CallerIn) -> Response:
    return json_response(responses.session(await sessions.get_session(deps, caller, KIND, session_id)))


@routes.post("/sessions/{session_id}/cancel")
async def cancel(session_id: str, deps: DepsIn, caller: CallerIn) -> Response:
    """End the message that is under way and all that wait behind it. The session takes further ones."""
    return json_response(responses.session(await sessions.cancel(deps, caller, KIND, session_id)))


@routes.post("/sessions/{session_id}/fork", status_code=201)
async def fork(session_id: str, deps: DepsIn, caller: CallerIn, body: ForkFields | None = None) -> Response:
    """A new session that begins with the history of this one, up to the event `after`, and goes on from there."""
    try:
        made = await forking.fork(deps, caller, session_id, adapter.to_fork(session_id, body))
    except NotAtRest as error:
        nearest = f"the nearest earlier one is {event_id(session_id, error.nearest)}" if error.nearest else "there is no earlier one"
        said = f"after must be an event at which no message was under way: {nearest}"
        raise Conflict(said, field="after") from error
    return json_response(responses.session(made), 201)


@routes.delete("/sessions/{session_id}")
async def delete(session_id: str, deps: DepsIn, caller: CallerIn) -> Response:
    """Delete a session with its messages, events and costs, for good."""
    await sessions.delete(deps, caller, KIND, session_id)
    return json_response({"session_id": session_id, "deleted": True})


@routes.get("/sessions/{session_id}/events")
async def list_events(
    session_id: str, deps: DepsIn, caller: CallerIn, limit: Limit = 1000, after: After = None, order: Literal["asc", "desc"] = "asc"
) -> Response:
    start, backwards = sequence_number(session_id, after), order == "desc"
    before = 1 if backwards and after is not None and start == 0 else start
    session, found = await sessions.list_events(deps, caller, KIND, session_id, after=before, limit=limit + 1, newest_first=backwards)
    page, more = found[:limit], len(found) > limit
    # upwards there may always be new ones behind the last; downwards number 1 is the end
    following = None if backwards and not more else page[-1].seq if page else start
    events = [responses.event(event, session.subject_id or "") for event in page]
    return json_response({"events": events, "has_more": more, "next_after": following})


def sequence_number(session_id: str, after: str | None) -> int:
    """`after` is a sequence number or an event id of this session."""
    if after is None:
        return 0
    number = adapter.event_number(session_id, after)
    if number is None:
        raise Invalid("after must be a sequence number or the id of an event of this session", field="after")
    return number


@routes.get("/sessions/{session_id}/transcript")
async def transcript(session_id: str, deps: DepsIn, caller: CallerIn) -> Response:
    return json_response(responses.transcript(await agents.get_transcript(deps, caller, session_id)))


@routes.get("/costs/sessions/{session_id}")
async def bill(session_id: str, deps: DepsIn, caller: CallerIn) -> Response:
    return json_response(responses.bill(session_id, await sessions.get_bill(deps, caller, KIND, session_id)))
