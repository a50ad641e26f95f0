"""Webhooks in this wire format (2.9, D12 of the `anchor` contract): bodies, and deliveries as pure functions. Implements
`passel.core.webhook.letters.Form`.

Anchor-Signature    t=<Unix seconds>,v1=<hex of HMAC-SHA256 over "v0:<t>:" and the exact body>; several `v1` while an old secret counts
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID, uuid5

import orjson
from pydantic import Field

from passel.core.browser.announcements import RECORDING_READY, TASK_COMPLETED, TASK_FAILED
from passel.core.browser.events import BATCH_CANCELLED
from passel.core.browser.tasks import read_end
from passel.core.errors import Invalid
from passel.core.states import Counts
from passel.core.text import require_storable
from passel.core.webhook.letters import Letter
from passel.core.webhook.signatures import hmac_hex
from passel.faces.anchor import responses
from passel.faces.anchor.ids import to_uuid, workflow_id
from passel.faces.anchor.requests import Body as Fields
from passel.faces.anchor.requests import parse
from passel.faces.kit.json import timestamp
from passel.services.batches import Batch, Item
from passel.services.browser.webhooks import TYPES, Endpoint, LoggedDelivery, Told
from passel.services.webhooks import Webhook

Body = dict[str, Any]

_PAUSES = (5.0, 30.0, 120.0, 600.0, 1800.0)
_FINAL = frozenset(range(400, 500)) - {408, 429}
_DELIVERIES = UUID("6b1f5f0e-5d0b-5d55-9d38-0f2f3a4d6c11")
_TEXTS = {
    "session.completed": "A browser session has ended",
    "session.failed": "A browser session has failed",
    "session.recording.ready": "A recording is ready",
    "task.completed": "A web task is done",
    "task.failed": "A web task has failed",
    "batch.completed": "A batch of browser sessions is ready",
    "batch.failed": "A batch of browser sessions has failed",
    "batch.cancelled": "A batch of browser sessions was cancelled",
}


class WebhookFields(Fields):
    url: str = Field(min_length=1, max_length=2048)
    subscribed_events: list[str] = Field(min_length=1, max_length=100)
    description: str | None = Field(None, max_length=256)


class ChangeFields(Fields):
    url: str | None = Field(None, min_length=1, max_length=2048)
    subscribed_events: list[str] | None = Field(None, min_length=1, max_length=100)
    description: str | None = Field(None, max_length=256)
    enabled: bool | None = None


class TestFields(Fields):
    event_type: str


def webhook_request(body: Body) -> Endpoint:
    """Raises `Invalid`."""
    fields: WebhookFields = parse(WebhookFields, body)
    require_storable(fields.description or "", "description")
    _check(fields.subscribed_events)
    return Endpoint(fields.url, fields.subscribed_events, fields.description)


def change_request(body: Body, known: Webhook) -> Endpoint:
    """What is not named stays. Raises `Invalid`."""
    fields: ChangeFields = parse(ChangeFields, body)
    require_storable(fields.description or "", "description")
    _check(fields.subscribed_events or ())
    return Endpoint(
        known.url if fields.url is None else fields.url,
        known.event_types if fields.subscribed_events is None else fields.subscribed_events,
        fields.description if "description" in fields.model_fields_set else known.description,
        known.disabled_at is None if fields.enabled is None else fields.enabled,
    )


def _check(types: Sequence[str]) -> None:
    if wrong := [type for type in types if type not in TYPES]:
        known = ", ".join(sorted(TYPES))
        raise Invalid(f"subscribed_events: this server never sends {wrong[0][:100]!r}; there are {known}", field="subscribed_events")


def webhook_body(known: Webhook, secret: str | None = None) -> Body:
    """With the secret where it is new."""
    body = {
        "id": known.subject_id,
        "project_id": known.org_id,
        "url": known.url,
        "description": known.description,
        "subscribed_events": list(known.event_types),
        "enabled": known.disabled_at is None,
        "created_at": timestamp(known.created_at),
        "updated_at": timestamp(known.updated_at),
    }
    return body if secret is None else body | {"secret": secret}


def event_body(one: LoggedDelivery) -> Body:
    return {
        "id": str(uuid5(_DELIVERIES, one.id)),
        "external_event_id": event_id(one.id),
        "event_type": one.type,
        "status": one.status,
        "attempt": one.tries,
        "response_status": one.response_status,
        "error_message": one.error,
        "scheduled_at": timestamp(one.wake_at or one.created_at),
        "completed_at": timestamp(one.ended_at),
    }


def event_id(delivery_id: str) -> str:
    """The same on every try: receivers know by it what they had already."""
    return f"evt_{delivery_id.partition('_')[2]}"


def sign(secrets: Sequence[str], body: bytes, now: datetime) -> str:
    """The header's value. Each secret signs, the newest first."""
    at = str(int(now.timestamp()))
    return ",".join([f"t={at}", *(f"v1={hmac_hex(secret, b'v0:', at.encode(), b':', body)}" for secret in secrets)])


