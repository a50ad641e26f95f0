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
    """What the calls of one step have come to so far."""

    started_at: datetime
    accidents: int = 0
    overloads: int = 0

    def count(self, failure: ModelFailure) -> None:
        if failure.fault is Fault.OVERLOADED:
            self.overloads += 1
        else:
            self.accidents += 1


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
        tries = _Tries(context.now())
        intent = CallIntent(context.new_call_id(), 1, asked, tries.started_at)
        await context.write(intent=intent)
        while True:
            result = await self._call(turn, question)
            if isinstance(result, Answer):
                await self._finish(context, intent, result)
                return
            tries.count(result)
            waited = (context.now() - tries.started_at).total_seconds()
            delay = self.retries.delay(result, tries.accidents, tries.overloads, waited, random.random())
            outcome, told = _failed(context, intent, result)
            if delay is None:
                await context.finish(Fail(clean(result.message)), [told], ended=outcome)
                return
            await context.write([told], ended=outcome)
            await asyncio.sleep(delay)
            intent = CallIntent(context.new_call_id(), intent.number + 1, asked, context.now())
            await context.write(intent=intent)

    async def _call(self, turn: Turn, question: Question) -> Answer | ModelFailure:
        try:
            return await self.models.ask(turn.org_id, turn.option, turn.api_key, question)
        except ModelFailure as failure:
            return failure

    async def _finish(self, context: Context, intent: CallIntent, answer: Answer) -> None:
        turn = context.turn
        outcome = CallOutcome(intent.id, "answered", answer.usage, None, context.now())
        said = events.assistant_message(turn.message_id, clean(answer.text), answer.stop_reason, _describe(turn, intent, answer.usage))
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
