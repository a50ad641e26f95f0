"""What models answer, read strictly: one JSON object in the form that was asked for. One that cannot be read is asked for again
once."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar, cast

from passel.core.errors import LeaseLost, NotReady
from passel.core.llm.options import LlmOption
from passel.core.text import clean
from passel.core.verification.findings import FALSE, TRUE, UNCERTAIN
from passel.models.questions import Question, Spoken
from passel.workloads.verification.methods import Models, Unreadable

T = TypeVar("T")
Fields = Mapping[str, Any]

_MOST_STARTS = 200
_LONGEST_TEXT = 4000
_THINK, _THOUGHT = "<think>", "</think>"
_DECODER = json.JSONDecoder()


class Misread(ValueError):
    """An answer is not in its form; the message says what is wrong with it."""


async def structured(
    models: Models,
    name: str,
    question: Question,
    read: Callable[[Fields], T],
    *,
    settings: Mapping[str, Any] | None = None,
    option: LlmOption | None = None,
) -> T:
    """What `read` makes of the answer. Raises `NoAnswer`, and `Unreadable` when the second answer is none either."""
    text = await models.ask(name, question, settings=settings, option=option)
    try:
        return read(json_object(text))
    except Misread as problem:
        again = f"That cannot be read: {problem}. Answer again, with the JSON object alone."
        conversation = (*question.conversation, Spoken("assistant", (text or "(nothing)",)), Spoken("user", (again,)))
    text = await models.ask(f"{name}, again", question._replace(conversation=conversation), settings=settings, option=option)
    try:
        return read(json_object(text))
    except Misread as problem:
        raise Unreadable(f"the model's answer cannot be read: {problem}") from problem


async def side_by_side(*questions: Awaitable[T]) -> list[T]:
    """The answers, in order. When one fails the others are waited for: they are paid anyway."""
    answers = await settled(*questions)
    for answer in answers:
        if isinstance(answer, BaseException):
            raise answer
    return cast(list[T], answers)


async def settled(*questions: Awaitable[T]) -> list[T | Exception]:
    """The same, with what failed in its place. Raises at once what is no failure of the model's."""
    answers = await asyncio.gather(*questions, return_exceptions=True)
    for answer in answers:
        if isinstance(answer, LeaseLost | NotReady) or (isinstance(answer, BaseException) and not isinstance(answer, Exception)):
            raise answer
    return cast("list[T | Exception]", answers)


def json_object(text: str) -> Fields:
    """The object of an answer: all of it, or the last one in it. Raises `Misread`."""
    text = _without_thoughts(text)
    found: Any = None
    position = text.find("{")
    for _ in range(_MOST_STARTS):
        if position < 0:
            break
        try:
            found, end = _DECODER.raw_decode(text, position)
        except (ValueError, RecursionError):
            end = position + 1
        position = text.find("{", end)
    if not isinstance(found, dict):
        raise Misread("there is no JSON object in it")
    return cast(Fields, found)


def _without_thoughts(text: str) -> str:
    said: list[str] = []
    at = 0
    while (begin := text.find(_THINK, at)) >= 0 and (end := text.find(_THOUGHT, begin)) >= 0:
        said.append(text[at:begin])
        at = end + len(_THOUGHT)
    return "".join([*said, text[at:]])


def text_of(fields: Fields, name: str) -> str:
    value = fields.get(name)
    if not isinstance(value, str):
        raise Misread(f"{name} must be a text")
    return clean(value)[:_LONGEST_TEXT]


def texts_of(fields: Fields, name: str, most: int) -> list[str]:
    value = fields.get(name)
    if not isinstance(value, list) or not all(isinstance(one, str) for one in cast(list[Any], value)):
        raise Misread(f"{name} must be a list of texts")
    return [clean(one).strip()[:_LONGEST_TEXT] for one in cast(list[str], value) if one.strip()][:most]


def share_of(value: Any, name: str) -> float:
    """From 0 to 1. What is above is taken for percent, as models will have it."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 100:
        raise Misread(f"{name} must be a number from 0 to 1")
    return float(value) if value <= 1 else value / 100


def shares_of(fields: Fields, name: str, count: int) -> list[float]:
    value = fields.get(name)
    if not isinstance(value, list) or len(cast(list[Any], value)) != count:
        raise Misread(f"{name} must be a list of {count} numbers")
    return [share_of(one, name) for one in cast(list[Any], value)]


def verdict_of(fields: Fields, name: str = "verdict") -> str:
    value = fields.get(name)
    told = str(value).strip().lower() if isinstance(value, str | bool) else None
    if told not in (TRUE, FALSE, UNCERTAIN):
        raise Misread(f'{name} must be "true", "false" or "uncertain"')
    return told
