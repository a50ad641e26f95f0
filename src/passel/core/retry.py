"""When a failed model call is made again, and after how long.

An overloaded provider never fails a turn by itself: it is asked again, at the pace it names, until `patience`
is used up. What looks like an accident (a broken connection, a 5xx, a body that is no answer) gets a few tries.
What the provider refuses for good is not asked again.
"""

from dataclasses import dataclass
from enum import StrEnum


class Fault(StrEnum):
    OVERLOADED = "overloaded"  # 429, 503, 529: the provider did not take the call
    BROKEN = "broken"  # 5xx, or no connection was made: not answered, not billed
    UNKNOWN = "unknown"  # it may have run: time-out, closed in the middle, unreadable answer
    REFUSED = "refused"  # 4xx: the same call would be refused again


class ModelFailure(Exception):
    """A call of a model that gave no answer. `message` is the upstream error as it was said, `retry_after` in seconds."""

    def __init__(self, fault: Fault, message: str, status: int | None = None, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.fault, self.message, self.status, self.retry_after = fault, message, status, retry_after

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

    def delay(self, failure: ModelFailure, accidents: int, overloads: int, waited: float, jitter: float) -> float | None:
        """Seconds until the next try, or None to give up.

        `accidents` and `overloads` count the failures so far with this one, `waited` is the time since the first
        call in seconds, `jitter` is uniform in [0, 1).
        """
        if failure.fault is Fault.REFUSED:
            return None
        if failure.fault is Fault.OVERLOADED:
            if waited >= self.patience:
                return None
            exponent = min(overloads - 1, 16)
        else:
            if accidents >= self.tries:
                return None
            exponent = min(accidents - 1, 16)
        backoff = min(self.base * 2**exponent, self.ceiling) * (0.5 + jitter / 2)
        return max(backoff, failure.retry_after or 0.0)
