"""One attempt at one message: the `Context` that a workload works with."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import structlog

from passel.core.clock import Clock
from passel.core.content import clean
from passel.core.context import CallIntent, CallOutcome, Context, Ending, Fail, StoredFile, Turn
from passel.core.errors import LeaseLost
from passel.core.events import Draft
from passel.core.ids import CallId, IdSource
from passel.engine.journal import Journal
from passel.store.jobs import Job
from passel.store.turns import Claim, Lease, StepWrite

log = structlog.get_logger()

Workload = Callable[[Context], Awaitable[None]]
TurnLoader = Callable[[Claim], Awaitable[Turn]]
FileReader = Callable[[Turn, str], Awaitable[StoredFile]]


class Attempt:
    """Implements `Context`. Each write carries the lease and the next step number."""

    def __init__(self, claim: Claim, turn: Turn, journal: Journal, clock: Clock, ids: IdSource, read_file: FileReader) -> None:
        self._lease, self._turn = claim.lease, turn
        self._journal, self._clock, self._ids, self._read_file = journal, clock, ids, read_file
        self.step = 0
        self.finished = False

    @property
    def turn(self) -> Turn:
        return self._turn

    def now(self) -> datetime:
        return self._clock()

    def new_call_id(self) -> CallId:
        return self._ids.call()

    async def read_file(self, file_id: str) -> StoredFile:
        return await self._read_file(self._turn, file_id)

    async def write(self, drafts: Sequence[Draft] = (), *, ended: CallOutcome | None = None, intent: CallIntent | None = None) -> None:
        await self._append(StepWrite(self._lease, self.step, self._turn.option, tuple(drafts), ended, intent))

    async def finish(self, ending: Ending, drafts: Sequence[Draft] = (), *, ended: CallOutcome | None = None) -> None:
        await self._append(StepWrite(self._lease, self.step, self._turn.option, tuple(drafts), ended, ending=ending))
        self.finished = True

    async def _append(self, write: StepWrite) -> None:
        await self._journal.write(write)
        self.step += 1


@dataclass(slots=True)
class Held:
    """A lease with the task that works under it."""

    lease: Lease
    task: "asyncio.Task[None]"
    evicted: bool = False


@dataclass(frozen=True, slots=True)
class Attempts:
    """Runs the jobs that the queue delivers. `held` are the leases of the attempts that run, by session."""

    journal: Journal
    clock: Clock
    ids: IdSource
    load_turn: TurnLoader
    read_file: FileReader
    workload: Workload
    max_attempts: int
    held: dict[str, Held] = field(default_factory=dict[str, Held])

    async def run(self, job: Job) -> None:
        claim = await self.journal.begin(job)
        if claim is None:
            return
        task = asyncio.current_task()
        assert task is not None
        held = self.held[job.session_id] = Held(claim.lease, task)
        try:
            await self._work(claim)
        except LeaseLost:
            log.info("lease lost", session=job.session_id, attempt=claim.lease.attempt)
        except asyncio.CancelledError:
            if not held.evicted:
                raise  # a drain: the lease stays noted, to be handed back
            task.uncancel()
        self._forget(held)

    def evict(self, session_id: str) -> None:
        """End an attempt whose lease is lost: its call is of no use to anybody any more."""
        held = self.held.get(session_id)
        if held is not None and not held.task.done():
            held.evicted = True
            held.task.cancel()

    def _forget(self, held: Held) -> None:
        if self.held.get(held.lease.session_id) is held:
            del self.held[held.lease.session_id]

    async def _work(self, claim: Claim) -> None:
        if claim.lost >= self.max_attempts:
            await self._fail(claim, 0, f"given up: {claim.lost} attempts at this message ended with their worker")
            return
        attempt: Attempt | None = None
        try:
            turn = await self.load_turn(claim)
            attempt = Attempt(claim, turn, self.journal, self.clock, self.ids, self.read_file)
            await self.workload(attempt)
        except LeaseLost:
            raise
        except Exception as error:
            log.exception("a turn failed inside Passel", session=claim.lease.session_id)
            if attempt is None or not attempt.finished:
                await self._fail(claim, attempt.step if attempt else 0, f"internal error: {type(error).__name__}: {error}")

    async def _fail(self, claim: Claim, step: int, error: str) -> None:
        await self.journal.write(StepWrite(claim.lease, step, None, ending=Fail(clean(error)[:2000])))
