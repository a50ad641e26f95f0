"""The workload of the kind `verification`: its methods side by side, each finding in the ledger as soon as it is there.

A method that has ended is never run again, whatever dies; what is concluded follows from the ledger alone.
"""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from passel.core.context import Context, Step
from passel.core.events import Draft
from passel.core.text import clean
from passel.core.verification import events
from passel.core.verification.findings import Finding
from passel.core.verification.progress import Progress
from passel.workloads.loop import until_ended
from passel.workloads.verification.methods import NO_MODELS, Method, Work

_LONGEST_ERROR = 2000


@dataclass(frozen=True, slots=True)
class VerificationWorkload:
    """`methods` are those that this worker can do."""

    methods: Mapping[str, Method]

    async def __call__(self, context: Context) -> Step:
        run = _Run(self.methods, context, Progress.of(context.ledger, context.task.message_id))
        try:
            return await until_ended(context, run.next)
        finally:
            await run.close()


@dataclass(slots=True)
class _Run:
    """One attempt."""

    methods: Mapping[str, Method]
    context: Context
    progress: Progress
    began: float = field(default_factory=time.monotonic)
    running: dict[asyncio.Task[Draft], str] = field(default_factory=dict[asyncio.Task[Draft], str])

    async def next(self) -> Step:
        """Wait until something has ended, and write it; with the last of it what follows."""
        for method in self.progress.missing():
            if method not in self.running.values():
                self.running[asyncio.create_task(self._method(method, self.progress.round))] = method
        drafts = await self._ended() if self.running else []
        self.progress.add(drafts)
        if self.progress.missing():
            return Step(tuple(drafts))
        return Step(tuple(drafts), ending=self.progress.conclusion())

    async def _ended(self) -> list[Draft]:
        left = self.began + self.progress.claim.options.timeout / 1000 - time.monotonic()
        done, _ = await asyncio.wait(self.running, timeout=max(0.0, left), return_when=asyncio.FIRST_COMPLETED)
        if not done:
            return self._time_is_up()
        drafts = [task.result() for task in done]
        for task in done:
            del self.running[task]
        return drafts

    def _time_is_up(self) -> list[Draft]:
        late = list(self.running.values())
        for task in self.running:
            task.cancel()
        milliseconds = self.progress.claim.options.timeout
        return [
            events.method_failed(self._id(), self.progress.round, method, "its time was over", milliseconds, timed_out=True)
            for method in late
        ]

    async def _method(self, name: str, round: int) -> Draft:
        """Runs a method, again after an accident."""
        began, retries, error = time.monotonic(), 0, ""
        method = self.methods.get(name)
        if method is None:
            return events.method_failed(self._id(), round, name, "this server is not set up for it", 0)
        while retries <= self.progress.claim.options.max_retries:
            try:
                finding = await method(Work(self.progress.claim, self.context.task.org_id, NO_MODELS))
                return events.method_ended(self._id(), round, name, _stored(finding), _since(began))
            except Exception as accident:
                error = clean(f"{type(accident).__name__}: {accident}")[:_LONGEST_ERROR]
                retries += 1
        return events.method_failed(self._id(), round, name, error, _since(began), retries=retries - 1)

    def _id(self) -> str:
        return f"pr_{self.context.new_effect_id().removeprefix('eff_')}"

    async def close(self) -> None:
        for task in self.running:
            task.cancel()
        if self.running:
            await asyncio.wait(self.running)


def _since(began: float) -> int:
    return round((time.monotonic() - began) * 1000)


def _stored(finding: Finding) -> Finding:
    """As the ledger can keep it."""
    return Finding(finding.verdict, finding.confidence, clean(finding.reasoning), finding.applicable, finding.evidence)
