"""Deliveries in this wire format (section 6, D19-D21): pure functions. Implements `passel.core.webhook.letters.Form`.

X-Check-Signature    t=<Unix seconds>,v1=<hex of HMAC-SHA256 over "<t>." and the exact body>; several `v1` while an old secret counts
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import orjson
from pydantic import BaseModel, ConfigDict, Field

from passel.core.states import Counts
from passel.core.text import require_storable
from passel.core.verification.announcements import ESCALATION_RESOLVED, VERIFICATION_COMPLETED, VERIFICATION_ESCALATED, VERIFICATION_FAILED
from passel.core.verification.escalations import Review
from passel.core.webhook.letters import Letter
from passel.core.webhook.retry import GONE
from passel.core.webhook.signatures import hmac_hex
from passel.faces.check import escalations, responses
from passel.faces.check.requests import parse
from passel.faces.kit.json import timestamp
from passel.services.batches import Batch, Item
from passel.services.verification.verifications import Verification
from passel.services.verification.webhooks import Endpoint
from passel.services.webhooks import ReadDelivery, Webhook

Body = dict[str, Any]

SIGNATURE = "X-Check-Signature"
_PAUSES = (10.0, 60.0, 300.0, 1800.0, 7200.0, 21600.0, 43200.0)
_STATUS = {VERIFICATION_COMPLETED: "completed", VERIFICATION_ESCALATED: "escalated", VERIFICATION_FAILED: "failed"}


class WebhookFields(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore")

    url: str
    events: list[str] = Field(max_length=100)
    description: str | None = Field(None, max_length=1000)
    includeBatchItems: bool = False


class ChangeFields(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore")

    url: str | None = None
    events: list[str] | None = Field(None, max_length=100)
    description: str | None = Field(None, max_length=1000)
    includeBatchItems: bool | None = None


def webhook_request(body: Body) -> Endpoint:
    """Raises `Unprocessable`."""
    fields = parse(WebhookFields, body)
    require_storable(fields.description or "", "description")
    return Endpoint(fields.url, fields.events, fields.includeBatchItems, fields.description)


def change_request(body: Body, known: Webhook) -> Endpoint:
    """What is not named stays. Raises `Unprocessable`."""
    fields = parse(ChangeFields, body)
    require_storable(fields.description or "", "description")
    return Endpoint(
        known.url if fields.url is None else fields.url,
        known.event_types if fields.events is None else fields.events,
        known.batch_items if fields.includeBatchItems is None else fields.includeBatchItems,
        fields.description if "description" in fields.model_fields_set else known.description,
    )


def webhook_body(known: Webhook, secret: str | None = None) -> Body:
    """With the secret where it is new."""
    body = {
        "id": known.subject_id,
        "url": known.url,
        "events": list(known.event_types),
        "description": known.description,
        "includeBatchItems": known.batch_items,
        "status": "enabled" if known.disabled_at is None else "disabled",
        "createdAt": timestamp(known.created_at),
        "updatedAt": timestamp(known.updated_at),
    }
    return body if secret is None else body | {"secret": secret}


def delivery_body(read: ReadDelivery) -> Body:
    made = read.delivery
    return {
        "id": made.id,
        "eventId": _event_id(made.id),
        "type": made.type,
        "status": made.status,
        "errorMessage": made.error if made.status == "failed" else None,
        "nextAttemptAt": timestamp(made.wake_at),
        "createdAt": timestamp(made.created_at),
        "attempts": [
            {
                "at": timestamp(one.created_at),
                "statusCode": one.data["status"],
                "errorMessage": one.data["error"],
                "durationMs": one.data["milliseconds"],
            }
            for one in read.tries
        ],
    }


def sign(secrets: Sequence[str], body: bytes, now: datetime) -> str:
    """The header's value. Each secret signs, the newest first."""
    at = str(int(now.timestamp()))
    return ",".join([f"t={at}", *(f"v1={hmac_hex(secret, at.encode(), b'.', body)}" for secret in secrets)])


class CheckForm:
    pauses, final, gone_is_gone = _PAUSES, (GONE,), True

    def body(self, letter: Letter) -> bytes:
        head = {"id": _event_id(letter.id), "type": letter.type, "createdAt": timestamp(letter.created_at)}
        return orjson.dumps(head | {"data": letter.told or {}}, option=orjson.OPT_SORT_KEYS)  # what was kept has lost its order

    def headers(self, letter: Letter, body: bytes, now: datetime) -> dict[str, str]:
        return {"Content-Type": "application/json", SIGNATURE: sign(letter.secrets, body, now)}


def _event_id(delivery_id: str) -> str:
    """The same on every try: receivers know by it what they had already."""
    return f"evt_{delivery_id.partition('_')[2]}"


def describe_verification(letter: Letter, read: Verification) -> Body:
    """What a letter says of a verification."""
    assert letter.event is not None
    where = {} if read.session.batch_id is None else {"batchId": read.session.batch_id, "itemId": responses.item_id(read.session.id)}
    if letter.type == ESCALATION_RESOLVED:
        told = escalations.review_body(Review(**letter.event.data))
        return {"escalationId": escalations.id_of(read.session.id), "verificationId": read.session.id, **where, **told}
    status, result = _STATUS[letter.type], read.message.result or {}
    body: Body = {"verificationId": read.session.id, "status": status, **where}
    if status == "failed":
        return body | {"errorMessage": read.message.error}
    result = result | result.get("before", {})  # a person may be faster than this delivery
    body |= {name: result[name] for name in ("verdict", "confidence", "decision", "reasoning")}
    body["paradigmResults"] = responses.paradigms(read)
    if status == "escalated":
        ended = read.message.ended_at or read.message.created_at
        body["escalation"] = escalations.brief(read.session.id, result, ended, ended) | {"status": "pending"}
    return body


def describe_batch(batch: Batch, counts: Counts, items: list[Item] | None) -> Body:
    """What a letter says of a batch."""
    body = responses.batch(batch)
    names = ("name", "status", "totalItems", "processedItems", "successCount", "failureCount", "totalCostCents")
    rest = ("errorMessage", "validationErrors", "createdAt", "completedAt")
    return {"batchId": batch.id, **{name: body[name] for name in (*names, *rest)}}


ANNOUNCED_BY = (describe_batch, CheckForm())
"""What `passel.compose` loads."""
