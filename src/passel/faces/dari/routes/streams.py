"""Streams: what a session tells, from any event on, and then as it happens (section 4.3 of the `dari` contract)."""

import re
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import Annotated, Literal

from fastapi import APIRouter, Header, Query, Request
from starlette.responses import Response

from passel.core.errors import Invalid, PasselError, Unavailable
from passel.core.ids import BatchId, OrgId
from passel.core.org_ledger import Place, Wanted
from passel.faces.dari import responses
from passel.faces.dari.events import LEDGER_TYPES
from passel.faces.dari.routes.sessions import sequence_number
from passel.faces.kit.auth import Authenticator
from passel.faces.kit.context import AuthenticatorIn, CallerIn, DepsIn, FirehoseIn, FollowingIn
from passel.faces.kit.metadata import asked_metadata
from passel.faces.kit.paging import After
from passel.faces.kit.sse import EventStream, frame, mark
from passel.services import batches, sessions
from passel.services.agents import publishing
from passel.services.agents.sessions import KIND
from passel.services.firehose import Firehose
from passel.services.following import Following
from passel.services.sessions import Session

routes = APIRouter(prefix="/v1", tags=["streams"])

LastEventId = Annotated[str | None, Header(alias="Last-Event-ID", max_length=200)]

_OPEN = ("idle", "running")
_ENDED = ("completed", "failed", "partial_failed")
_KINDS = (KIND, "verification")  # what clients have asked for; deliveries have a log of their own
_SSE = {
    200: {"description": "Server-sent events.", "content": {"text/event-stream": {"schema": {"type": "string"}}}},
    204: {"description": "There will be no more events."},
}


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
    committed. Open for as long as the session can take messages; 204 when there will be no more events."""
    session = await sessions.get_session(deps, caller, KIND, session_id)
    start = _start(session_id, session.last_seq, last_event_id, after)

    if session.status not in _OPEN and start == session.last_seq:
        return Response(status_code=204)

    async def open_still() -> bool:
        return (await sessions.get_session(deps, caller, KIND, session_id)).status in _OPEN

    return EventStream(_events(following, session, start), _allowed(request, authenticator, following, open_still), following.heartbeat)


@routes.get("/session-batches/{batch_id}/stream", response_class=Response, responses={**_SSE})
async def batch_stream(
    request: Request,
    batch_id: str,
    deps: DepsIn,
    caller: CallerIn,
    following: FollowingIn,
    authenticator: AuthenticatorIn,
    after: After = None,
    last_event_id: LastEventId = None,
    follow: bool = False,
) -> Response:
    """Every transition of an item with the counts after it, and of the batch's status, from the first on or from behind
    `Last-Event-ID` or `after`. Ends with the batch, and is 204 behind the last event of one that has ended, unless `follow` asks to wait for its retries and growth."""
    batch = await batches.get(deps, caller, KIND, batch_id)
    start = _start(batch_id, batch.last_event, last_event_id, after)

    if not follow and batch.status in _ENDED and start == batch.last_event:
        return Response(status_code=204)

    async def there_still() -> bool:
        await batches.get(deps, caller, KIND, batch_id)
        return True

    return EventStream(
        _entries(following, batch.id, start, until_ended=not follow),
        _allowed(request, authenticator, following, there_still),
        following.heartbeat,
    )


@routes.get("/events/stream", response_class=Response, responses={**_SSE})
async def event_stream(
    request: Request,
    deps: DepsIn,
    caller: CallerIn,
    following: FollowingIn,
    firehose: FirehoseIn,
    authenticator: AuthenticatorIn,
    kind: Annotated[
        list[Literal["agent", "verification"]] | None, Query(description="Only of sessions and batches of these kinds of work.")
    ] = None,
    batch_id: Annotated[str | None, Query(max_length=128, description="Only of this batch and its sessions.")] = None,
    agent_id: Annotated[str | None, Query(max_length=128, description="Only of sessions with this agent.")] = None,
    type: Annotated[list[str] | None, Query(description="Only events of these types.")] = None,
    after: After = None,
    last_event_id: LastEventId = None,
) -> Response:
    """Everything that is told in the organisation, from now on or from behind `Last-Event-ID` or `after`: each event as its
    session's or batch's own stream has it, with `kind`, `agent_id`, `batch_id` and `metadata`. Of one session, and of one
    batch, in their order. `after=0` begins with the oldest that is kept. `metadata.<key>=<value>` parameters must all match."""
    metadata = asked_metadata(request)
    if metadata is None:
        raise Invalid("metadata has one value for each key", field="metadata")
    own = None
    if batch_id is not None:
        own = (await batches.get_any(deps, caller, _KINDS, batch_id)).id
    if agent_id is not None:
        await publishing.get_agent(deps, caller, agent_id)
    types = [_ledger_type(one) for one in type] if type is not None else None
    wanted = Wanted(kind or _KINDS, own, agent_id, metadata or None, types)
    start = await firehose.start(_place(caller.org_id, last_event_id, after))

    async def allowed_still() -> bool:
        return True

    return EventStream(
        _org_entries(firehose, caller.org_id, start, wanted),
        _allowed(request, authenticator, following, allowed_still),
        following.heartbeat,
    )


async def _org_entries(firehose: Firehose, org_id: OrgId, start: Place, wanted: Wanted) -> AsyncGenerator[list[bytes]]:
    async with aclosing(firehose.follow(org_id, start, wanted)) as pages:
        async for page in pages:
            told = ((entry, responses.org_entry(entry)) for entry in page.entries)
            frames = [frame(_place_id(org_id, entry.place), body["type"], body) for entry, body in told]
            yield frames or [mark(_place_id(org_id, page.place))]


def _ledger_type(wire_type: str) -> str:
    if wire_type not in LEDGER_TYPES:
        raise Invalid(f"there is no event of the type {wire_type}: there are {', '.join(LEDGER_TYPES)}", field="type")
    return LEDGER_TYPES[wire_type]


def _place_id(org_id: OrgId, place: Place) -> str:
    return f"{org_id}:{place.n}.{place.k}"


def _place(org_id: OrgId, last_event_id: str | None, after: str | None) -> Place | None:
    """The place behind which the organisation's stream begins; the header wins. None: from now on."""
    given = last_event_id if last_event_id is not None else after
    if given is None:
        return None
    known = re.fullmatch(r"(?:(?P<org>[^:]*):)?(?P<n>\d{1,18})(?:\.(?P<k>\d{1,9}))?", given)
    if known is None or known["org"] not in (None, org_id):
        field = "Last-Event-ID" if last_event_id is not None else "after"
        raise Invalid(f"{field} must be an id that this stream gave, or 0 for the oldest event that is kept", field=field)
    return Place(int(known["n"]), int(known["k"] or 0))


