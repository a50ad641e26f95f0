"""Forking a conversation: a session of the same version and options that begins with the history of another one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from passel.core import forking as folds
from passel.core.agent.spec import SessionSpec
from passel.core.errors import Conflict, NotFound, Unprocessable
from passel.core.events import IDLE, MESSAGE_REQUESTED, Event, session_state
from passel.core.ids import MessageId, SessionId
from passel.core.states import RUNNING
from passel.services import files, sessions
from passel.services.agents import checks
from passel.services.agents.sessions import KIND
from passel.services.deps import Caller, Deps
from passel.store import agents as agent_store
from passel.store import forking as store
from passel.store.database import WriteConnection
from passel.store.forking import Original
from passel.store.sessions import NewSession, Session


@dataclass(frozen=True, slots=True)
class ForkRequest:
    """`after` is the number of the last event to take over; None takes the whole history. Without a name or metadata the
    original's are kept."""

    after: int | None = None
    name: str | None = None
    metadata: dict[str, str] | None = None


class NotAtRest(Conflict):
    """A message was under way at the place; `nearest` is the last one before it where none was, 0 when there is none."""

    def __init__(self, nearest: int) -> None:
        super().__init__(f"a message was under way there; the nearest earlier place to fork at is event {nearest}", field="after")
        self.nearest = nearest


async def fork(deps: Deps, caller: Caller, session_id: str, request: ForkRequest) -> Session:
    """A new session that goes on where the other one was after that event. Raises `NotAtRest` when a message was under
    way there."""
    checks.require(checks.metadata_problems(request.metadata or {}, deps.limits))
    async with deps.db.write() as c:
        session = await sessions.own(deps, caller, c, KIND, session_id)
        agent = await agent_store.lock_agent(c, session.subject_id or "")
        if agent is None or agent.deleted_at:
            raise Conflict("the agent of this session is deleted; the session can only be read")
        original = await store.hold_session(c, session_id)
        if original is None:
            raise NotFound("no such session")  # it was deleted meanwhile
        new = _new_session(deps, original, request)
        await _copy(deps, c, original, new, _place(original, request.after))
        return await sessions.own(deps, caller, c, KIND, new.id)


def _place(original: Original, after: int | None) -> int:
    if after is not None and after > original.last_seq:
        raise Unprocessable(f"after names event {after}, and the session has {original.last_seq}: name one of these", field="after")
    return original.last_seq if after is None else after


def _new_session(deps: Deps, original: Original, request: ForkRequest) -> NewSession:
    session_id = deps.ids.session()
    secrets = None if original.secrets is None else deps.vault.seal(deps.vault.open(original.secrets, original.id), session_id)
    spec = replace(SessionSpec.from_json(original.spec), follow_up=None).to_json()  # that was the batch's
    return NewSession(
        original.org_id, session_id, original.kind, original.subject_id, spec,
        original.name if request.name is None else request.name,
        original.metadata if request.metadata is None else request.metadata,
        original.lane, secrets, deps.now(),
    )  # fmt: skip


async def _copy(deps: Deps, c: WriteConnection, original: Original, new: NewSession, upto: int) -> None:
    told = await store.read_history(c, original.id, upto)
    rest = folds.last_rest(told)
    if rest < upto:
        raise NotAtRest(rest)
    requests = [event for event in told if event.type == MESSAGE_REQUESTED]
    copies = {event.message_id: deps.ids.message() for event in requests if event.message_id is not None}
    await store.insert_fork(c, new, original, upto, _history(told, new.id, copies, deps.now()), copies)
    named = {file_id for event in requests for file_id in files.named_files(event.data["content"])}
    await files.use(c, new.org_id, named, new.id)  # held by the original's uses, which cannot go before this is done


def _history(told: Sequence[Event], session_id: SessionId, copies: Mapping[MessageId, MessageId], now: datetime) -> list[Event]:
    """The events as the fork's own. It is idle from the start, and says so where the original had yet to."""
    history = [
        event._replace(session_id=session_id, message_id=event.message_id and copies[event.message_id], data=folds.renamed(event, copies))
        for event in told
    ]
    if not folds.is_told_idle(told):
        became = session_state(IDLE, RUNNING)
        history.append(Event(told[-1].org_id, session_id, len(told) + 1, None, became.type, became.data, now))
    return history
