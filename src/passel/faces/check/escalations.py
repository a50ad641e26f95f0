"""Escalations in this wire format (D29): their bodies, and what a person says."""

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from passel.core.text import require_storable
from passel.core.verification import escalations as core
from passel.faces.check.requests import parse
from passel.faces.kit.json import timestamp
from passel.services.verification.escalations import Escalation, id_of

Body = dict[str, Any]


class ResolveFields(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore")

    resolution: Literal["accept", "reject"]
    verdict: Literal["true", "false", "uncertain"] | None = None
    note: str | None = Field(None, max_length=10_000)


def resolve_request(body: Body) -> ResolveFields:
    """Raises `Unprocessable`."""
    fields = parse(ResolveFields, body)
    require_storable(fields.note or "", "note")
    return fields


def brief(verification_id: str, result: Body, escalated_at: datetime, now: datetime) -> Body:
    """As a verification shows it."""
    return {
        "id": id_of(verification_id),
        "reason": result["escalation"],
        "priority": core.priority(result["confidence"]),
        "deadline": timestamp(core.deadline(escalated_at)),
        "status": core.status(result, escalated_at, now),
    }


def full(found: Escalation, now: datetime) -> Body:
    result, review = found.result, core.review_of(found.result)
    return brief(found.session_id, result, found.escalated_at, now) | {
        "verificationId": found.session_id,
        "batchId": found.batch_id,
        "content": found.content,
        "verdict": result["verdict"],
        "confidence": result["confidence"],
        "decision": result["decision"],
        "reasoning": result["reasoning"],
        "createdAt": timestamp(found.escalated_at),
        "review": None if review is None else review_body(review),
    }


def review_body(review: core.Review) -> Body:
    return {
        "resolution": review.resolution,
        "verdict": review.verdict,
        "note": review.note,
        "resolvedBy": review.resolved_by,
        "resolvedAt": timestamp(datetime.fromisoformat(review.resolved_at)),
    }
