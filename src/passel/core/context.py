"""What a workload is given to do its work with. An engine implements it; a test may do so with a dictionary."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple, Protocol

from passel.core.effects import Effect, Outcome
from passel.core.endings import Done, Ending, Fail
from passel.core.events import Draft, Event
from passel.core.ids import EffectId, MessageId, OrgId, SessionId


@dataclass(frozen=True, slots=True)
class Task:
    """One attempt at one message. `spec` is what the session's kind keeps of it, `secrets` are sealed."""

    org_id: OrgId
    session_id: SessionId
    message_id: MessageId
    kind: str
    subject_id: str | None
    spec: Mapping[str, Any]
    secrets: bytes | None = field(repr=False)
    attempt: int


class Spawn(NamedTuple):
    """A session of another kind that a write begins, with its first message, whose `request` is in the shape of that kind. It
    takes over the metadata and the batch of the session that it comes from, without being an item of it. `lane` is the
    name of the lane that its message waits in."""

    id: SessionId
    kind: str
    lane: str
    spec: Mapping[str, Any]
    request: Mapping[str, Any]


class Step(NamedTuple):
    """What one write of an attempt says, all of it or nothing: events, effects that are about to happen, effects that
    have ended, the item's state (`settles`, while the attempt goes on), the attempt's ending, and sessions that begin."""

    drafts: tuple[Draft, ...] = ()
    began: tuple[Effect, ...] = ()
    ended: tuple[Outcome, ...] = ()
    settles: Done | Fail | None = None
    ending: Ending | None = None
    spawns: tuple[Spawn, ...] = ()


class Context(Protocol):
    """An attempt, as its workload sees it."""

    @property
    def task(self) -> Task: ...

    @property
    def ledger(self) -> Sequence[Event]:
        """The session's events as far as this attempt knows them; grows with each `write`."""
        ...

    def now(self) -> datetime: ...

    def new_effect_id(self) -> EffectId: ...

    def new_session_id(self, prefix: str) -> SessionId: ...

    async def write(self, step: Step) -> tuple[Event, ...]:
        """Make a step durable and return its events with their numbers. Steps are kept in the order of the calls, also
        when several are under way at once, and also when the caller is cancelled while it waits. Raises `LeaseLost`
        when another attempt owns the message now, or it was cancelled; else the error of a database that refuses the
        step, after which the attempt may still write something else."""
        ...


Workload = Callable[[Context], Awaitable[Step]]
"""Does the work of a kind. Returns the last step, which carries the ending."""
