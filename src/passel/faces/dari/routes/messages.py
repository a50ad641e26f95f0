"""Sending messages to agents, and reading them, in the forms of three eras."""

import re
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request
from starlette.responses import Response

from passel.core.errors import Invalid
from passel.core.text import require_storable
from passel.faces.dari import adapter, responses
from passel.faces.dari.requests import EventForm, EventsRequest, PartsRequest, StartRequest, ToolResultEvent, UserMessageEvent
from passel.faces.dari.routes.bodies import parse
from passel.faces.kit.context import AnsweringIn, CallerIn, DepsIn
from passel.faces.kit.json import json_response
from passel.faces.kit.paging import Limit
from passel.services.agents import answers, publishing
from passel.services.agents import sessions as agents
from passel.services.agents.answers import ToolAnswer
from passel.services.sessions import Sent

routes = APIRouter(prefix="/v1", tags=["messages"])

IdempotencyKey = Annotated[str | None, Header(alias="Idempotency-Key", min_length=1, max_length=128)]

_FORMS = [{"$ref": f"#/components/schemas/{form}"} for form in ("UserMessageEvent", "ToolResultEvent", "EventsRequest")]
_EVENT_BODY = {"requestBody": {"required": True, "content": {"application/json": {"schema": {"oneOf": _FORMS}}}}}


@routes.post("/agents/{agent_id}/messages", status_code=202)
async def start(agent_id: str, body: StartRequest, deps: DepsIn, caller: CallerIn, idempotency_key: IdempotencyKey = None) -> Response:
    """A new session with its first message."""
    message = adapter.to_message(body.content, body.metadata)
    request = adapter.to_session(body.session, "session.")
    return _sent(await agents.start_session(deps, caller, agent_id, request, message, idempotency_key))


@routes.get("/tool-calls")
async def open_calls(
    deps: DepsIn,
    caller: CallerIn,
    agent_id: Annotated[str | None, Query(max_length=128)] = None,
    tool_name: Annotated[list[str] | None, Query(description="Only calls of these tools.")] = None,
    after: Annotated[str | None, Query(max_length=200, description="The `next_after` of the page before.")] = None,
    limit: Limit = 100,
) -> Response:
    """Calls that wait for a client's answer, those of the oldest messages first."""
    if agent_id is not None:
        await publishing.get_agent(deps, caller, agent_id)
    for name in tool_name or ():
        require_storable(name, "tool_name")
    found = await answers.list_open(deps, caller, agent_id=agent_id, names=tool_name, after=_behind(after), limit=limit + 1)
    page = found[:limit]
    following = f"{page[-1].message_id}:{page[-1].seq}" if len(found) > limit else None
    return json_response(
        {"tool_calls": [responses.open_call(call) for call in page], "has_more": following is not None, "next_after": following}
    )


def _behind(after: str | None) -> tuple[str, int]:
    if after is None:
        return "", 0
    known = re.fullmatch(r"(msg_[0-9a-z]+):(\d{1,9})", after)
    if known is None:
        raise Invalid("after must be what next_after of the page before says", field="after")
    return known[1], int(known[2])


@routes.post("/sessions/{session_id}/events", status_code=202, openapi_extra=_EVENT_BODY)
async def send(
    request: Request,
    session_id: str,
    deps: DepsIn,
    caller: CallerIn,
    answering: AnsweringIn,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """One event: a user's message, or the answer to a tool call. The form of before May 2026, a list of one, is taken too."""
    event, old_form = _parse_event(await request.body())
    if isinstance(event, ToolResultEvent):
        answer = ToolAnswer(event.message_id, event.tool_call_id, event.result, event.is_error)
        return _sent(await answering.submit(caller, session_id, answer, idempotency_key))
    message = adapter.to_message(event.content, event.metadata, "events[0].content" if old_form else "content")
    return _sent(await agents.send_message(deps, caller, session_id, message, idempotency_key), old_form=old_form)


@routes.post("/sessions/{session_id}/messages", status_code=202)
async def send_parts(
    session_id: str, body: PartsRequest, deps: DepsIn, caller: CallerIn, idempotency_key: IdempotencyKey = None
) -> Response:
    """The form of March 2026."""
    message = adapter.to_message(body.parts, body.metadata, "parts")
    sent = await agents.send_message(deps, caller, session_id, message, idempotency_key)
    return json_response(responses.queued_message(sent), 202, _replayed(sent))


@routes.get("/sessions/{session_id}/messages")
async def list_messages(session_id: str, deps: DepsIn, caller: CallerIn) -> Response:
    found = await agents.list_messages(deps, caller, session_id)
    return json_response(responses.listing("messages", [responses.message(m) for m in found]))


@routes.get("/messages/{message_id}")
async def get_message(message_id: str, deps: DepsIn, caller: CallerIn) -> Response:
    return json_response(responses.message(await agents.get_message(deps, caller, message_id)))


@routes.post("/messages/{message_id}/cancel")
async def cancel(message_id: str, deps: DepsIn, caller: CallerIn) -> Response:
    """End a message that has not ended: it fails with `cancelled`. One that has ended stays what it is."""
    return json_response(responses.message(await agents.cancel_message(deps, caller, message_id)))


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
