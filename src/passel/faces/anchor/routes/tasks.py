"""Web tasks (2.8 of the `anchor` contract): a model drives a session until something is done."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Header, Query, Request
from pydantic import Field
from starlette.responses import Response

from passel.core.browser.guard import url_problem
from passel.core.browser.tasks import FAILED, MOST_STEPS
from passel.core.errors import FieldError, Invalid, NotFound, PasselError, Unavailable
from passel.core.events import Event
from passel.core.schemas import schema_problem
from passel.core.text import is_storable, require_storable
from passel.faces.anchor import ids, requests, responses
from passel.faces.anchor.context import ReachIn
from passel.faces.anchor.errors import error
from passel.faces.anchor.openapi import takes
from passel.faces.anchor.requests import Body, parse
from passel.faces.kit.context import AuthenticatorIn, CallerIn, DepsIn, FollowingIn
from passel.faces.kit.json import json_response
from passel.faces.kit.sse import EventStream, frame
from passel.services.browser import tasks
from passel.services.browser.tasks import Wanted

routes = APIRouter(prefix="/v1/tools", tags=["tools"])

_LONGEST_PROMPT, _LONGEST_SCHEMA = 100_000, 64 * 1024
_MOST_SECRETS, _LONGEST_SECRET = 100, 4096
_OWN = "browser-use"
_CLIENT_GONE = 499
_SSE: dict[int | str, dict[str, Any]] = {
    200: {"description": "Server-sent events.", "content": {"text/event-stream": {"schema": {"type": "string"}}}},
    204: {"description": "There will be no more events."},
}
SessionId = Annotated[str | None, Query(alias="sessionId")]
SecretName = Annotated[str, Field(pattern=r"^[^<>\x00-\x1f\x7f]{1,200}$")]


class WebTaskFields(Body):
    prompt: str = Field(min_length=1, max_length=_LONGEST_PROMPT)
    url: str | None = Field(None, max_length=2**20)
    agent: Literal["browser-use", "openai-cua", "gemini-computer-use", "anthropic-cua", "yutori"] | None = None
    provider: str | None = None
    model: str | None = None
    detect_elements: bool | None = None
    human_intervention: bool | None = None
    max_steps: int | None = Field(None, ge=1, le=1000)
    secret_values: dict[SecretName, str | int | float | bool] | None = Field(None, repr=False, max_length=_MOST_SECRETS)
    highlight_elements: bool | None = None
    output_schema: dict[str, Any] | None = None
    in_background: bool = Field(False, alias="async")
    extended_system_message: str | None = Field(None, max_length=_LONGEST_PROMPT)


@routes.post("/perform-web-task", openapi_extra=takes(WebTaskFields))
async def perform_web_task(
    request: Request, deps: DepsIn, caller: CallerIn, following: FollowingIn, reach: ReachIn, sessionId: SessionId = None
) -> Response:
    """Waits until the task is done, unless `async`. 501 where the server has no model for it, 500 where the task has failed."""
    fields: WebTaskFields = parse(WebTaskFields, await requests.read_body(request))
    wanted, warnings = _wanted(fields)
    begun = await tasks.begin(deps, caller, following, reach, None if sessionId is None else ids.session_id(sessionId), wanted)
    told: dict[str, Any] = {"workflow_id": ids.workflow_id(begun.session_id, begun.number), "session_id": ids.to_uuid(begun.session_id)}
    told |= {"warnings": warnings} if warnings else {}
    if fields.in_background:
        return json_response(responses.data({"status": "running", **told}))
    ended = await tasks.outcome(deps, caller, following, begun, request.is_disconnected)
    if ended is None:
        return error(_CLIENT_GONE, "nobody waits any more")
    if ended.status == FAILED:
        return error(500, ended.error or "the task has failed")
    return json_response(responses.data({"result": responses.task_result(ended), **told, **responses.task_used(ended)}))


@routes.get("/perform-web-task/{workflow_id}/status")
async def web_task_status(workflow_id: str, deps: DepsIn, caller: CallerIn) -> Response:
    """`RUNNING`, `COMPLETED` with the result, or `FAILED` with the reason; how many steps it has made and what its model has cost."""
    if (found := ids.task_of(workflow_id)) is None:
        raise NotFound("no such task")
    return json_response(responses.data(responses.task(await tasks.read(deps, caller, *found))))


@routes.get("/perform-web-task/{workflow_id}/events", response_class=Response, responses=_SSE)
async def web_task_events(
    request: Request,
    workflow_id: str,
    deps: DepsIn,
    caller: CallerIn,
    following: FollowingIn,
    authenticator: AuthenticatorIn,
    last_event_id: Annotated[str | None, Header(alias="Last-Event-ID", pattern=r"^[0-9]{1,9}$")] = None,
) -> Response:
    """Ours: its steps as server-sent events, from the first, or from behind `Last-Event-ID`, and then as they happen, until it ends. 204
    behind the last one."""
    if (found := ids.task_of(workflow_id)) is None:
        raise NotFound("no such task")
    after = int(last_event_id or 0)
    if await tasks.is_told(deps, caller, *found, after):
        return Response(status_code=204)
    key = request.headers["authorization"]

    async def allowed_still() -> bool:
        try:
            return (await authenticator.identify(key)).org_id == caller.org_id
        except PasselError as error:
            return isinstance(error, Unavailable)  # for as long as the database is away

    return EventStream(_frames(tasks.events(following, *found, after)), allowed_still, following.heartbeat)


async def _frames(pages: AsyncGenerator[list[Event]]) -> AsyncGenerator[list[bytes]]:
    async with aclosing(pages):
        async for page in pages:
            yield [frame(str(event.seq), event.type, event.data) for event in page]


@routes.delete("/perform-web-task/{workflow_id}")
async def stop_web_task(workflow_id: str, deps: DepsIn, caller: CallerIn, reach: ReachIn) -> Response:
    """Ours: it goes no further, and has failed as `cancelled`. Its session goes on, unless it was made for it. 409 once it has ended."""
    if (found := ids.task_of(workflow_id)) is None:
        raise NotFound("no such task")
    return json_response(responses.data(responses.task(await tasks.stop(deps, caller, reach, *found))))


def _wanted(fields: WebTaskFields) -> tuple[Wanted, list[str]]:
    """And what of it has no effect. Raises `Invalid`."""
    _refuse_what_is_not_served(fields)
    for name in ("prompt", "url", "extended_system_message"):
        require_storable(getattr(fields, name) or "", name)
    if not fields.prompt.strip():
        raise _wrong("prompt", "must not be empty")
    if fields.url and (problem := url_problem(fields.url)) is not None:
        raise _wrong("url", problem)
    wanted = Wanted(
        prompt=fields.prompt,
        url=fields.url or None,
        provider=fields.provider,
        model=fields.model,
        instructions=fields.extended_system_message or "",
        max_steps=fields.max_steps or MOST_STEPS,
        output_schema=_schema(fields.output_schema),
        secrets=_secrets(fields.secret_values or {}),
        highlight=bool(fields.highlight_elements),
    )
    warnings = [f"{name}: unknown, ignored" for name in fields.model_extra or {}]
    if fields.detect_elements is False:
        warnings.append("detect_elements: elements are always found")
    return wanted, warnings


def _refuse_what_is_not_served(fields: WebTaskFields) -> None:
    """D3."""
    if fields.agent not in (None, _OWN):
        raise _wrong("agent", f"{fields.agent} is not supported by this server, whose own agent is asked for with {_OWN} or none")
    if fields.human_intervention:
        raise _wrong("human_intervention", "is not supported by this server: take over in the live view")


def _schema(given: dict[str, Any] | None) -> dict[str, Any] | None:
    if not given:
        return None
    if (problem := schema_problem(given)) is not None:
        raise _wrong("output_schema", f"is no JSON Schema: {problem}")
    told = repr(given)
    if len(told) > _LONGEST_SCHEMA or not is_storable(told):
        raise _wrong("output_schema", f"at most {_LONGEST_SCHEMA} characters, none of them NUL")
    return given


def _secrets(given: dict[str, str | int | float | bool]) -> dict[str, str]:
    values = {
        name: value if isinstance(value, str) else str(value).lower() if isinstance(value, bool) else str(value)
        for name, value in given.items()
    }
    for name, value in values.items():
        require_storable(name, "secret_values")
        if not 0 < len(value) <= _LONGEST_SECRET or not is_storable(value):
            raise _wrong(f"secret_values.{name}", f"1 to {_LONGEST_SECRET} characters")
    return values


def _wrong(field: str, message: str) -> Invalid:
    return Invalid(f"{field}: {message}", errors=[FieldError(field, message)])
