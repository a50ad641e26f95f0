"""Model calls of verifications: each an effect with an intent before it leaves and an outcome after, each answer in the
ledger, so that it is neither lost nor paid twice."""

import asyncio
import hashlib
import random
import time
from collections.abc import Generator, Mapping
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import orjson

from passel.core.context import Context, Step
from passel.core.costs import Usage
from passel.core.effects import DONE, FAILED, IN_DOUBT, UNSENT, Effect, Outcome
from passel.core.llm.events import MODEL, record
from passel.core.llm.keys import Keys, MissingKey
from passel.core.llm.options import LlmOption
from passel.core.llm.retry import Again, Fault, ModelFailure, NoMore, RetryPolicy, after_failures
from passel.core.text import clean
from passel.core.verification import events
from passel.core.verification.calls import Asked, Calls
from passel.models.directory import ModelDirectory
from passel.models.limiter import AdaptiveLimit, Closed
from passel.models.questions import Answer, Question
from passel.workloads.verification.methods import NoAnswer

_SHORT_PAUSE = timedelta(seconds=2)
"""Up to here a worker keeps its place while it waits; for more it gives it back."""
_LONGEST_ANSWER = 100_000  # characters: no form that is asked for has so many
_GATHER_SECONDS = 0.005
"""An answer waits so long for what follows from it, to be written with it."""


NO_MODEL = "no model is set up: set PASSEL_VERIFICATION_MODEL, or name one in options.model"


class Paused(Exception):
    """Nothing can be asked before `at`. The attempt ends, to be taken up again then."""

    def __init__(self, at: datetime, reason: str) -> None:
        super().__init__(reason)
        self.at, self.reason = at, reason


@dataclass(frozen=True, slots=True)
class Desk:
    """What a worker asks models with. `patience` in seconds is for overloaded providers."""

    models: ModelDirectory
    keys: Keys
    patience: float = 3600.0


@dataclass(slots=True)
class Stopwatch:
    """The time that an attempt has used, without that for which it waited for a place at a model, or for the database."""

    began: float = field(default_factory=time.monotonic)
    _waited: float = 0.0
    _waiting: int = 0
    _since: float = 0.0

    @contextmanager
    def stopped(self) -> Generator[None]:
        if not self._waiting:
            self._since = time.monotonic()
        self._waiting += 1
        try:
            yield
        finally:
            self._waiting -= 1
            if not self._waiting:
                self._waited += time.monotonic() - self._since

    @property
    def seconds(self) -> float:
        now = self._since if self._waiting else time.monotonic()
        return now - self.began - self._waited


