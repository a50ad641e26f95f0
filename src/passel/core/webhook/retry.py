"""When a delivery is tried again, and when nobody tries any more: pure, from the tries in its own ledger.

A try that fails is followed by another after 5 s, 30 s, 2 min, 10 min, 30 min, 2 h and 6 h, each pause longer or shorter
by up to a fifth, so that what failed together does not come back together. A receiver may ask for a longer pause
(`Retry-After`), up to a day. 410 says that nobody will ever take this delivery, and ends it. Wire formats may have pauses of their
own, and further answers that end it.
"""

import hashlib
from collections.abc import Container, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from passel.core.events import Event
from passel.core.ids import MessageId
from passel.core.webhook.events import DELIVERY_TRIED, Answer, answer_of

PAUSES = (5.0, 30.0, 120.0, 600.0, 1800.0, 7200.0, 21600.0)
GONE = 410
_JITTER = 0.2
LONGEST_PAUSE = 86400.0


@dataclass(frozen=True, slots=True)
class Post:
    """Send it, as try `number`. Who was woken before its moment was woken on purpose, so nobody looks at the clock."""

    number: int


@dataclass(frozen=True, slots=True)
class Delivered:
    """It was acknowledged; only the end of the message is missing."""


@dataclass(frozen=True, slots=True)
class GiveUp:
    tries: int
    status: int | None
    error: str


def next_step(ledger: Sequence[Event], message_id: MessageId) -> Post | Delivered | GiveUp:
    """What is to be done next about a message of a delivery, whoever asks and however often."""
    tries = tries_of(ledger, message_id)
    if not tries:
        return Post(1)
    last = tries[-1]
    if last.ok:
        return Delivered()
    if last.final:
        return GiveUp(len(tries), last.status, last.error or "")
    return Post(len(tries) + 1)


def next_try(message_id: MessageId, number: int, answer: Answer, now: datetime, pauses: Sequence[float] = PAUSES) -> datetime | None:
    """When the try after a failed one is made; None when there is none."""
    if answer.final:
        return None
    pause = pauses[number - 1] * (1 + _JITTER * _spread(message_id, number))
    return now + timedelta(seconds=max(pause, min(answer.retry_after or 0.0, LONGEST_PAUSE)))


def tries_of(ledger: Sequence[Event], message_id: MessageId) -> list[Answer]:
    return [answer_of(event.data) for event in ledger if event.message_id == message_id and event.type == DELIVERY_TRIED]


def judged(answer: Answer, number: int, pauses: Sequence[float] = PAUSES, final: Container[int] = (GONE,)) -> Answer:
    """What try `number` met, and whether that was the last."""
    return answer._replace(final=not answer.ok and ((answer.status or 0) in final or number > len(pauses)))


def _spread(message_id: MessageId, number: int) -> float:
    """Uniform in [-1, 1), and the same for the same try, whichever worker asks."""
    digest = hashlib.blake2b(f"{message_id} {number}".encode(), digest_size=4).digest()
    return int.from_bytes(digest) / 2**31 - 1
