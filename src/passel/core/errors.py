"""What can go wrong for a caller, as a tree. Each has a stable `code`; faces map codes to statuses.

    PasselError
    +-- Invalid            the request breaks a rule; `field` names where
    |   +-- Unprocessable  the request is well formed and cannot be served
    +-- Unauthenticated    no key, or one we do not know
    |   +-- RevokedKey     one that was good once
    +-- Forbidden          the thing belongs to another organisation
    +-- NotFound           there is no such thing
    +-- Conflict           the thing is in a state that does not allow it
    +-- TooLarge           past a configured limit
    +-- QuotaExceeded      the organisation's plan does not include it, or has no more of it
    +-- RateLimited        too many requests; the same call works later
    +-- Unavailable        a part that we need is away; the same call may work later

Two are no answers to anybody, and no `PasselError`: a worker that lost its lease gets `LeaseLost`, and work whose
footing is missing (a model file, a secret key) gets `NotReady` and is tried again.
"""

from collections.abc import Sequence
from dataclasses import dataclass


class PasselError(Exception):
    code = "error"

    def __init__(self, message: str, *, field: str | None = None, errors: "Sequence[FieldError]" = ()) -> None:
        """`errors` where more than one rule is broken; else `field` alone says where."""
        super().__init__(message)
        self.message = message
        self.field = field
        self.errors = tuple(errors) or ((FieldError(field, message),) if field is not None else ())


class Invalid(PasselError):
    code = "invalid"


class Unprocessable(Invalid):
    code = "unprocessable"


class Unauthenticated(PasselError):
    code = "unauthenticated"


class RevokedKey(Unauthenticated):
    pass


class Forbidden(PasselError):
    code = "forbidden"


class NotFound(PasselError):
    code = "not_found"


class Conflict(PasselError):
    code = "conflict"


class TooLarge(PasselError):
    code = "too_large"


class QuotaExceeded(PasselError):
    code = "quota_exceeded"


class RateLimited(PasselError):
    code = "rate_limited"


class Unavailable(PasselError):
    code = "unavailable"


class NotReady(Exception):
    """Something that the work stands on is not here. `str` says what, and what to do about it."""


class LeaseLost(Exception):
    """Another attempt owns the session now, or it was cancelled: drop the work, write nothing."""


@dataclass(frozen=True, slots=True)
class FieldError:
    """One broken rule: where (`items[3].message.content`) and what."""

    loc: str
    msg: str
