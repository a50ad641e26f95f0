"""The workload of the kind `agent`: a loop that does what the planner says until the attempt has ended.

    plan -> act -> write what happened -> plan again

The ledger grows with each write, so the planner always sees what is durable; there is no state beside it.
"""

import asyncio
import random
from dataclasses import dataclass, field
from datetime import timedelta

from passel.core.agent import events
from passel.core.agent.capabilities import Files, Specs
from passel.core.agent.events import ToolCall
from passel.core.agent.follow_up import BEGUN, REFUSED, FollowUp
from passel.core.agent.planner import AwaitResults, CallModel, Finish, GiveUp, Rules, RunTools, next_step, request_hash
from passel.core.agent.spec import AgentSpec, SessionSpec
from passel.core.context import Context, Step
from passel.core.costs import Usage
from passel.core.effects import DONE, FAILED, IN_DOUBT, UNSENT, Effect, Outcome
from passel.core.endings import Done, Fail, Retry
from passel.core.llm.events import MODEL, call_failed, record
from passel.core.llm.keys import Keys, MissingKey
from passel.core.llm.options import LlmOption
from passel.core.llm.retry import Fault, ModelFailure
from passel.core.text import clean
from passel.models.directory import ModelDirectory
from passel.models.limiter import Closed
from passel.models.questions import Answer, AskedTool
from passel.workloads.agent.prompts import TooMuchAttached, build_question
from passel.workloads.agent.tools import await_results, request_tools
from passel.workloads.loop import until_ended

_SHORT_PAUSE = timedelta(seconds=2)
"""Up to here a worker keeps its place while it waits; for more it gives it back."""


@dataclass(frozen=True, slots=True)
class AgentWorkload:
    models: ModelDirectory
    specs: Specs
    keys: Keys
    files: Files
    rules: Rules = field(default_factory=Rules)

    async def __call__(self, context: Context) -> Step:
        session = SessionSpec.from_json(context.task.spec)
        spec = await self.specs.spec(session.version_id)
        turn = _Turn(self, context, spec, spec.option(session.llm_id), session.llm_id, session.follow_up)
        return await until_ended(context, turn.next)


@dataclass(frozen=True, slots=True)
class _Turn:
    """One attempt at one message. `next` acts on the ledger as it is, and returns what came of it."""

    workload: AgentWorkload
    context: Context
    spec: AgentSpec
    option: LlmOption
    llm_id: str | None
    follow_up: FollowUp | None = None

    async def next(self) -> Step:
        plan = next_step(self.context.ledger, self.context.task.message_id, self.workload.rules)
        match plan:
            case Finish(text):
                return self._finished(text)
            case GiveUp(error):
                return Step(ending=Fail(error))
            case RunTools():
                return request_tools(self.spec, plan, self.context.now())
            case AwaitResults():
                return await_results(plan, self.context.now())
            case CallModel():
                return await self._ask_in_time(plan)

    async def _ask_in_time(self, plan: CallModel) -> Step:
        if plan.not_before is not None:
            pause = plan.not_before - self.context.now()
            if pause > _SHORT_PAUSE:
                return Step(ending=Retry(plan.not_before, plan.reason))
            await asyncio.sleep(max(0.0, pause.total_seconds()))
        try:
            key = await self.workload.keys.api_key(self.context.task, self.option)
            return await self._ask(plan, key)
        except (MissingKey, TooMuchAttached) as error:
            return Step(ending=Fail(str(error)))
        except Closed as closed:
            pause = timedelta(seconds=closed.seconds * (1 + random.random() / 10))  # not everybody at the same moment
            return Step(ending=Retry(self.context.now() + pause, f"{self.option.ref} is overloaded"))

    async def _ask(self, plan: CallModel, key: str | None) -> Step:
        """Wait for a place, write the intent, make the call. What still waits is in no bill and holds no files, and
        a call whose lease was lost while it waited is never made."""
        task, models = self.context.task, self.workload.models
        await models.prepare(self.option)
        limit = models.limit(task.org_id, self.option, key)
        async with limit.slot():
            question = await build_question(self.workload.files, task.org_id, self.spec, plan.conversation)
            asked = request_hash(self.spec, self.option, plan.conversation)
            effect = Effect(self.context.new_effect_id(), MODEL, self.option.ref, plan.number, asked, self.context.now())
            await self.context.write(Step(began=(effect,)))
            try:
                answer = await models.ask(self.option, key, question)
            except ModelFailure as failure:
                if failure.fault is Fault.OVERLOADED:
                    limit.overloaded(failure.retry_after or 0.0)
                return self._failed(effect, failure)
            limit.answered()
            return self._answered(effect, answer)

    def _answered(self, effect: Effect, answer: Answer) -> Step:
        outcome = Outcome(effect.id, DONE, answer.usage, None, self.context.now())
        calls = [_tool_call(effect, n, tool) for n, tool in enumerate(answer.tools)]
        call = record(effect, self.context.task.attempt, self.llm_id, self.option, answer.usage, DONE)
        said = events.assistant_message(clean(answer.text), calls, clean(answer.stop_reason)[:100], call)
        step = Step() if calls else self._finished(clean(answer.text))
        return step._replace(drafts=(said,), ended=(outcome,))

    def _finished(self, text: str) -> Step:
        """The end of a message, and what is begun with the first answer of a session."""
        asked = self.context.ledger[0]
        if self.follow_up is None or asked.message_id != self.context.task.message_id:
            return Step(ending=Done({"text": text}))
        if (refusal := self.follow_up.refusal(text)) is not None:
            return Step(ending=Done({"text": text, REFUSED: refusal}))
        id = self.context.new_session_id(self.follow_up.prefix)
        return Step(ending=Done({"text": text, BEGUN: id}), spawns=(self.follow_up.spawn(id, text, asked.data["content"]),))

    def _failed(self, effect: Effect, failure: ModelFailure) -> Step:
        error = clean(failure.message)
        state = UNSENT if not failure.sent else IN_DOUBT if failure.in_doubt else FAILED
        outcome = Outcome(effect.id, state, Usage(), error, self.context.now())
        call = record(effect, self.context.task.attempt, self.llm_id, self.option, Usage(), state)
        return Step(drafts=(call_failed(call, failure.fault, error, failure.retry_after),), ended=(outcome,))


def _tool_call(effect: Effect, n: int, tool: AskedTool) -> ToolCall:
    own = f"{effect.id}.{n}"  # the model's ids may repeat, or be missing
    return ToolCall(own, clean(tool.call_id) or own, clean(tool.name), clean(tool.arguments))
