"""The events of deliveries, and the one that tells a session of its delivery's failure.

message.requested         {type, counts?, data?} of the first message; {again: true} of a redelivery
delivery.composed         {data}: what a body holds that could not be read again later, such as a batch's items
delivery.tried            {ok, status, error, milliseconds, retry_after, final}: one try; `status` is None without an answer, and after
                          a final one there is no other
webhook.delivery_failed   {webhook_id, event_type, attempt, final, status_code, error}, in the ledger of the session
                          that the delivery is about
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from passel.core.events import Draft

DELIVERY_COMPOSED = "delivery.composed"
DELIVERY_TRIED = "delivery.tried"
DELIVERY_FAILED = "webhook.delivery_failed"


class Answer(NamedTuple):
    """What one try met. `status` is None where nobody answered, and then `error` says why; `retry_after` in seconds. After a `final`
    one there is no other."""

    status: int | None
    error: str | None
    milliseconds: int
    retry_after: float | None = None
    final: bool = False

    @property
    def ok(self) -> bool:
        return self.error is None


def requested(type: str, counts: dict[str, int] | None) -> dict[str, Any]:
    """The data of a delivery's `message.requested`. `counts` are a batch's as they were then."""
    return {"type": type} if counts is None else {"type": type, "counts": counts}


def said(type: str, data: dict[str, Any]) -> dict[str, Any]:
    """The same of a delivery that tells of no session or batch: `data` is all that it says."""
    return {"type": type, "data": data}


def composed(data: dict[str, Any]) -> Draft:
    return Draft(DELIVERY_COMPOSED, {"data": data})


def tried(answer: Answer) -> Draft:
    return Draft(DELIVERY_TRIED, {"ok": answer.ok, **answer._asdict()})


def delivery_failed(webhook_id: str, event_type: str, tries: int, status: int | None, error: str) -> Draft:
    data = {"webhook_id": webhook_id, "event_type": event_type, "attempt": tries, "final": True, "status_code": status, "error": error}
    return Draft(DELIVERY_FAILED, data)


def answer_of(data: Mapping[str, Any]) -> Answer:
    """What `tried` has told."""
    return Answer(data["status"], data["error"], data["milliseconds"], data["retry_after"], data["final"])
