"""The workload of the kind `webhook`: one attempt at delivering one letter.

    plan (from the tries in the delivery's own ledger) -> read the letter -> POST -> write what came of it

A POST is no effect with an intent of its own, as calls of models are: it costs nothing, and repeating it is what the id of
the delivery is for. A worker that dies after a POST and before its answer is durable has it sent again, with the same id.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from passel.core.context import Context, Step
from passel.core.endings import Done, Fail, Retry
from passel.core.errors import NotReady
from passel.core.events import MESSAGE_REQUESTED
from passel.core.webhook import events
from passel.core.webhook.events import Answer
from passel.core.webhook.letters import Desk, Form, Letter, Undeliverable
from passel.core.webhook.retry import GONE, PAUSES, Delivered, GiveUp, Post, judged, next_step, next_try, tries_of
from passel.workloads.loop import until_ended
from passel.workloads.webhook.postman import Postman

DELIVERED, SUPERSEDED = "delivered", "superseded"


@dataclass(frozen=True, slots=True)
class WebhookWorkload:
    """`forms` has the wire format in which each kind announces."""

    desk: Desk
    forms: Mapping[str, Form]
    postman: Postman

    async def __call__(self, context: Context) -> Step:
        return await until_ended(context, _Delivery(self, context).next)


@dataclass(frozen=True, slots=True)
class _Delivery:
    """`next` acts on the ledger as it is, and returns what came of it."""

    workload: WebhookWorkload
    context: Context

    async def next(self) -> Step:
        plan = next_step(self.context.ledger, self.context.task.message_id)
        match plan:
            case Delivered():
                return _done(DELIVERED)
            case GiveUp():
                return await self._give_up(plan)
            case Post(number):
                try:
                    return await self._try(number)
                except Undeliverable as gone:
                    return await self._give_up(GiveUp(number - 1, self._last_status(), f"dropped: {gone}"))

    async def _try(self, number: int) -> Step:
        desk, task = self.workload.desk, self.context.task
        try:
            letter = await desk.letter(task.session_id, self._asked().get("again", False))
        except NotReady as error:  # the secret does not open: whoever mends that has hours, as with a receiver that is down
            return self._after(number, judged(Answer(None, str(error), 0), number))
        if number > 1 and await desk.is_over(letter):
            return _done(SUPERSEDED)
        letter = replace(letter, told=await self._told(letter))
        form = self.workload.forms[letter.kind]
        body = form.body(letter)
        answer = await self.workload.postman.post(letter.url, body, form.headers(letter, body, self.context.now()))
        if answer.status == GONE and form.gone_is_gone:
            await desk.disable(letter)
        return self._after(number, judged(answer, number, form.pauses, form.final), form.pauses)

    def _after(self, number: int, answer: Answer, pauses: Sequence[float] = PAUSES) -> Step:
        drafts = (events.tried(answer),)
        if answer.ok:
            return Step(drafts, ending=_done(DELIVERED).ending)
        at = next_try(self.context.task.message_id, number, answer, self.context.now(), pauses)
        return Step(drafts) if at is None else Step(drafts, ending=Retry(at, answer.error or ""))

    async def _give_up(self, plan: GiveUp) -> Step:
        """The session is told first: a worker that takes over from here tells it again, which changes nothing."""
        letter_type, delivery_id = self._type(), self.context.task.session_id
        told = events.delivery_failed(delivery_id, letter_type, plan.tries, plan.status, plan.error)
        await self.workload.desk.tell_of_failure(delivery_id, told)
        return Step(ending=Fail(plan.error))

    async def _told(self, letter: Letter) -> dict[str, object] | None:
        """What the letter says beside its event. It is read once, and kept: every try says the same."""
        for event in self.context.ledger:
            if event.type == events.DELIVERY_COMPOSED:
                return event.data["data"]
        asked = self.context.ledger[0].data
        if "data" in asked:
            return asked["data"]
        data = await self.workload.desk.compose(letter, asked.get("counts"))
        if data is None:
            return None
        await self.context.write(Step((events.composed(data),)))
        return data

    def _asked(self) -> dict[str, bool]:
        own = self.context.task.message_id
        return next(e.data for e in self.context.ledger if e.type == MESSAGE_REQUESTED and e.message_id == own)

    def _type(self) -> str:
        return self.context.ledger[0].data["type"]

    def _last_status(self) -> int | None:
        tries = tries_of(self.context.ledger, self.context.task.message_id)
        return tries[-1].status if tries else None


def _done(outcome: str) -> Step:
    return Step(ending=Done({"outcome": outcome}))
