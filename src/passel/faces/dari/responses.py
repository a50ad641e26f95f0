"""Response bodies, as the record has them. Additions of ours are fields beside the documented ones."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from passel.core.agent.events import TOOL_FAILED
from passel.core.agent.ledger import Call, Text, TimelineItem, result_text, text_blocks
from passel.core.agent.spec import SessionSpec
from passel.core.batch_log import BatchEntry
from passel.core.costs import decimal_string
from passel.core.org_ledger import OrgEntry
from passel.core.states import Counts
from passel.faces.dari.events import BATCH_CHANGED, ITEM_CHANGED, event, event_id, event_of_kind, item_status, message_status
from passel.faces.kit.json import timestamp
from passel.services.accounts import ApiKey, Credential, Organisation
from passel.services.agents.answers import OpenCall
from passel.services.agents.publishing import Agent, Published, Snapshot, Version
from passel.services.agents.sessions import KIND, ReadMessage, Transcript
from passel.services.agents.verified import VERIFY, Verify, of_result
from passel.services.batches import Batch, Item, Result
from passel.services.files import File
from passel.services.sessions import Bill, Message, Sent, Session
from passel.services.webhooks import DeliveryTry, ReadDelivery, Webhook

Body = dict[str, Any]


def snapshot_reserved(snapshot: Snapshot, upload_url: str) -> Body:
    return {
        "source_snapshot_id": snapshot.id,
        "upload_url": upload_url,
        "upload_headers": {"Content-Type": "application/gzip"},
        "expires_at": timestamp(snapshot.expires_at),
        "status": snapshot.status,
    }


def snapshot_finalized(snapshot: Snapshot) -> Body:
    return {"source_snapshot_id": snapshot.id, "status": snapshot.status, "failure_reason": snapshot.failure_reason}


def agent(agent: Agent) -> Body:
    return {
        "id": agent.id,
        "name": agent.name,
        "active_version_id": agent.active_version_id,
        "created_at": timestamp(agent.created_at),
        "deleted_at": timestamp(agent.deleted_at),
    }


def published(published: Published, agent_url: str) -> Body:
    return {
        "id": published.agent.id,
        "agent_id": published.agent.id,
        "name": published.agent.name,
        "agent_url": agent_url,
        "version_id": published.version.id,
        "active_version_id": published.agent.active_version_id,
        "created_at": timestamp(published.agent.created_at),
        "created": published.created,
        "warnings": list(published.warnings),
    }


def agent_ref(agent: Agent) -> Body:
    return {"id": agent.id, "active_version_id": agent.active_version_id}


def version(version: Version, agent: Agent) -> Body:
    return {
        "id": version.id,
        "agent_id": version.agent_id,
        "number": version.number,
        "is_active": version.id == agent.active_version_id,
        "source_snapshot_id": version.snapshot_id,
        "archive_sha256": version.archive_sha256,
        "size_bytes": version.size_bytes,
        "created_at": timestamp(version.created_at),
    }


def session(session: Session) -> Body:
    spec = SessionSpec.from_json(session.spec)
    body: Body = {
        "id": session.id,
        "name": session.name,
        "agent_id": session.subject_id,
        "version_id": spec.version_id,
        "llm_id": spec.llm_id,
        "storage_binding_id": None,
        "internet_access": spec.internet_access,
        "status": session.status,
        "last_message_id": session.last_message_id,
        "last_message_status": message_status(session.last_message_state) if session.last_message_state else None,
        "created_at": timestamp(session.created_at),
        "metadata": session.metadata,
    }
    if session.forked_from is not None:
        event = event_id(session.forked_from, session.forked_seq) if session.forked_seq else None
        body["forked_from"] = {"session_id": session.forked_from, "event_id": event}
    return body


def _message_ref(message: Message) -> Body:
    return {"id": message.id, "status": message_status(message.state)}


def sent(sent: Sent) -> Body:
    return {
        "event": event(sent.event, sent.session.subject_id or ""),
        "message": _message_ref(sent.message),
        "session": session(sent.session),
    }


def message(read: ReadMessage) -> Body:
    made = read.message
    parts = [part for told in read.output.parts for part in _output_parts(told)]
    error = read.output.error
    output: Body = {"parts": parts} | ({"error": error} if error else {})
    return {
        "id": made.id,
        "session_id": made.session_id,
        "sequence_number": made.number,
        "parts": read.content,
        "metadata": read.metadata or None,
        "status": message_status(made.state),
        "attempt": max(1, made.attempt),
        "output": output if parts or error else None,
        "created_at": timestamp(made.created_at),
        "completed_at": timestamp(made.ended_at),
        "waiting": _waiting(made.reason, made.wake_at),
    }


def _output_parts(told: Text | Call) -> list[Body]:
    if isinstance(told, Text):
        return list(text_blocks(told.text))
    asked = told.requested.data
    parts: list[Body] = [{"type": "tool_call", "id": asked["id"], "name": asked["name"], "arguments": asked["arguments"]}]
    if told.ended is not None:
        failed = told.ended.type == TOOL_FAILED
        shown = {"tool_call_id": asked["id"], "tool_name": asked["name"], "content": text_blocks(result_text(told.ended))}
        parts.append({"type": "tool_result", **shown, "is_error": failed})
    return parts


def _waiting(reason: str | None, until: datetime | None) -> Body | None:
    """Why something waits and until when; None when it does not."""
    return None if reason is None else {"reason": reason, "until": timestamp(until)}


def queued_message(sent: Sent) -> Body:
    """The answer of March 2026 to a sent message."""
    return {
        "id": sent.message.id,
        "session_id": sent.session.id,
        "status": message_status(sent.message.state),
        "attempt": max(1, sent.message.attempt),
        "created_at": timestamp(sent.message.created_at),
        "completed_at": timestamp(sent.message.ended_at),
    }


def transcript(transcript: Transcript) -> Body:
    keys = ("id", "agent_id", "version_id", "storage_binding_id", "status", "last_message_id", "last_message_status", "created_at")
    described = session(transcript.session)
    return {
        "agent": agent(transcript.agent),
        "session": {key: described[key] for key in keys},
        "timeline": {"items": [_timeline_item(transcript.session.id, item) for item in transcript.items]},
    }


def _timeline_item(session_id: str, item: TimelineItem | Call) -> Body:
    if isinstance(item, Call):
        return _tool_item(item)
    body: Body = {
        "type": item.type,
        "id": event_id(session_id, item.seq) if item.seq else f"{session_id}:{item.message_id}:assistant",
        "message_id": item.message_id,
        "content": list(item.content),
        "created_at": timestamp(item.created_at),
    }
    if item.type == "assistant_message":
        body |= {"status": message_status(item.state or ""), "error_message": item.error}
    return body


def _tool_item(item: Call) -> Body:
    asked, ended = item.requested, item.ended
    failed = ended is not None and ended.type == TOOL_FAILED
    return {
        "type": "tool_call",
        "id": f"{asked.session_id}:evt_{asked.seq}",
        "message_id": asked.message_id,
        "tool_call_id": asked.data["id"],
        "tool_name": asked.data["name"],
        "arguments": asked.data["arguments"],
        "status": "requested" if ended is None else "failed" if failed else "completed",
        "result": None if ended is None else ended.data["result"],
        "is_error": failed,
        "error_message": None if ended is None else ended.data.get("error"),
        "created_at": timestamp(asked.created_at),
        "completed_at": timestamp(ended and ended.created_at),
    }


def open_call(call: OpenCall) -> Body:
    """A call that waits for its answer: what `tool.call_requested` says, and where it belongs."""
    asked = call.data
    return {
        "tool_call_id": asked["id"],
        "tool_name": asked["name"],
        "arguments": asked["arguments"],
        "session_id": call.session_id,
        "message_id": call.message_id,
        "event_id": event_id(call.session_id, call.seq),
        "agent_id": call.subject_id,
        "batch_id": call.batch_id,
        "metadata": call.metadata,
        "deadline": timestamp(datetime.fromisoformat(asked["deadline"])) if asked["deadline"] else None,
        "created_at": timestamp(call.created_at),
    }


def bill(session_id: str, bill: Bill) -> Body:
    return {
        "scope_kind": "session",
        "scope_id": session_id,
        "event_count": bill.priced,
        "calls": bill.calls,
        "total_cost_usd": decimal_string(bill.cost_usd),
        "input_tokens": bill.input_tokens,
        "output_tokens": bill.output_tokens,
        "in_doubt_calls": bill.in_doubt,
        "unpriced_calls": bill.unpriced,
    }


def batch_entry(entry: BatchEntry) -> Body:
    """An event of a batch's stream (decision 67 of the contract)."""
    body: Body = {"id": f"{entry.batch_id}:evt_{entry.seq}", "batch_id": entry.batch_id, "sequence_number": entry.seq}
    if (told := entry.transition) is None:
        body |= {"type": BATCH_CHANGED, "status": entry.status}
    else:
        body |= {
            "type": ITEM_CHANGED,
            "index": told.item_index,
            "session_id": told.session_id,
            "status": told.state,
            "previous_status": told.previous,
            "try": told.number,
            "error": told.error,
        }
    return body | {"counts": _counts(entry.counts), "created_at": timestamp(entry.created_at)}


