"""The events of verifications, and the one place that spells their payloads.

message.requested   {content, methods, context, options}: the claim (`passel.core.verification.claims`)
method.ended        {id, round, method, verdict, confidence, reasoning, applicable, evidence, provider, model, milliseconds}
method.failed       {id, round, method, error, timed_out, retries, milliseconds}
model.answered      {round, method, question, text, call}: `question` is the call's name within its method
model.call_failed   {round, method, question, call, fault, error, retry_after} (`passel.core.llm.events`)
"""

from dataclasses import asdict
from typing import Any

from passel.core.events import Draft
from passel.core.llm.events import call_failed
from passel.core.verification.calls import MODEL_ANSWERED, Asked
from passel.core.verification.findings import Finding

METHOD_ENDED = "method.ended"
METHOD_FAILED = "method.failed"


def method_ended(
    id: str, round: int, method: str, finding: Finding, milliseconds: int, provider: str | None = None, model: str | None = None
) -> Draft:
    data = {"id": id, "round": round, "method": method, **asdict(finding), "evidence": list(finding.evidence)}
    return Draft(METHOD_ENDED, data | {"provider": provider, "model": model, "milliseconds": milliseconds})


def method_failed(id: str, round: int, method: str, error: str, milliseconds: int, *, timed_out: bool = False, retries: int = 0) -> Draft:
    data: dict[str, Any] = {"id": id, "round": round, "method": method, "error": error, "timed_out": timed_out}
    return Draft(METHOD_FAILED, data | {"retries": retries, "milliseconds": milliseconds})


def model_answered(asked: Asked, text: str, call: dict[str, Any]) -> Draft:
    return Draft(MODEL_ANSWERED, {**asked._asdict(), "text": text, "call": call})


def model_failed(asked: Asked, call: dict[str, Any], fault: str, error: str, retry_after: float | None) -> Draft:
    told = call_failed(call, fault, error, retry_after)
    return Draft(told.type, {**asked._asdict(), **told.data})