class AnchorForm:
    pauses, final, gone_is_gone = _PAUSES, _FINAL, False

    def body(self, letter: Letter) -> bytes:
        head = {
            "id": event_id(letter.id),
            "type": letter.type,
            "created": timestamp(letter.created_at),
            "project_id": letter.org_id,
            "text": _TEXTS[letter.type],
        }
        return orjson.dumps(head | {"data": letter.told or {}}, option=orjson.OPT_SORT_KEYS)  # what was kept has lost its order

    def headers(self, letter: Letter, body: bytes, now: datetime) -> dict[str, str]:
        return {
            "User-Agent": "Anchor-Webhooks/1.0",
            "Content-Type": "application/json",
            "Anchor-Event": letter.type,
            "Anchor-Delivery-Id": str(uuid5(_DELIVERIES, letter.id)),
            "Anchor-Timestamp": str(int(now.timestamp())),
            "Anchor-Signature": sign(letter.secrets, body, now),
        }


def describe_session(letter: Letter, told: Told) -> Body:
    """What a letter says of a session."""
    found, event = told.found, letter.event
    assert event is not None
    id = to_uuid(found.id)
    if letter.type == RECORDING_READY:
        recording_id = event.data["recording_id"]
        link = f"/v1/sessions/{id}/recordings/{recording_id}/fetch"
        return {
            "session_id": id,
            "recording_id": recording_id,
            "file_link": link,
            "size": event.data["bytes"],
            "duration": event.data["seconds"],
        }
    if letter.type in (TASK_COMPLETED, TASK_FAILED):
        return {"session_id": id, "workflow_id": workflow_id(found.id, event.data["task"]), **responses.task(read_end(event.data))}
    batch_id = found.session.batch_id
    body: Body = {"session_id": id}
    if batch_id is not None:
        body |= {"batch_id": to_uuid(batch_id), "item_index": told.item_index}
    end = found.end or {"end_reason": BATCH_CANCELLED, "seconds": 0, "bytes": 0}
    body |= {
        "status": found.status,
        "end_reason": end["end_reason"],
        "duration": end["seconds"],
        "tags": list(found.session.spec["tags"]),
        "network_bytes": end["bytes"],
        "created_at": timestamp(found.message.created_at),
        "ended_at": timestamp(found.message.ended_at),
    }
    return body | ({"error": found.message.error} if found.status == "failed" else {})


def describe_batch(batch: Batch, counts: Counts, items: list[Item] | None) -> Body:
    """What a letter says of a batch."""
    body = responses.batch_row(batch)
    failed = body["failed_requests"]
    return body | ({"error": f"{failed} of {body['total_requests']} sessions failed"} if failed else {})


ANNOUNCED_BY = (describe_batch, AnchorForm())
"""What `passel.compose` loads."""
