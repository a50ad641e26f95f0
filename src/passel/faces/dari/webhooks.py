"""Deliveries in this wire format (section 5.2 of the contract): pure functions. Implements `passel.core.webhook.letters.Form`.

Every id stands on top and in `data`, since the record can be read both ways. Of a try only `watermark` may differ from that
of the one before.
"""

from datetime import datetime
from typing import Any

import orjson

from passel.core.agent import announcements
from passel.core.agent.spec import SessionSpec
from passel.core.events import Event
from passel.core.states import Counts, aggregate
from passel.core.webhook.letters import Letter
from passel.core.webhook.retry import GONE, PAUSES
from passel.faces.dari import responses, signatures
from passel.faces.dari.events import message_status
from passel.faces.kit.json import timestamp
from passel.services.batches import Batch, Item

Body = dict[str, Any]


class DariForm:
    pauses, final, gone_is_gone = PAUSES, (GONE,), False

    def body(self, letter: Letter) -> bytes:
        data = _batch_data(letter) if letter.event is None else _session_data(letter, letter.event)
        where = {"batch_id": letter.scope_id} if letter.event is None else {"session_id": letter.scope_id}
        head: Body = {
            "id": letter.id,
            "type": letter.type,
            "created_at": timestamp(letter.created_at),
            "agent_id": letter.subject_id,
            **where,
            "sequence": letter.sequence,
            "watermark": letter.watermark,
        }
        return orjson.dumps(head | {"data": data})

    def headers(self, letter: Letter, body: bytes, now: datetime) -> dict[str, str]:
        return {"Content-Type": "application/json", **signatures.sign(letter.secrets, letter.id, letter.type, body, now)}


def _session_data(letter: Letter, event: Event) -> Body:
    spec = SessionSpec.from_json(letter.spec)
    common: Body = {
        "agent_id": letter.subject_id,
        "version_id": spec.version_id,
        "session_id": letter.scope_id,
        "event_id": f"{letter.scope_id}:evt_{event.seq}",
        "sequence_number": event.seq,
        "message_id": event.message_id,
    }
    if letter.type == announcements.TOOL_CALL_REQUESTED:
        call = {
            "tool_call_id": event.data["id"],
            "tool_name": event.data["name"],
            "arguments": event.data["arguments"],
        }
        return common | call | {"metadata": letter.metadata}
    return common | {
        "llm_id": spec.llm_id,
        "status": "idle",
        "last_message_id": event.message_id,
        "last_message_status": message_status(event.data["state"]),
        "metadata": letter.metadata,
        "error": event.data.get("error"),
        "transcript_url": f"/v1/sessions/{letter.scope_id}/transcript",
    }


def _batch_data(letter: Letter) -> Body:
    return {"batch_id": letter.scope_id, "agent_id": letter.subject_id} | (letter.told or {})


def describe_batch(batch: Batch, counts: Counts, items: list[Item] | None) -> Body:
    """What a letter says of a batch. Above a thousand items it names where they can be read instead."""
    return {
        "status": aggregate(counts),
        "counts": {"queued": counts.queued, "running": counts.running, "completed": counts.completed, "failed": counts.failed},
        "size": counts.size,
        "sessions": [responses.item(item, batch.subject_id) for item in items or ()],
        "sessions_complete": items is not None,
        "results_url": f"/v1/session-batches/{batch.id}/results",
    }


ANNOUNCED_BY = (describe_batch, DariForm())
"""What `passel.compose` loads."""
