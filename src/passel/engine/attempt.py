"""One attempt at one message: the `Context` that a workload works with."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

import structlog

from passel.core.clock import Clock
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
        self._step = 0
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
        await self._append(StepWrite(self._lease, self._step, self._turn.option, tuple(drafts), ended, intent))

    async def finish(self, ending: Ending, drafts: Sequence[Draft] = (), *, ended: CallOutcome | None = None) -> None:
        await self._append(StepWrite(self._lease, self._step, self._turn.option, tuple(drafts), ended, ending=ending))
        self.finished = True

    async def _append(self, write: StepWrite) -> None:
        await self._journal.write(write)
        self._step += 1


@dataclass(frozen=True, slots=True)
class Attempts:
    """Runs the jobs that the queue delivers."""

    journal: Journal
    clock: Clock
    ids: IdSource
    load_turn: TurnLoader
    read_file: FileReader
    workload: Workload
    max_attempts: int
    leases: dict[str, Lease]

    async def run(self, job: Job) -> None:
        claim = await self.journal.begin(job)
        if claim is None:
            return
        lease = claim.lease
        self.leases[lease.session_id] = lease
        try:
            await self._work(claim)
        except LeaseLost:
            log.info("lease lost", session=lease.session_id, attempt=lease.attempt)
            self._forget(lease)
        except asyncio.CancelledError:
            raise  # a drain: the lease stays noted, to be handed back
        else:
            self._forget(lease)

    def _forget(self, lease: Lease) -> None:
        if self.leases.get(lease.session_id) is lease:
            del self.leases[lease.session_id]

    async def _work(self, claim: Claim) -> None:
        turn = await self.load_turn(claim)
        attempt = Attempt(claim, turn, self.journal, self.clock, self.ids, self.read_file)
        if claim.lease.attempt > self.max_attempts:
            tried = claim.lease.attempt - 1
            await attempt.finish(Fail(f"given up: {tried} attempts at this message ended with their worker or were lost"))
            return
        try:
            await self.workload(attempt)
        except LeaseLost:
            raise
        except Exception as error:
            log.exception("a turn failed inside Passel", session=turn.session_id)
            if not attempt.finished:
                await attempt.finish(Fail(f"internal error: {type(error).__name__}: {error}"))