def org_entry(entry: OrgEntry) -> Body:
    """An event of the organisation's stream: as its session's or batch's own stream has it, and what that is."""
    if isinstance(entry.told, BatchEntry):
        return batch_entry(entry.told) | {"kind": entry.kind, "agent_id": entry.subject_id}
    about = {"kind": entry.kind, "agent_id": entry.subject_id, "batch_id": entry.batch_id, "metadata": entry.metadata}
    told = event(entry.told, entry.subject_id or "") if entry.kind == KIND else event_of_kind(entry.told)
    return told | about


def batch(batch: Batch, verifications: Counts | None = None) -> Body:
    """A batch without its sessions."""
    body: Body = {
        "batch_id": batch.id,
        "status": batch.status,
        "counts": _counts(batch.counts),
        "agent_id": batch.subject_id,
        "idempotency_key": batch.idempotency_key,
        "max_concurrency": batch.max_concurrency,
        "size": batch.counts.size,
        "cancelled": batch.cancelled,
        "usage": {
            "calls": batch.calls,
            "in_doubt_calls": batch.in_doubt,
            "unpriced_calls": batch.unpriced,
            "input_tokens": batch.input_tokens,
            "output_tokens": batch.output_tokens,
            "total_cost_usd": decimal_string(batch.cost_usd),
        },
        "created_at": timestamp(batch.created_at),
        "cancel_requested_at": timestamp(batch.cancel_requested_at),
        "finished_at": timestamp(batch.finished_at),
    }
    if (verify := Verify.of_batch(batch)) is not None:
        body["verify"] = {"methods": verify.methods, "options": asdict(verify.options), "context": verify.context}
    return body if verifications is None else body | {"verifications": _counts(verifications)}


