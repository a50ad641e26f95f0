"""Web tasks: a model drives a browser session until something is done (2.8 of the `anchor` contract). What is asked, and what the
session's ledger says of it. Pure.

browser.task_requested  {task, prompt, url, model, max_steps, output_schema, secrets}: secrets are their names
browser.task_answered   {task, step, text, actions, call}: what the model wants to be done, and what its answer cost
browser.task_acted      {task, step, results, url}: what came of that, and where the page is then
model.call_failed       of a call that gave no answer, as everywhere
browser.task_ended      {task, status, result, error, steps, usage}

`task` counts the tasks of a session from 1. A task lives in the session's attempt: one that has no end when the session has ended was
broken off with it, and is never begun again by itself.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from passel.core.costs import Usage, decimal_string
from passel.core.events import Draft, Event
from passel.core.llm.options import LlmOption

REQUESTED, ANSWERED, ACTED, ENDED = "browser.task_requested", "browser.task_answered", "browser.task_acted", "browser.task_ended"
TOLD = (REQUESTED, ANSWERED, ACTED, ENDED)

SEALED_FOR = "web task"
"""Whom the secrets of a task are sealed for, before the session's id: they go to its worker so."""

RUNNING, COMPLETED, FAILED = "RUNNING", "COMPLETED", "FAILED"

MOST_STEPS = 200


@dataclass(frozen=True, slots=True)
class WebTask:
    """What a worker is asked. `instructions` are said to the model beside our own, `seconds` and `tokens` bound the whole of it, `secrets`
    are values by name that the model may have typed and never sees. With `ends_session` the browser was made for it; with
    `highlight` people who watch see what it is at."""

    prompt: str
    option: LlmOption
    url: str | None = None
    instructions: str = ""
    max_steps: int = MOST_STEPS
    seconds: float = 1800.0
    tokens: int = 2_000_000
    output_schema: dict[str, Any] | None = None
    secrets: dict[str, str] = field(default_factory=dict[str, str], repr=False)
    ends_session: bool = False
    highlight: bool = False

    def to_json(self) -> dict[str, Any]:
        """Without its secrets."""
        told = {name: getattr(self, name) for name in self.__slots__ if name != "secrets"}
        return told | {"option": self.option.to_json()}

    @staticmethod
    def from_json(data: Mapping[str, Any], secrets: dict[str, str]) -> "WebTask":
        told: dict[str, Any] = {**data, "option": LlmOption(**data["option"])}
        return WebTask(**told, secrets=secrets)


@dataclass(frozen=True, slots=True)
class TaskRead:
    """A task as its session's ledger has it."""

    status: str
    result: Any = None
    error: str | None = None
    steps: int = 0
    usage: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(slots=True)
class Spent:
    """What the answers of a task's model came to. `cost_usd` is None once one of them has no known price."""

    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: Decimal | None = field(default_factory=Decimal)

    @property
    def tokens(self) -> int:
        return self.input_tokens + self.output_tokens

    def add(self, usage: Usage) -> None:
        self.input_tokens += usage.input_tokens
        self.output_tokens += usage.output_tokens
        self.cost_usd = None if self.cost_usd is None or usage.cost_usd is None else self.cost_usd + usage.cost_usd

    def to_json(self) -> dict[str, Any]:
        cost = None if self.cost_usd is None else decimal_string(self.cost_usd)
        return {"input_tokens": self.input_tokens, "output_tokens": self.output_tokens, "cost_usd": cost}


def requested(task: int, wanted: WebTask) -> Draft:
    told = {"task": task, "prompt": wanted.prompt, "url": wanted.url, "model": wanted.option.place, "max_steps": wanted.max_steps}
    return Draft(REQUESTED, told | {"output_schema": wanted.output_schema, "secrets": sorted(wanted.secrets)})


def answered(task: int, step: int, text: str, actions: Sequence[Mapping[str, Any]], call: dict[str, Any]) -> Draft:
    return Draft(ANSWERED, {"task": task, "step": step, "text": text, "actions": list(actions), "call": call})


def acted(task: int, step: int, results: Sequence[str], url: str) -> Draft:
    return Draft(ACTED, {"task": task, "step": step, "results": list(results), "url": url})


def completed(task: int, result: Any, steps: int, spent: Spent) -> Draft:
    return _end(task, TaskRead(COMPLETED, result, None, steps, spent.to_json()))


def failed(task: int, error: str, steps: int, spent: Spent) -> Draft:
    return _end(task, TaskRead(FAILED, None, error, steps, spent.to_json()))


def read_end(told: Mapping[str, Any]) -> TaskRead:
    """Of the event that ends a task."""
    return TaskRead(told["status"], told["result"], told["error"], told["steps"], told["usage"])


def left_open(ledger: Sequence[Event], reason: str) -> tuple[Draft, ...]:
    """The end of a task that was under way when its session ended without a word of it."""
    numbers = [event.data["task"] for event in ledger if event.type == REQUESTED]
    ended = {event.data["task"] for event in ledger if event.type == ENDED}
    told = {number: read(ledger, number, reason) for number in numbers if number not in ended}
    return tuple(_end(number, one) for number, one in told.items() if one is not None)


def _end(task: int, told: TaskRead) -> Draft:
    how = {"status": told.status, "result": told.result, "error": told.error, "steps": told.steps, "usage": dict(told.usage)}
    return Draft(ENDED, {"task": task, **how})


def broken_off(reason: str) -> str:
    return f"the session ended before its task was done: {reason}"


def read(ledger: Sequence[Event], task: int, over: str | None) -> TaskRead | None:
    """None where the session has no such task. `over` says why a session has ended, once it has."""
    steps, known, spent = 0, False, Spent()
    for event in ledger:
        if event.data.get("task") != task:
            continue
        if event.type == REQUESTED:
            known = True
        elif event.type == ANSWERED:
            steps = event.data["step"]
            call = event.data["call"]
            cost = None if call["cost_usd"] is None else Decimal(call["cost_usd"])
            spent.add(Usage(call["input_tokens"], call["output_tokens"], call["cache_read_tokens"], cost))
        elif event.type == ENDED:
            return read_end(event.data)
    if not known:
        return None
    if over is None:
        return TaskRead(RUNNING, steps=steps, usage=spent.to_json())
    return TaskRead(FAILED, None, broken_off(over), steps, spent.to_json())
