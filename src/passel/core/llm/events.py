"""The events of model calls, for every kind that asks models.

    model.call_failed   {call, fault, error, retry_after}: a call that gave no answer

A call that gave one is told by the event of its kind (`assistant.message`), with the same `call`.
"""

from typing import Any

from passel.core.costs import Usage, decimal_string
from passel.core.effects import Effect
from passel.core.events import Draft
from passel.core.llm.options import LlmOption

CALL_FAILED = "model.call_failed"
MODEL = "model"


def record(effect: Effect, attempt: int, llm_id: str | None, option: LlmOption, usage: Usage, state: str) -> dict[str, Any]:
    """A call as its event tells it: enough to recompute the bill from the ledger alone."""
    return {
        "id": effect.id,
        "attempt": attempt,
        "number": effect.number,
        "llm_id": llm_id,
        "provider": option.provider,
        "model": option.model,
        "request_hash": effect.request_hash,
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "cache_read_tokens": usage.cache_read_tokens,
        "cost_usd": None if usage.cost_usd is None else decimal_string(usage.cost_usd),
        "state": state,
    }


def call_failed(call: dict[str, Any], fault: str, error: str, retry_after: float | None) -> Draft:
    """`retry_after` in seconds, as the provider named it."""
    return Draft(CALL_FAILED, {"call": call, "fault": fault, "error": error, "retry_after": retry_after})
