"""Sessions, their messages, events and transcripts."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Header, Query, Request
from starlette.responses import Response

from passel.core.content import require_storable
from passel.core.errors import Invalid, Unprocessable
from passel.faces.dari import adapter, responses
from passel.faces.dari.requests import (
    EventForm,
    EventsRequest,
    PartsRequest,
    SessionFields,
    StartRequest,
    ToolResultEvent,
    UserMessageEvent,
)
from passel.faces.dari.routes.bodies import parse
from passel.faces.dari.routes.paging import After, Limit
from passel.faces.kit.auth import current_caller
from passel.faces.kit.json import json_response
from passel.services import sessions
from passel.services.deps import Caller, Deps
from passel.services.sessions import Sent

IdempotencyKey = Annotated[str | None, Header(alias="Idempotency-Key", min_length=1, max_length=128)]

_EVENT_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "oneOf": [{"$ref": f"#/components/schemas/{form}"} for form in ("UserMessageEvent", "ToolResultEvent", "EventsRequest")]
                }
            }
        },
    }
}
_ACCEPTED_STATUSES = Literal["idle", "running", "failed", "expired", "active", "completed"]


def router(deps: Deps) -> APIRouter:
    routes = APIRouter(prefix="/v1", tags=["sessions"])
    caller = Depends(current_caller)

    @routes.post("/agents/{agent_id}/sessions", status_code=201)
    async def create(agent_id: str, body: SessionFields | None = None, caller: Caller = caller) -> Response:
        session = await sessions.create_session(deps, caller, agent_id, adapter.to_session(body))
        return json_response(responses.session(session), 201)

    @routes.get("/agents/{agent_id}/sessions")
    async def list_of_agent(agent_id: str, after: After = None, limit: Limit = 100, caller: Caller = caller) -> Response:
        found = await sessions.list_agent_sessions(deps, caller, agent_id, after, limit)
        return json_response(responses.listing("sessions", [responses.session(s) for s in found]))

    @routes.post("/agents/{agent_id}/messages", status_code=202)
    async def start(agent_id: str, body: StartRequest, idempotency_key: IdempotencyKey = None, caller: Caller = caller) -> Response:
        message = adapter.to_message(body.content, body.metadata)
        request = adapter.to_session(body.session)
        return _sent(await sessions.start_session(deps, caller, agent_id, request, message, idempotency_key))

    @routes.get("/sessions")
    async def list_sessions(
        request: Request,
        agent_id: Annotated[str | None, Query(max_length=128)] = None,
        status: _ACCEPTED_STATUSES | None = None,
        after: After = None,
        limit: Limit = 100,
        caller: Caller = caller,
    ) -> Response:
        """Newest first. `metadata.<key>=<value>` parameters must all match exactly."""
        wanted = {(k.removeprefix("metadata."), v) for k, v in request.query_params.multi_items() if k.startswith("metadata.")}
        metadata = dict(wanted)
        if len(metadata) < len(wanted):
            return json_response(responses.listing("sessions", []))  # nothing has two values under one key
        for key, value in metadata.items():
            require_storable(key + value, "metadata")
        for value in (agent_id, after):
            require_storable(value or "", "query")
        found = await sessions.list_sessions(deps, caller, agent_id=agent_id, status=status, metadata=metadata, before=after, limit=limit)
        return json_response(responses.listing("sessions", [responses.session(s) for s in found]))

    @routes.get("/sessions/{session_id}")
    async def get(session_id: str, caller: Caller = caller) -> Response:
        return json_response(responses.session(await sessions.get_session(deps, caller, session_id)))

    @routes.post("/sessions/{session_id}/events", status_code=202, openapi_extra=_EVENT_BODY)
    async def send(request: Request, session_id: str, idempotency_key: IdempotencyKey = None, caller: Caller = caller) -> Response:
        """One event: a user's message. The form of before May 2026, a list of one, is taken too."""
        raw = await request.body()
        event, old_form = _parse_event(raw)
        if isinstance(event, ToolResultEvent):
            await sessions.get_session(deps, caller, session_id)
            raise Unprocessable(
                "tool.result_submitted: agents have no tools on this server yet, so no call waits for a result", field="type"
            )
        message = adapter.to_message(event.content, event.metadata)
        return _sent(await sessions.send_message(deps, caller, session_id, message, idempotency_key), old_form=old_form)

    @routes.post("/sessions/{session_id}/messages", status_code=202)
    async def send_parts(session_id: str, body: PartsRequest, idempotency_key: IdempotencyKey = None, caller: Caller = caller) -> Response:
        """The form of March 2026."""
        message = adapter.to_message(body.parts, body.metadata)
        sent = await sessions.send_message(deps, caller, session_id, message, idempotency_key)
        return json_response(responses.queued_message(sent), 202, _replayed(sent))

    @routes.get("/sessions/{session_id}/messages")
    async def list_messages(session_id: str, caller: Caller = caller) -> Response:
        found = await sessions.list_messages(deps, caller, session_id)
        return json_response(responses.listing("messages", [responses.message(m) for m in found]))

    @routes.get("/messages/{message_id}")
    async def get_message(message_id: str, caller: Caller = caller) -> Response:
        return json_response(responses.message(await sessions.get_message(deps, caller, message_id)))

    @routes.get("/sessions/{session_id}/events")
    async def list_events(
        session_id: str, limit: Limit = 1000, after: After = None, order: Literal["asc", "desc"] = "asc", caller: Caller = caller
    ) -> Response:
        start, backwards = _sequence_number(session_id, after), order == "desc"
        session, found = await sessions.list_events(
            deps,
            caller,
            session_id,
            after=1 if backwards and after is not None and start == 0 else start,
            limit=limit + 1,
            newest_first=backwards,
        )
        page, more = found[:limit], len(found) > limit
        # upwards there may always be new ones behind the last; downwards number 1 is the end
        following = None if backwards and not more else page[-1].seq if page else start
        body = {
            "events": [responses.event(event, session.agent_id) for event in page],
            "has_more": more,
            "next_after": following,
        }
        return json_response(body)

    @routes.get("/sessions/{session_id}/transcript")
    async def transcript(session_id: str, caller: Caller = caller) -> Response:
        return json_response(responses.transcript(await sessions.get_transcript(deps, caller, session_id)))

    @routes.get("/costs/sessions/{session_id}")
    async def bill(session_id: str, caller: Caller = caller) -> Response:
        return json_response(responses.bill(session_id, await sessions.get_bill(deps, caller, session_id)))

    return routes


def _parse_event(raw: bytes) -> tuple[UserMessageEvent | ToolResultEvent, bool]:
    """The event, and whether it came in the old form. What is there decides, so that errors speak of one form only."""
    form = parse(EventForm, raw)
    if form.events is not None:
        return parse(EventsRequest, raw).events[0], True
    if form.type == "tool.result_submitted":
        return parse(ToolResultEvent, raw), False
    return parse(UserMessageEvent, raw), False


def _sent(sent: Sent, *, old_form: bool = False) -> Response:
    body: dict[str, Any] = responses.sent(sent)
    if old_form:
        body["events"] = [body["event"]]
    return json_response(body, 202, _replayed(sent))


def _replayed(sent: Sent) -> dict[str, str] | None:
    return {"Idempotency-Replayed": "true"} if sent.replayed else None


def _sequence_number(session_id: str, after: str | None) -> int:
    """`after` is a sequence number or an event id of this session."""
    if after is None:
        return 0
    number = after.removeprefix(f"{session_id}:").removeprefix("evt_")
    if not number.isascii() or not number.isdigit() or int(number) >= 2**31:
        raise Invalid("after must be a sequence number or the id of an event of this session", field="after")
    return int(number)
