"""Effects: what an attempt is about to do outside, and what came of it.

An intent is durable before anything leaves; the outcome is written after. What is still `started` when its attempt
has ended is in doubt: it may have happened, and it may cost.
"""

from datetime import datetime
from typing import Any, NamedTuple

from passel.core.costs import Usage
from passel.core.ids import EffectId

DONE, FAILED, UNSENT, IN_DOUBT = "done", "failed", "unsent", "in_doubt"


class Effect(NamedTuple):
    """An intent. `kind` says what is done ("model", "tool"), `name` with what ("openai:gpt-5.5"); `number` counts the
    effects of a message's kind from 1, `request_hash` recognises the same question."""

    id: EffectId
    kind: str
    name: str
    number: int
    request_hash: str
    started_at: datetime
    detail: dict[str, Any] | None = None


class Outcome(NamedTuple):
    """How an effect ended: `done`, `failed` (it happened and came to nothing, not billed), `unsent` (nothing left:
    refused connections, missing keys), or `in_doubt` (it may have happened)."""

    id: EffectId
    state: str
    usage: Usage
    error: str | None
    ended_at: datetime
