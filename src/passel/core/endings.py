"""How an attempt ends, as values. Exceptions are surprises, which the engine turns into a `Retry` or a `Fail`."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class Done:
    """The message is answered. `result` is what its kind makes of it, as a JSON object; `charge` in cents is what an item of a
    batch costs whoever asked, where the kind says so. `counts_as` names what it is one more of in the organisation's usage."""

    result: dict[str, Any] = field(default_factory=dict[str, Any])
    charge: int = 0
    counts_as: str | None = None


@dataclass(frozen=True, slots=True)
class Fail:
    """The message failed for good: a verdict, not an accident. `error` is what the client reads."""

    error: str


@dataclass(frozen=True, slots=True)
class Wait:
    """For something from outside. The message gives back its worker and its place, and is taken again when what it
    waits for arrives (`passel.store.waking`), or at `until`."""

    until: datetime | None
    reason: str


@dataclass(frozen=True, slots=True)
class Retry:
    """Tried again at a moment; worker and place are given back until then. `fault` marks a fault of the
    infrastructure, whose tries are counted (`passel.core.faults`)."""

    at: datetime
    reason: str
    fault: bool = False


Ending = Done | Fail | Wait | Retry