def _counts(counts: Counts) -> Body:
    return {"queued": counts.queued, "running": counts.running, "completed": counts.completed, "failed": counts.failed}


def _described(item: Item, agent_id: str | None) -> Body:
    """What an item and its result share. One that could not be made tells what was asked."""
    asked = item.request or {}
    return {
        "index": item.index,
        "try": item.try_number,
        "session_id": item.session_id,
        "status": item_status(item.state),
        "agent_id": item.subject_id or agent_id,
        "version_id": item.spec.get("version_id") or asked.get("version_id"),
        "llm_id": item.spec.get("llm_id") or asked.get("llm_id"),
        "metadata": item.metadata,
        "error": item.error,
        "waiting": _waiting(item.reason, item.wake_at),
    }


def item(item: Item, agent_id: str | None) -> Body:
    return _described(item, agent_id) | {
        "last_message_status": message_status(item.last_message_state) if item.last_message_state else None,
        "transcript_url": f"/v1/sessions/{item.session_id}/transcript" if item.session_id else None,
    }


def result(found: Result, batch: Batch) -> Body:
    """A line of a batch's results."""
    verification = {"verification": _verification(found)} if VERIFY in batch.spec else {}
    return (
        _described(found.item, batch.subject_id)
        | verification
        | {
            "message_id": found.item.message_id,
            "model": found.effect,
            "text": (found.result or {}).get("text"),
            "attempt": found.attempt,
            "usage": {
                "calls": found.calls,
                "in_doubt_calls": found.in_doubt,
                "unpriced_calls": found.unpriced,
                "input_tokens": found.input_tokens,
                "output_tokens": found.output_tokens,
                "total_cost_usd": decimal_string(found.cost_usd) if found.cost_usd is not None else None,
            },
            "created_at": timestamp(found.created_at),
            "started_at": timestamp(found.started_at),
            "finished_at": timestamp(found.ended_at),
        }
    )


