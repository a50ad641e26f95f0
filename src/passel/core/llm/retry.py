"""When a failed model call is made again, and when nobody asks any more: pure, from the events of the calls.

An overloaded provider never fails a message by itself: it is asked again, at the pace it names, until `patience`
is used up. What looks like an accident (a broken connection, a 5xx, a body that is no answer) gets a few tries.
What the provider refuses for good is not asked again. All of it is counted from the ledger, so a worker that takes
over goes on where the last one stopped.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from passel.core.events import Event
from passel.core.llm.events import CALL_FAILED


class Fault(StrEnum):
    """What a failed call met: it decides whether the call is made again, and whether it may be billed."""

    OVERLOADED = "overloaded"  # 429, 503, 529: the provider did not take the call
    BROKEN = "broken"  # 5xx, or no connection was made: not answered, not billed
    UNKNOWN = "unknown"  # it may have run: time-out, closed in the middle, unreadable answer
    REFUSED = "refused"  # 4xx: the same call would be refused again
    UNSENT = "unsent"  # nothing left, and nothing ever will: no key, a forbidden address


class ModelFailure(Exception):
    """A call of a model that gave no answer. `message` is the upstream error as it was said, `retry_after` in seconds,
    `sent` whether a request left at all."""

    def __init__(
        self, fault: Fault, message: str, status: int | None = None, retry_after: float | None = None, *, sent: bool = True
    ) -> None:
        super().__init__(message)
        self.fault, self.message, self.status, self.retry_after = fault, message, status, retry_after
        self.sent = sent and fault is not Fault.UNSENT

    @property
    def in_doubt(self) -> bool:
        """Whether the provider may have done the work, and bill it."""
        return self.fault is Fault.UNKNOWN


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """`tries` for accidents, `patience` in seconds for an overloaded provider, `base` and `ceiling` of the
    exponential delay in seconds."""

    tries: int = 4
    patience: float = 3600.0
    base: float = 0.5
    ceiling: float = 60.0


@dataclass(frozen=True, slots=True)
class Again:
    """Ask once more, not before `at`; `reason` is what the last call met."""

    at: datetime
    reason: str


@dataclass(frozen=True, slots=True)
class NoMore:
    """Give up; `error` is what the last call met."""

    error: str


def after_failures(events: Iterable[Event], policy: RetryPolicy) -> Again | NoMore | None:
    """What the failed calls of one question come to: None when there are none.

    `events` are those since the question was first asked. Patience runs from the first overload to the latest.
    """
    accidents = overloads = 0
    since: datetime | None = None
    last: Event | None = None
    for event in events:
        if event.type != CALL_FAILED:
            continue
        last = event
        if event.data["fault"] == Fault.OVERLOADED:
            overloads += 1
            since = since or event.created_at
        else:
            accidents += 1
    if last is None:
        return None
    delay = _delay(last, accidents, overloads, since, policy)
    return NoMore(last.data["error"]) if delay is None else Again(last.created_at + timedelta(seconds=delay), last.data["error"])


def _delay(last: Event, accidents: int, overloads: int, since: datetime | None, policy: RetryPolicy) -> float | None:
    """Seconds from the last failure to the next call; None to give up."""
    fault = last.data["fault"]
    if fault in (Fault.REFUSED, Fault.UNSENT):
        return None
    if fault == Fault.OVERLOADED:
        assert since is not None
        if (last.created_at - since).total_seconds() >= policy.patience:
            return None
        exponent = min(overloads - 1, 16)
    else:
        if accidents >= policy.tries:
            return None
        exponent = min(accidents - 1, 16)
    backoff = min(policy.base * 2**exponent, policy.ceiling) * (0.5 + _jitter(last.data["call"]["id"]) / 2)
    return max(backoff, last.data.get("retry_after") or 0.0)


def _jitter(call_id: str) -> float:
    """Uniform in [0, 1), and the same for the same call: a resume waits for what the first worker waited for."""
    return int.from_bytes(hashlib.blake2b(call_id.encode(), digest_size=4).digest()) / 2**32
