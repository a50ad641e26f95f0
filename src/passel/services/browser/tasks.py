"""Web tasks: begun on a session that is there or on one that is made for it, waited for, and read from the session's ledger."""

import base64
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from passel.core.browser import tasks
from passel.core.browser.configuration import Configuration
from passel.core.browser.tasks import MOST_STEPS, TaskRead, WebTask
from passel.core.errors import Conflict, NotFound, Unavailable
from passel.core.events import MESSAGE_STATE, Event
from passel.core.ids import SessionId
from passel.core.states import ENDED
from passel.services.browser import models, sessions
from passel.services.browser.reach import Reach
from passel.services.browser.requests import BrowserRequest
from passel.services.browser.sessions import BrowserSession
from passel.services.deps import Caller, Deps
from passel.services.following import Following

_TAG = "task"
_SPARE_MINUTES = 2.0


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a client asks for."""

    prompt: str
    url: str | None = None
    provider: str | None = None
    model: str | None = None
    instructions: str = ""
    max_steps: int = MOST_STEPS
    output_schema: dict[str, Any] | None = None
    secrets: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    highlight: bool = False


@dataclass(frozen=True, slots=True)
class Begun:
    """`number` is the task's in its session."""

    session_id: SessionId
    number: int


async def begin(deps: Deps, caller: Caller, following: Following, reach: Reach, id: str | None, wanted: Wanted) -> Begun:
    """It is in the session's ledger when this returns. A session that is made for it ends with it, whatever becomes of this process.
    Raises what `models.choose` and `sessions.ask` raise, `Conflict` where a task of the session runs, and `Unavailable`."""
    found = None if id is None else await sessions.get(deps, caller, id)
    option = await models.choose(deps, caller.org_id, wanted.provider, wanted.model)
    rules = deps.web_tasks
    task = WebTask(
        prompt=wanted.prompt,
        option=option,
        url=wanted.url,
        instructions=wanted.instructions,
        max_steps=wanted.max_steps,
        seconds=rules.minutes * 60,
        tokens=rules.tokens,
        output_schema=wanted.output_schema,
        secrets=dict(wanted.secrets),
        ends_session=found is None,
        highlight=wanted.highlight,
    )
    if found is not None:
        return await _ask(deps, caller, reach, found.id, task)
    made = await _make(deps, caller, following, reach)
    try:
        return await _ask(deps, caller, reach, made, task)
    except BaseException:
        await sessions.end(deps, caller, reach, made)
        raise


async def _ask(deps: Deps, caller: Caller, reach: Reach, id: SessionId, task: WebTask) -> Begun:
    sealed = deps.vault.seal(task.secrets, f"{tasks.SEALED_FOR}/{id}")
    asked = {"wanted": task.to_json(), "secrets": base64.b64encode(sealed).decode()}
    told = await sessions.ask(deps, caller, reach, id, "task", asked)
    return Begun(id, told["task"])


async def _make(deps: Deps, caller: Caller, following: Following, reach: Reach) -> SessionId:
    """Where its task is never begun, it ends as idle."""
    configuration = Configuration(tags=(_TAG,), idle_minutes=1.0, max_minutes=deps.web_tasks.minutes + _SPARE_MINUTES)
    begun = (await sessions.create(deps, caller, BrowserRequest(configuration))).session
    found = await sessions.wait_ready(deps, caller, following, begun.id)
    if found.address is None:
        await sessions.end(deps, caller, reach, begun.id)
        raise Unavailable(f"no browser was there in time{f': {found.message.error}' if found.message.error else ''}")
    return begun.id


async def outcome(deps: Deps, caller: Caller, following: Following, begun: Begun, gone: Callable[[], Awaitable[bool]]) -> TaskRead | None:
    """Once it has ended. None where whoever waits has `gone`: the task goes on. Raises `Unavailable` where this process ends."""
    async for page in following.session(begun.session_id, 0):
        if any(_is_end(event.type, event.data, begun.number) for event in page):
            return await read(deps, caller, begun.session_id, begun.number)
        if not page and await gone():
            return None
    raise Unavailable("this server is about to stop; the task goes on")


def _is_end(type: str, data: Mapping[str, Any], number: int) -> bool:
    """Of the task, or of its session."""
    return (type == tasks.ENDED and data["task"] == number) or (type == MESSAGE_STATE and data["state"] in ENDED)


async def is_told(deps: Deps, caller: Caller, id: str, number: int, after: int) -> bool:
    """Whether nothing more will be said of a task behind number `after`. Raises `NotFound` and `Forbidden`."""
    if (await read(deps, caller, id, number)).status == tasks.RUNNING:
        return False
    ledger = (await sessions.get(deps, caller, id)).ledger
    return all(event.seq <= after for event in ledger if event.type in tasks.TOLD and event.data["task"] == number)


async def events(following: Following, id: str, number: int, after: int) -> AsyncGenerator[list[Event]]:
    """What a session's ledger says of a task behind number `after`, then as it is told; a page may be empty, as a sign of life. Ends with
    the task, or its session."""
    async for page in following.session(SessionId(id), after):
        own = [event for event in page if event.data.get("task") == number and event.type in tasks.TOLD]
        yield own
        if any(_is_end(event.type, event.data, number) for event in page):
            return


async def stop(deps: Deps, caller: Caller, reach: Reach, id: str, number: int) -> TaskRead:
    """What was done stays done, and a session that was made for it ends. Raises `NotFound`, `Forbidden`, and `Conflict` for one that has
    ended."""
    if (await read(deps, caller, id, number)).status != tasks.RUNNING:
        raise Conflict("this task has ended")
    await sessions.ask(deps, caller, reach, id, "stop_task", {"task": number})
    return await read(deps, caller, id, number)


async def read(deps: Deps, caller: Caller, id: str, number: int) -> TaskRead:
    """Raises `NotFound` and `Forbidden`."""
    found = await sessions.get(deps, caller, id)
    told = tasks.read(found.ledger, number, _over(found))
    if told is None:
        raise NotFound("no such task")
    return told


def _over(found: BrowserSession) -> str | None:
    """Why the session has ended."""
    if found.end is None:
        return None
    reason, error = found.end["end_reason"], found.end["error"]
    return f"{reason}: {error}" if error else reason
