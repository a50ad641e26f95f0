"""The workload of the kind `verification`: its methods side by side, each finding in the ledger as soon as it is there.

A method that has ended is never run again, and a question that a model has answered is never asked again, whatever dies;
what is concluded follows from the ledger alone.
"""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from passel.core.context import Context, Step
from passel.core.endings import Done, Fail, Retry
from passel.core.errors import LeaseLost, NotReady
from passel.core.events import MESSAGE_STATE, Draft
from passel.core.states import DELAYED
from passel.core.text import clean, clean_json
from passel.core.verification import events
from passel.core.verification.claims import Claim
from passel.core.verification.findings import Finding
from passel.core.verification.keys import Busy, Keys, Known, Mine, Taken
from passel.core.verification.progress import Progress
from passel.workloads.loop import until_ended
from passel.workloads.verification.asking import Asker, Book, Desk, Paused, Stopwatch
from passel.workloads.verification.methods import Method, NoAnswer, Work

_LONGEST_ERROR = 2000
_LOOK_AGAIN, _LONGEST_LOOK = 1.0, 30.0
"""Seconds until a verification looks again how another of its key stands: doubled each time."""
_LEAST_WAIT = 0.05  # seconds, while the stopwatch stands


@dataclass(frozen=True, slots=True)
class VerificationWorkload:
    """`methods` are those that this worker can do, `desk` is where they ask models."""

    methods: Mapping[str, Method]
    desk: Desk | None = None
    keys: Keys | None = None

    async def __call__(self, context: Context) -> Step:
        progress = Progress.of(context.ledger, context.task.message_id)
        if (known := await self._known(context, progress.claim)) is not None:
            return known
        run = _Run(self, context, progress, Book(context, progress.calls))
        try:
            return await until_ended(context, run.next)
        finally:
            await run.close()

    async def _known(self, context: Context, claim: Claim) -> Step | None:
        """What becomes of a claim whose idempotency key says that there is nothing to do, or not yet."""
        key = context.task.spec.get("key")
        if key is None or self.keys is None:
            return None
        match await self.keys.claim(context.task, key, claim):
            case Known(id, result):
                return Step(ending=Done({**result, "reused": id, "cost_usd": "0", "cost_cents": 0}))
            case Taken():
                return Step(ending=Fail("idempotencyKey was already used with different content"))
            case Busy():
                return Step(ending=Retry(_next_look(context), "a verification with the same idempotencyKey is under way"))
            case Mine():
                return None


def _next_look(context: Context) -> datetime:
    looked = sum(event.type == MESSAGE_STATE and event.data["state"] == DELAYED for event in context.ledger)
    return context.now() + timedelta(seconds=min(_LOOK_AGAIN * 2 ** min(looked, 10), _LONGEST_LOOK))


@dataclass(slots=True)
class _Run:
    """One attempt. `round` is the one that it is in, which has its own time."""

    workload: VerificationWorkload
    context: Context
    progress: Progress
    book: Book
    running: dict[asyncio.Task[Draft], str] = field(default_factory=dict[asyncio.Task[Draft], str])
    paused: dict[str, Paused] = field(default_factory=dict[str, Paused])
    round: int = 0

    async def next(self) -> Step:
        """Wait until something has ended, and write it; with the last of it what follows."""
        missing = self.progress.missing()
        if self.round != self.progress.round:
            self.round, self.book.stopwatch = self.progress.round, Stopwatch()
        for method in missing:
            if method not in self.running.values() and method not in self.paused:
                self.running[asyncio.create_task(self._method(method, self.round))] = method
        drafts: list[Draft] = []
        while self.running and not drafts:
            drafts = await self._ended()
        self.progress.add(drafts)
        told = self.book.take()
        step = told._replace(drafts=(*told.drafts, *drafts))
        if not self.progress.missing():
            return step._replace(ending=self.progress.conclusion())
        if not self.running and self.paused and not drafts:
            first = min(self.paused.values(), key=lambda pause: pause.at)
            return step._replace(ending=Retry(first.at, first.reason))
        return step

    async def _ended(self) -> list[Draft]:
        """What has ended meanwhile, which may be nothing. What ended while the step before was written was in time."""
        left = self.progress.claim.options.timeout / 1000 - self.book.stopwatch.seconds
        if left <= 0 and not any(task.done() for task in self.running):
            return self._time_is_up()
        done, _ = await asyncio.wait(self.running, timeout=max(_LEAST_WAIT, left), return_when=asyncio.FIRST_COMPLETED)
        drafts: list[Draft] = []
        for task in done:
            method = self.running.pop(task)
            try:
                drafts.append(task.result())
            except Paused as pause:
                self.paused[method] = pause
        return drafts

    def _time_is_up(self) -> list[Draft]:
        late = list(self.running.values())
        for task in self.running:
            task.cancel()
        self.running.clear()
        milliseconds = self.progress.claim.options.timeout
        return [events.method_failed(self._id(), self.round, method, "its time was over", milliseconds, timed_out=True) for method in late]

    async def _method(self, name: str, round: int) -> Draft:
        """Runs a method, again after an accident. Raises `Paused`, and what the engine has to know of."""
        began, retries, error, most = time.monotonic(), 0, "", self.progress.claim.options.max_retries
        method = self.workload.methods.get(name)
        if method is None:
            return events.method_failed(self._id(), round, name, "this server is not set up for it", 0)
        while retries <= most:
            asker = Asker(self.workload.desk, self.book, self.progress.claim.models, round, name, most + 1, retries)
            try:
                finding = await method(Work(self.progress.claim, self.context.task.org_id, asker))
                used = asker.used
                return events.method_ended(self._id(), round, name, _stored(finding), _since(began), *used)
            except (Paused, LeaseLost, NotReady):
                raise
            except NoAnswer as failure:
                return events.method_failed(
                    self._id(), round, name, _said(failure), _since(began), retries=self.book.calls.retries(round, name)
                )
            except Exception as accident:
                error = _said(accident)
                retries += 1
        return events.method_failed(self._id(), round, name, error, _since(began), retries=retries - 1)

    def _id(self) -> str:
        return f"pr_{self.context.new_effect_id().removeprefix('eff_')}"

    async def close(self) -> None:
        for task in self.running:
            task.cancel()
        if self.running:
            await asyncio.wait(self.running)
        await self.book.close()


def _since(began: float) -> int:
    return round((time.monotonic() - began) * 1000)


def _said(accident: Exception) -> str:
    text = str(accident) if isinstance(accident, NoAnswer) else f"{type(accident).__name__}: {accident}"
    return clean(text)[:_LONGEST_ERROR]


def _stored(finding: Finding) -> Finding:
    """As the ledger can keep it."""
    return replace(finding, reasoning=clean(finding.reasoning), evidence=tuple(clean_json(finding.evidence)))
