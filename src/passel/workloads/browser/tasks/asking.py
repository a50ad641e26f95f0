"""Answers of a task's model: each an effect with an intent before it leaves and an outcome after, and another try where the last one
was an accident."""

import asyncio
import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import orjson

from passel.core.browser.tasks import Spent
from passel.core.context import Context, Step
from passel.core.costs import Usage
from passel.core.effects import DONE, FAILED, IN_DOUBT, UNSENT, Effect, Outcome
from passel.core.events import Draft, Event
from passel.core.llm.events import MODEL, call_failed, record
from passel.core.llm.keys import Keys, MissingKey
from passel.core.llm.options import LlmOption
from passel.core.llm.retry import Again, Fault, ModelFailure, NoMore, RetryPolicy, after_failures
from passel.core.text import clean
from passel.models.directory import ModelDirectory
from passel.models.limiter import Closed
from passel.models.questions import Answer, Question

Tell = Callable[[Answer, dict[str, Any]], Draft]
"""What a ledger is told of an answer, given what its call cost."""


class NoAnswer(Exception):
    """The model does not answer; the message says what it said last."""


@dataclass(frozen=True, slots=True)
class Desk:
    """What a worker asks models with."""

    models: ModelDirectory
    keys: Keys
    retries: RetryPolicy = field(default_factory=RetryPolicy)


@dataclass(slots=True)
class Asker:
    """Of one task. `numbers` counts the calls of the session, `untold` is what the ledger is told with the next write. Of
    answers and what came of them those are told who have `heard` of others, once the ledger has them."""

    desk: Desk
    context: Context
    option: LlmOption
    numbers: Iterator[int]
    heard: Callable[[Draft], None]
    spent: Spent = field(default_factory=Spent)
    untold: tuple[Draft, ...] = ()

    async def ask(self, question: Question, tell: Tell) -> Answer:
        """An overloaded provider is waited for here: a browser is not given back in between. Raises `NoAnswer`."""
        failures: list[Event] = []
        while True:
            match after_failures(failures, self.desk.retries):
                case NoMore(error):
                    raise NoAnswer(error)
                case Again(at, _):
                    await asyncio.sleep(max(timedelta(), at - self.context.now()).total_seconds())
                case None:
                    pass
            try:
                answer = await self._call(question, tell, failures)
            except Closed as closed:
                await asyncio.sleep(closed.seconds)
                continue
            if answer is not None:
                return answer

    async def _call(self, question: Question, tell: Tell, failures: list[Event]) -> Answer | None:
        """One call, once there is a place for it; None when it failed, which is among the failures then. Raises `Closed`."""
        desk, option, context = self.desk, self.option, self.context
        try:
            key = await desk.keys.api_key(context.task, option)
        except MissingKey as error:
            raise NoAnswer(str(error)) from error
        await desk.models.prepare(option)
        limit = desk.models.limit(context.task.org_id, option, key)
        async with limit.slot():
            effect = Effect(context.new_effect_id(), MODEL, option.ref, next(self.numbers), _digest(option, question), context.now())
            untold, self.untold = self.untold, ()
            await context.write(Step(untold, began=(effect,)))
            for told in untold:
                self.heard(told)
            try:
                answer = await desk.models.ask(option, key, question)
            except asyncio.CancelledError:
                await self._failed(effect, ModelFailure(Fault.UNKNOWN, "broken off: its task has ended"))
                raise
            except ModelFailure as failure:
                if failure.fault is Fault.OVERLOADED:
                    limit.overloaded(failure.retry_after or 0.0)
                failures += await self._failed(effect, failure)
                return None
            limit.answered()
        call = record(effect, context.task.attempt, None, option, answer.usage, DONE)
        outcome = Outcome(effect.id, DONE, answer.usage, None, context.now())
        self.spent.add(answer.usage)
        told = tell(answer, call)
        await context.write(Step((told,), ended=(outcome,)))
        self.heard(told)
        return answer

    async def _failed(self, effect: Effect, failure: ModelFailure) -> tuple[Event, ...]:
        error = clean(failure.message)
        state = UNSENT if not failure.sent else IN_DOUBT if failure.in_doubt else FAILED
        call = record(effect, self.context.task.attempt, None, self.option, Usage(), state)
        told = call_failed(call, failure.fault, error, failure.retry_after)
        outcome = Outcome(effect.id, state, Usage(), error, self.context.now())
        return await self.context.write(Step((told,), ended=(outcome,)))


def _digest(option: LlmOption, question: Question) -> str:
    """Recognises the same question to the same model."""
    said = [[one.role, [str(part) for part in one.parts], [tool.arguments for tool in one.tools]] for one in question.conversation]
    return hashlib.sha256(orjson.dumps([option.to_json(), question.system, said], option=orjson.OPT_SORT_KEYS)).hexdigest()
