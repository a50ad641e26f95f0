"""Streams: what a session tells, from any event on, and then as it happens (section 4.3 of the `dari` contract)."""

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Header, Request
from starlette.responses import Response

from passel.core.errors import Invalid, PasselError
from passel.faces.dari import responses
from passel.faces.dari.routes.sessions import sequence_number
from passel.faces.kit.context import AuthenticatorIn, CallerIn, DepsIn, FollowingIn
from passel.faces.kit.paging import After
from passel.faces.kit.sse import BEAT_SECONDS, EventStream, frame
from passel.services import sessions
from passel.services.agents.sessions import KIND
from passel.services.following import Following, follow
from passel.services.sessions import Session

routes = APIRouter(prefix="/v1", tags=["streams"])

LastEventId = Annotated[str | None, Header(alias="Last-Event-ID", max_length=200)]

_SSE = {200: {"description": "Server-sent events.", "content": {"text/event-stream": {"schema": {"type": "string"}}}}}


@routes.get("/sessions/{session_id}/stream", response_class=Response, responses={**_SSE})
async def session_stream(
    request: Request,
    session_id: str,
    deps: DepsIn,
    caller: CallerIn,
    following: FollowingIn,
    authenticator: AuthenticatorIn,
    after: After = None,
    last_event_id: LastEventId = None,
) -> Response:
    """The session's events from the one behind `Last-Event-ID` (or `after`; else from the first), then each as it is
    committed. Open for as long as the session can take messages."""
    session = await sessions.get_session(deps, caller, KIND, session_id)
    start = sequence_number(session_id, last_event_id if last_event_id is not None else after)
    if start > session.last_seq:
        raise Invalid(f"the session's last event is number {session.last_seq}", field="Last-Event-ID" if last_event_id else "after")

    async def may_go_on() -> bool:
        try:
            await authenticator.identify(request.headers.get("authorization", ""))
            return (await sessions.get_session(deps, caller, KIND, session_id)).status in ("idle", "running")
        except PasselError:
            return False

    return EventStream(_frames(following, session, start), may_go_on)


async def _frames(following: Following, session: Session, after: int) -> AsyncIterator[list[bytes]]:
    async for page in follow(following.bell, following.events, session.id, after, BEAT_SECONDS):
        told = [responses.event(event, session.subject_id or "") for event in page]
        yield [frame(body["id"], body["type"], body) for body in told]
