"""The workload of the kind `agent`: do what the planner says until the message has ended."""

import asyncio
import random
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from passel.core import events
from passel.core.content import clean
from passel.core.context import CallIntent, CallOutcome, Context, Done, Fail, Turn
from passel.core.costs import Usage, decimal_string
from passel.core.events import Draft
from passel.core.llm import request_hash
from passel.core.retry import Fault, ModelFailure, RetryPolicy
from passel.core.turn import CallModel, Finish, next_step
from passel.workloads.agent.models import ModelDirectory
from passel.workloads.agent.prompts import UnreadableContent, build_question
from passel.workloads.agent.questions import Answer, Question


@dataclass(slots=True)
class _Tries:
    """What the calls of one step have come to so far. Patience runs from the first refusal, not from a wait of ours."""

    calls: int = 0
    accidents: int = 0
    overloads: int = 0
    overloaded_since: datetime | None = None

    def count(self, failure: ModelFailure, now: datetime) -> None:
        if failure.fault is Fault.OVERLOADED:
            self.overloads += 1
            self.overloaded_since = self.overloaded_since or now
        else:
            self.accidents += 1

    def delay(self, failure: ModelFailure, now: datetime, policy: RetryPolicy) -> float | None:
        waited = (now - self.overloaded_since).total_seconds() if self.overloaded_since else 0.0
        return policy.delay(failure, self.accidents, self.overloads, waited, random.random())


@dataclass(frozen=True, slots=True)
class AgentWorkload:
    models: ModelDirectory
    retries: RetryPolicy = field(default_factory=RetryPolicy)

    async def __call__(self, context: Context) -> None:
        step = next_step(context.turn.ledger, context.turn.message_id)
        match step:
            case Finish():
                await context.finish(Done())
            case CallModel():
                await self._ask(context, step)

    async def _ask(self, context: Context, step: CallModel) -> None:
        turn = context.turn
        try:
            question = await build_question(context, step.conversation)
        except UnreadableContent as error:
            await context.finish(Fail(str(error)))
            return
        asked = request_hash(turn.spec, turn.option, step.conversation)
        tries = _Tries()
        while True:
            intent, result = await self._call(context, question, asked, tries)
            if isinstance(result, Answer):
                await self._finish(context, intent, result)
                return
            tries.count(result, context.now())
            delay = tries.delay(result, context.now(), self.retries)
            outcome, told = _failed(context, intent, result)
            if delay is None:
                await context.finish(Fail(clean(result.message)), [told], ended=outcome)
                return
            await context.write([told], ended=outcome)
            await asyncio.sleep(delay)

    async def _call(self, context: Context, question: Question, asked: str, tries: _Tries) -> tuple[CallIntent, Answer | ModelFailure]:
        """Wait for a place, write the intent, make the call. A call that still waits is not in the bill, and one
        whose lease was lost while it waited is never made."""
        turn = context.turn
        limit = self.models.limit(turn.org_id, turn.option, turn.api_key)
        async with limit.slot():
            tries.calls += 1
            intent = CallIntent(context.new_call_id(), tries.calls, asked, context.now())
            await context.write(intent=intent)
            try:
                answer = await self.models.ask(turn.option, turn.api_key, question)
            except ModelFailure as failure:
                if failure.fault is Fault.OVERLOADED:
                    limit.overloaded(failure.retry_after or 0.0)
                return intent, failure
            limit.answered()
            return intent, answer

    async def _finish(self, context: Context, intent: CallIntent, answer: Answer) -> None:
        turn = context.turn
        outcome = CallOutcome(intent.id, "answered", answer.usage, None, context.now())
        said = events.assistant_message(
            turn.message_id, clean(answer.text), clean(answer.stop_reason)[:100], _describe(turn, intent, answer.usage)
        )
        await context.finish(Done(), [said], ended=outcome)


def _failed(context: Context, intent: CallIntent, failure: ModelFailure) -> tuple[CallOutcome, Draft]:
    error = clean(failure.message)
    state = "in_doubt" if failure.in_doubt else "failed"
    outcome = CallOutcome(intent.id, state, Usage(), error, context.now())
    described = _describe(context.turn, intent, Usage()) | {"state": state, "fault": failure.fault.value}
    return outcome, events.call_failed(context.turn.message_id, described, error)


def _describe(turn: Turn, intent: CallIntent, usage: Usage) -> dict[str, Any]:
    """A call as its event tells it: enough to recompute the bill from the ledger alone."""
    return {
        "id": intent.id,
        "attempt": turn.attempt,
        "number": intent.number,
        "llm_id": turn.llm_id,
        "provider": turn.option.provider,
        "model": turn.option.model,
        "request_hash": intent.request_hash,
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "cache_read_tokens": usage.cache_read_tokens,
        "cost_usd": None if usage.cost_usd is None else decimal_string(usage.cost_usd),
    }