def _start(id: str, last: int, last_event_id: str | None, after: str | None) -> int:
    """The number behind which a stream begins; the header wins (decision 68 of the `dari` contract)."""
    start = sequence_number(id, last_event_id if last_event_id is not None else after)
    if start > last:
        raise Invalid(f"the last event of {id} is number {last}", field="Last-Event-ID" if last_event_id is not None else "after")
    return start


def _allowed(
    request: Request, authenticator: Authenticator, following: Following, open_still: Callable[[], Awaitable[bool]]
) -> Callable[[], Awaitable[bool]]:
    """Whether a stream may go on: its key is good, and what it follows is there."""

    async def may_go_on() -> bool:
        try:
            await authenticator.identify(request.headers.get("authorization", ""))
            return await following.outlast(open_still)
        except Unavailable:
            return True  # an outage of the database ends no stream
        except PasselError:
            return False

    return may_go_on


async def _entries(following: Following, batch_id: BatchId, after: int, *, until_ended: bool) -> AsyncGenerator[list[bytes]]:
    async with aclosing(following.batch(batch_id, after)) as pages:
        async for page in pages:
            told = [responses.batch_entry(entry) for entry in page]
            yield [frame(body["id"], body["type"], body) for body in told]
            if until_ended and page and page[-1].status in _ENDED and not await following.more_of_batch(batch_id, page[-1].seq):
                return


async def _events(following: Following, session: Session, after: int) -> AsyncGenerator[list[bytes]]:
    async with aclosing(following.session(session.id, after)) as pages:
        async for page in pages:
            told = [responses.event(event, session.subject_id or "") for event in page]
            yield [frame(body["id"], body["type"], body) for body in told]