@dataclass(slots=True)
class Book:
    """What an attempt writes of its model calls. Answers wait a moment for what follows from them."""

    context: Context
    calls: Calls
    stopwatch: Stopwatch = field(default_factory=Stopwatch)
    _unwritten: list[Step] = field(default_factory=list[Step])
    _timer: asyncio.TimerHandle | None = None
    _writing: set[asyncio.Task[Any]] = field(default_factory=set[asyncio.Task[Any]])

    def take(self) -> Step:
        """What is to be written, for whoever writes now."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        steps, self._unwritten = self._unwritten, []
        return Step(tuple(draft for step in steps for draft in step.drafts), ended=tuple(one for step in steps for one in step.ended))

    async def begin(self, effect: Effect) -> None:
        with self.stopwatch.stopped():
            await self.context.write(self.take()._replace(began=(effect,)))

    def answered(self, asked: Asked, effect: Effect, option: LlmOption, answer: Answer) -> str:
        text = clean(answer.text[:_LONGEST_ANSWER])
        call = record(effect, self.context.task.attempt, None, option, answer.usage, DONE)
        told = events.model_answered(asked, text, call)
        self.calls.answered(told)
        self._unwritten.append(Step((told,), ended=(Outcome(effect.id, DONE, answer.usage, None, self.context.now()),)))
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_GATHER_SECONDS, self._write_alone)
        return text

    async def failed(self, asked: Asked, effect: Effect, option: LlmOption, failure: ModelFailure) -> None:
        error = clean(failure.message)
        state = UNSENT if not failure.sent else IN_DOUBT if failure.in_doubt else FAILED
        call = record(effect, self.context.task.attempt, None, option, Usage(), state)
        told = events.model_failed(asked, call, failure.fault, error, failure.retry_after)
        with self.stopwatch.stopped():
            written = await self.context.write(Step((told,), ended=(Outcome(effect.id, state, Usage(), error, self.context.now()),)))
        for event in written:
            if event.type == told.type:
                self.calls.failed(event)

    def _write_alone(self) -> None:
        self._timer = None
        if (step := self.take()).drafts:
            task = asyncio.ensure_future(self.context.write(step))
            self._writing.add(task)
            task.add_done_callback(self._wrote)

    def _wrote(self, task: asyncio.Task[Any]) -> None:
        self._writing.discard(task)
        if not task.cancelled():
            task.exception()  # who has lost the lease learns it with the next write

    async def close(self) -> None:
        """What was answered is written, whatever has become of those who asked."""
        self._write_alone()
        if self._writing:
            await asyncio.wait(self._writing)


@dataclass(frozen=True, slots=True)
class Asker:
    """The models of one try of one method in one round. Implements `passel.workloads.verification.methods.Models`."""

    desk: Desk | None
    book: Book
    chosen: tuple[LlmOption, ...]
    round: int
    method: str
    tries: int
    tried: int = 0
    asked: list[LlmOption] = field(default_factory=list[LlmOption])

    @property
    def used(self) -> tuple[str | None, str | None]:
        """Provider and model, where there was one."""
        models = {(option.provider, option.model) for option in self.asked}
        return models.pop() if len(models) == 1 else (None, None)

    @property
    def option(self) -> LlmOption | None:
        return self.chosen[0] if self.desk is not None and self.chosen else None

    @property
    def panel(self) -> tuple[LlmOption, ...]:
        return self.chosen if self.desk is not None else ()

    async def ask(
        self, name: str, question: Question, *, settings: Mapping[str, Any] | None = None, option: LlmOption | None = None
    ) -> str:
        option = option or self.option
        if option is None or self.desk is None:
            raise NoAnswer(NO_MODEL)
        if settings:
            option = replace(option, settings={**option.settings, **settings})
        self.asked.append(option)
        asked = Asked(self.round, self.method, f"{name} (try {self.tried + 1})" if self.tried else name)
        if (known := self.book.calls.answers.get(asked)) is not None:
            return known
        policy = RetryPolicy(tries=self.tries, patience=self.desk.patience)
        while True:
            match after_failures(self.book.calls.failures.get(asked, ()), policy):
                case NoMore(error):
                    raise NoAnswer(error)
                case Again(at, reason):
                    await self._until(at, reason)
                case None:
                    pass
            if (text := await self._call(self.desk, asked, option, question)) is not None:
                return text

    async def _until(self, at: datetime, reason: str) -> None:
        pause = at - self.book.context.now()
        if pause > _SHORT_PAUSE:
            raise Paused(at, reason)
        with self.book.stopwatch.stopped():
            await asyncio.sleep(max(0.0, pause.total_seconds()))

    async def _call(self, desk: Desk, asked: Asked, option: LlmOption, question: Question) -> str | None:
        """One call, once there is a place for it; None when it failed. Waiting for the place is nobody's time."""
        async with AsyncExitStack() as stack:
            with self.book.stopwatch.stopped():
                key = await self._key(desk, option)
                await desk.models.prepare(option)
                limit = desk.models.limit(self.book.context.task.org_id, option, key)
                await self._enter(stack, limit, option)
            effect = await self._begin(option, question)
            try:
                answer = await desk.models.ask(option, key, question)
            except ModelFailure as failure:
                if failure.fault is Fault.OVERLOADED:
                    limit.overloaded(failure.retry_after or 0.0)
                await self.book.failed(asked, effect, option, failure)
                return None
            limit.answered()
            return self.book.answered(asked, effect, option, answer)

    async def _key(self, desk: Desk, option: LlmOption) -> str | None:
        try:
            return await desk.keys.api_key(self.book.context.task, option)
        except MissingKey as error:
            raise NoAnswer(str(error)) from error

    async def _enter(self, stack: AsyncExitStack, limit: AdaptiveLimit, option: LlmOption) -> None:
        try:
            await stack.enter_async_context(limit.slot())
        except Closed as closed:
            pause = timedelta(seconds=closed.seconds * (1 + random.random() / 10))  # not everybody at the same moment
            raise Paused(self.book.context.now() + pause, f"{option.ref} is overloaded") from closed

    async def _begin(self, option: LlmOption, question: Question) -> Effect:
        context, number = self.book.context, self.book.calls.next_number()
        effect = Effect(context.new_effect_id(), MODEL, option.ref, number, _digest(option, question), context.now())
        await self.book.begin(effect)
        return effect


def _digest(option: LlmOption, question: Question) -> str:
    """Recognises the same question to the same model."""
    asked = [option.to_json(), question.system, [[said.role, [str(part) for part in said.parts]] for said in question.conversation]]
    return hashlib.sha256(orjson.dumps(asked, option=orjson.OPT_SORT_KEYS)).hexdigest()
