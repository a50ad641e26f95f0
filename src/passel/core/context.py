"""What a workload is given to do its work with. An engine implements it; a test may do so with a dictionary."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from passel.core.costs import Usage
from passel.core.events import Draft, Event
from passel.core.ids import CallId, MessageId, OrgId, SessionId
from passel.core.llm import AgentSpec, LlmOption


@dataclass(frozen=True, slots=True)
class CallIntent:
    """A model call that is about to be made; durable before the first byte leaves."""

    id: CallId
    number: int
    request_hash: str
    started_at: datetime


@dataclass(frozen=True, slots=True)
class CallOutcome:
    """How a call ended: `answered`, `failed` (not billed) or `in_doubt` (it may have been)."""

    id: CallId
    state: str
    usage: Usage
    error: str | None
    ended_at: datetime


@dataclass(frozen=True, slots=True)
class Done:
    """The message is answered."""


@dataclass(frozen=True, slots=True)
class Fail:
    """The message failed for good; `error` is what the client reads in `output.error`."""

    error: str


Ending = Done | Fail


@dataclass(frozen=True, slots=True)
class Turn:
    """One attempt at one message. `api_key` is None when the option is called without a key."""

    org_id: OrgId
    session_id: SessionId
    message_id: MessageId
    attempt: int
    llm_id: str | None
    spec: AgentSpec
    option: LlmOption
    api_key: str | None
    ledger: tuple[Event, ...] = field(repr=False)


class Context(Protocol):
    """Every write names the attempt; when another owns the session now, it raises `LeaseLost`."""

    @property
    def turn(self) -> Turn: ...

    def now(self) -> datetime: ...

    def new_call_id(self) -> CallId: ...

    async def read_file(self, file_id: str) -> "StoredFile": ...

    async def write(self, drafts: Sequence[Draft] = (), *, ended: CallOutcome | None = None, intent: CallIntent | None = None) -> None: ...

    async def finish(self, ending: Ending, drafts: Sequence[Draft] = (), *, ended: CallOutcome | None = None) -> None: ...


@dataclass(frozen=True, slots=True)
class StoredFile:
    filename: str
    media_type: str
    data: bytes = field(repr=False)