def _verification(found: Result) -> Body | None:
    """None as long as the item has no answer. A person's decision takes the place of what was concluded."""
    if (told := of_result(found)) is None:
        return None
    return {
        "id": told.id,
        "status": "skipped" if told.state is None else item_status(told.state),
        "verdict": told.result.get("verdict"),
        "confidence": told.result.get("confidence"),
        "decision": told.result.get("decision"),
        "reviewed": "review" in told.result,
        "total_cost_usd": told.result.get("cost_usd"),
        "error": told.error,
    }


def file(file: File) -> Body:
    return {"id": file.id, "filename": file.filename, "size_bytes": file.size_bytes}


def organisation(org: Organisation) -> Body:
    return {"id": org.id, "name": org.name, "slug": org.slug, "role": "owner", "is_personal": False}


def api_key(key: ApiKey) -> Body:
    return {
        "id": key.id,
        "label": key.label,
        "prefix": key.prefix,
        "kind": "managed" if key.device_name else "manual",
        "device_name": key.device_name,
        "scopes": list(key.scopes),
        "created_at": timestamp(key.created_at),
        "last_used_at": timestamp(key.last_used_at),
        "revoked_at": timestamp(key.revoked_at),
    }


def credential(credential: Credential) -> Body:
    return {
        "id": credential.id,
        "name": credential.name,
        "created_at": timestamp(credential.created_at),
        "updated_at": timestamp(credential.updated_at),
    }


def webhook(webhook: Webhook | None, secret: str | None) -> Body:
    if webhook is None:
        return {"webhook_url": None, "signing_enabled": False, "event_types": [], "signing_secret": None}
    return {
        "webhook_url": webhook.url,
        "signing_enabled": True,
        "event_types": list(webhook.event_types),
        "signing_secret": secret,
        "created_at": timestamp(webhook.created_at),
        "updated_at": timestamp(webhook.updated_at),
    }


def delivery(read: ReadDelivery, agent_id: str) -> Body:
    made = read.delivery
    of_session = made.event_seq is not None
    return {
        "id": made.id,
        "type": made.type,
        "status": made.status,
        "agent_id": agent_id,
        "session_id": made.scope_id if of_session else None,
        "batch_id": None if of_session else made.scope_id,
        "event_id": f"{made.scope_id}:evt_{made.event_seq}" if of_session else None,
        "sequence": made.sequence,
        "error": made.error if made.status == "failed" else None,
        "next_try_at": timestamp(made.wake_at),
        "created_at": timestamp(made.created_at),
        "tries": [_delivery_try(one) for one in read.tries],
    }


def _delivery_try(tried: DeliveryTry) -> Body:
    return {
        "at": timestamp(tried.created_at),
        "redelivery": tried.message_number - 1,
        "status_code": tried.data["status"],
        "error": tried.data["error"],
        "milliseconds": tried.data["milliseconds"],
    }


def listing(name: str, entries: Sequence[Body]) -> Body:
    return {name: list(entries)}
