"""What is handed to a person to decide, and what that person decides (D29 of the `check` contract). Pure.

An escalation is a verification whose result names a reason; `review` in the result is what came of it.

escalation.resolved     {resolution, verdict, note, resolved_by, resolved_at}, in the verification's ledger
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from passel.core.events import Draft
from passel.core.verification.findings import FALSE, TRUE
from passel.core.verification.pooling import ACCEPT, CONFLICT, LOW_CONFIDENCE, NOT_APPLICABLE, REJECT, UNCLEAR

RESOLVED_EVENT = "escalation.resolved"

PENDING, IN_REVIEW, RESOLVED, EXPIRED = "pending", "in_review", "resolved", "expired"
STATUSES = (PENDING, IN_REVIEW, RESOLVED, EXPIRED)
"""Those of the record; nothing is `in_review` here, since a decision is one call."""
HIGH, MEDIUM, LOW = "high", "medium", "low"
PRIORITIES = (HIGH, MEDIUM, LOW)
REASONS = (LOW_CONFIDENCE, CONFLICT, UNCLEAR, NOT_APPLICABLE, "method_failure")

TIME_TO_DECIDE = timedelta(hours=24)

_DECIDED = ("decision", "verdict")
_VERDICTS = {ACCEPT: TRUE, REJECT: FALSE}
RESOLUTIONS = tuple(_VERDICTS)


class Review(NamedTuple):
    """What a person decided. `resolved_by` is the API key that said so, `resolved_at` a moment in ISO 8601."""

    resolution: str
    verdict: str
    note: str | None
    resolved_by: str
    resolved_at: str

    @staticmethod
    def of(resolution: str, verdict: str | None, note: str | None, by: str, at: datetime) -> "Review":
        """Whoever names no verdict means what the resolution says: true, or false."""
        return Review(resolution, verdict or _VERDICTS[resolution], note, by, at.isoformat())

    def decided(self, before: Mapping[str, Any]) -> dict[str, Any]:
        """What of the verification's result it replaces; what stood there before is kept."""
        kept = {name: before.get(name) for name in _DECIDED}
        return {"decision": self.resolution, "verdict": self.verdict, "review": self._asdict(), "before": kept}


def resolved(review: Review) -> Draft:
    return Draft(RESOLVED_EVENT, review._asdict())


def is_escalated(result: Mapping[str, Any] | None) -> bool:
    """Whether a person was asked, whatever came of it. Whoever took a result over asks nobody again."""
    return result is not None and result["escalation"] is not None and "reused" not in result


def review_of(result: Mapping[str, Any]) -> Review | None:
    told = result.get("review")
    return Review(**told) if told else None


def priority(confidence: float) -> str:
    """`list_escalations.sql` has the same rule."""
    return HIGH if confidence < 0.5 else MEDIUM if confidence < 0.8 else LOW


def deadline(escalated_at: datetime) -> datetime:
    return escalated_at + TIME_TO_DECIDE


def status(result: Mapping[str, Any], escalated_at: datetime, now: datetime) -> str:
    """`list_escalations.sql` has the same rule."""
    if "review" in result:
        return RESOLVED
    return PENDING if now < deadline(escalated_at) else EXPIRED
