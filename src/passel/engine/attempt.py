"""One attempt at one message: the `Context` that a workload works with, and how an attempt ends."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import structlog

from passel.core.clock import Clock
from passel.core.context import Step, Task, Workload
from passel.core.endings import Fail
from passel.core.errors import LeaseLost, NotReady
from passel.core.events import MESSAGE_STATE, Event
from passel.core.faults import FaultPolicy, after_fault
from passel.core.ids import EffectId, IdSource, MessageId, SessionId
from passel.core.states import ENDED
from passel.core.text import clean
from passel.engine.journal import Journal
from passel.store.leases import Claim, Lease
from passel.store.steps import StepWrite

log = structlog.get_logger()

_LONGEST_ERROR = 2000


class Attempt:
    """Implements `Context`. A write gets its number when it is asked for, before anything is awaited."""

    def __init__(self, claim: Claim, ledger: Sequence[Event], journal: Journal, clock: Clock, ids: IdSource) -> None:
        lease = self._lease = claim.lease
        self._task = Task(
            lease.org_id, lease.session_id, lease.message_id, claim.kind, claim.subject_id, claim.spec, claim.secrets, lease.attempt
        )
        self._ledger = list(ledger)
        self._journal, self._clock, self._ids = journal, clock, ids
        self._writes = 0
        self._open: set[EffectId] = set()

    @property
    def task(self) -> Task:
        return self._task

    @property
    def ledger(self) -> Sequence[Event]:
        return self._ledger

    def now(self) -> datetime:
        return self._clock()

    def new_effect_id(self) -> EffectId:
        return self._ids.effect()

    def new_session_id(self, prefix: str) -> SessionId:
        return SessionId(self._ids.new(prefix))

    async def write(self, step: Step) -> tuple[Event, ...]:
        self._writes += 1
        ended = self._open.intersection(outcome.id for outcome in step.ended)
        self._open.update(effect.id for effect in step.began)
        self._open -= ended
        write = StepWrite(self._lease, self._writes, self._known, step, bool(self._open))
        try:
            events = await self._journal.write(write, self._learn)
        except LeaseLost:
            raise
        except Exception:
            self._open |= ended  # refused: what the step said of them is not known to the ledger
            raise
        return events

    @property
    def _known(self) -> int:
        return self._ledger[-1].seq if self._ledger else 0

    def _learn(self, events: tuple[Event, ...]) -> None:
        known = self._known
        self._ledger += [event for event in events if event.seq > known]


@dataclass(slots=True)
class Held:
    """A lease with the task that works under it."""

    lease: Lease
    task: "asyncio.Task[None]"
    evicted: bool = False


@dataclass(frozen=True, slots=True)
class Attempts:
    """Runs claims with the workloads of their kinds. `held` are the leases of the attempts that run, by message. A
    message fails that took down `max_attempts` workers with nothing else in their hands."""

    journal: Journal
    clock: Clock
    ids: IdSource
    workloads: Mapping[str, Workload]
    max_attempts: int
    faults: FaultPolicy = field(default_factory=FaultPolicy)
    held: dict[MessageId, Held] = field(default_factory=dict[MessageId, Held])

    async def run(self, claim: Claim, ledger: Sequence[Event]) -> None:
        """Work until the attempt has ended, its lease is lost, or it is cancelled: a drain, which hands it back."""
        task = asyncio.current_task()
        assert task is not None
        self.evict(claim.lease.message_id)  # an older attempt of ours that was taken from us and does not know yet
        held = self.held[claim.lease.message_id] = Held(claim.lease, task)
        try:
            await self._work(claim, ledger)
        except LeaseLost:
            log.info("lease lost", message=claim.lease.message_id, attempt=claim.lease.attempt)
        except asyncio.CancelledError:
            if not held.evicted:
                raise  # the lease stays noted
            task.uncancel()
        except Exception:
            # not even its failure could be written: nobody holds it now, and it is handed back when that is noticed
            log.exception("an attempt could not be ended", message=claim.lease.message_id)
        self._forget(held)

    def evict(self, message_id: MessageId) -> None:
        """End an attempt whose lease is lost: what it does is of no use to anybody any more."""
        held = self.held.get(message_id)
        if held is not None and not held.task.done():
            held.evicted = True
            held.task.cancel()

    def _forget(self, held: Held) -> None:
        if self.held.get(held.lease.message_id) is held:
            del self.held[held.lease.message_id]

    async def _work(self, claim: Claim, ledger: Sequence[Event]) -> None:
        attempt = Attempt(claim, ledger, self.journal, self.clock, self.ids)
        if claim.lost >= self.max_attempts:
            error = f"given up: {claim.lost} attempts at this message, with nothing beside it, ended with their worker"
            await attempt.write(Step(ending=Fail(error)))
            return
        if _has_ended(ledger, claim.lease.message_id):  # cancelled after the claim and before its ledger was read
            raise LeaseLost(claim.lease.message_id)
        step = await self._last_step(attempt)
        try:
            await attempt.write(step)
        except LeaseLost:
            raise
        except Exception as error:
            await attempt.write(Step(ending=Fail(f"internal error: the result could not be stored: {clean(str(error))[:_LONGEST_ERROR]}")))

    async def _last_step(self, attempt: Attempt) -> Step:
        """What the workload ends with. An exception is a fault of ours or of what we stand on: another try, later."""
        try:
            step = await self.workloads[attempt.task.kind](attempt)
            if step.ending is None:
                raise RuntimeError(f"the workload of {attempt.task.kind} returned a step without an ending")
            return step
        except LeaseLost:
            raise
        except Exception as error:
            log.warning(
                "an attempt met a fault", message=attempt.task.message_id, exc_info=not isinstance(error, NotReady), error=str(error)
            )
            reason = str(error) if isinstance(error, NotReady) else f"internal error: {type(error).__name__}: {error}"
            return Step(
                ending=after_fault(attempt.ledger, attempt.task.message_id, clean(reason)[:_LONGEST_ERROR], self.clock(), self.faults)
            )


def _has_ended(ledger: Sequence[Event], message_id: MessageId) -> bool:
    last = next((e for e in reversed(ledger) if e.type == MESSAGE_STATE and e.message_id == message_id), None)
    return last is not None and last.data["state"] in ENDED
