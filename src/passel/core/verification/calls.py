"""The model calls of a verification, as its ledger tells of them: what was answered need not be asked again. Pure."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from math import ceil
from typing import NamedTuple

from passel.core.events import EFFECT_IN_DOUBT, Draft, Event
from passel.core.llm.events import CALL_FAILED, MODEL

MODEL_ANSWERED = "model.answered"


class Asked(NamedTuple):
    """Which question: those of a method in one round have names of their own."""

    round: int
    method: str
    question: str


@dataclass(slots=True)
class Calls:
    """`last` is the highest number of a call, `cost_usd` what the answers cost as far as prices are known."""

    answers: dict[Asked, str] = field(default_factory=dict[Asked, str])
    failures: dict[Asked, list[Event]] = field(default_factory=lambda: defaultdict[Asked, list[Event]](list))
    last: int = 0
    cost_usd: Decimal = Decimal(0)

    def answered(self, told: Event | Draft) -> None:
        self.answers[_asked(told)] = told.data["text"]
        self.cost_usd += Decimal(told.data["call"]["cost_usd"] or 0)
        self._count(told.data["call"]["number"])

    def failed(self, told: Event) -> None:
        self.failures[_asked(told)].append(told)
        self._count(told.data["call"]["number"])

    def read(self, ledger: Iterable[Event]) -> None:
        """The events of one message."""
        for event in ledger:
            if event.type == MODEL_ANSWERED:
                self.answered(event)
            elif event.type == CALL_FAILED:
                self.failed(event)
            elif event.type == EFFECT_IN_DOUBT and event.data["effect"]["kind"] == MODEL:
                self._count(event.data["effect"]["number"])

    def retries(self, round: int, method: str) -> int:
        """How often a question of this method was asked again."""
        return max((len(failed) - 1 for asked, failed in self.failures.items() if asked[:2] == (round, method)), default=0)

    def next_number(self) -> int:
        self.last += 1
        return self.last

    @property
    def cost_cents(self) -> int:
        """Begun cents count (D25)."""
        return ceil(self.cost_usd * 100)

    def _count(self, number: int) -> None:
        self.last = max(self.last, number)


def _asked(told: Event | Draft) -> Asked:
    return Asked(told.data["round"], told.data["method"], told.data["question"])
