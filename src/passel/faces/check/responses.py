"""Response bodies, as the record has them. Additions of ours are fields beside the documented ones."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from passel.core.states import DELAYED, HELD, RUNNING, WAITING
from passel.core.verification.escalations import is_escalated, review_of
from passel.core.verification.events import METHOD_ENDED, METHOD_FAILED
from passel.core.verification.facts import Fact
from passel.core.verification.findings import Finding
from passel.faces.check import escalations
from passel.faces.kit.json import timestamp
from passel.services.verification.batches import Batch, VerificationItem
from passel.services.verification.documents import Document
from passel.services.verification.uploads import Kept
from passel.services.verification.verifications import Verification

Body = dict[str, Any]

_PROCESSING = (RUNNING, WAITING, DELAYED)
BATCH_STATUSES = ("pending", "validating", "processing", "completed", "failed", "cancelled")
ITEM_STATUSES = ("pending", "queued", "processing", "completed", "failed", "skipped")


def verification(read: Verification, now: datetime) -> Body:
    """While it runs only what was asked; a person's decision is waited for with what speaks for it."""
    message, result = read.message, read.message.result or {}
    body: Body = {"id": read.session.id, "status": _status(read), "content": read.claim.content}
    if not read.ended:
        return body | {"createdAt": timestamp(message.created_at)}
    if message.result is None:
        body |= {"errorMessage": message.error}
    else:
        body |= {name: result[name] for name in ("verdict", "confidence", "decision", "reasoning")}
        if is_escalated(result):
            body["escalation"] = escalations.brief(read.session.id, result, message.ended_at or message.created_at, now)
        if (review := review_of(result)) is not None:
            body |= {"reviewed": True, "review": escalations.review_body(review)}
    return body | {
        "paradigmResults": paradigms(read),
        "processingTimeMs": _milliseconds(message.created_at, message.ended_at),
        "costCents": 0 if message.result is None else result.get("cost_cents", 0),
        "metadata": read.session.spec.get("metadata", {}),
        "createdAt": timestamp(message.created_at),
        "completedAt": timestamp(message.ended_at),
    }


def _status(read: Verification) -> str:
    if not read.ended:
        return "processing"
    if read.message.result is None:
        return "failed"
    result = read.message.result
    return "escalated" if is_escalated(result) and review_of(result) is None else "completed"


def paradigms(read: Verification) -> list[Body]:
    """What each method found in the round that counts, in the order in which they ended."""
    progress = read.progress
    counts = progress.rounds.index(progress.best()) + 1
    told = (event for event in read.ledger if event.type in (METHOD_ENDED, METHOD_FAILED))
    counted = progress.best().found
    return [_paradigm(event.type, event.data) | _calibrated(read, event.data, counted) for event in told if event.data["round"] == counts]


def _calibrated(read: Verification, data: Body, counted: Mapping[str, Finding]) -> Body:
    """What a calibrator made of the finding, which is what was pooled."""
    calibrator, finding = read.claim.calibrators.get(data["method"]), counted.get(data["method"])
    if calibrator is None or finding is None or not finding.applicable:
        return {}
    made = {"version": calibrator.version, "verdict": finding.verdict, "confidence": round(finding.confidence, 4)}
    return {"calibration": made}


def _paradigm(type: str, data: Body) -> Body:
    body: Body = {"id": data["id"], "paradigm": data["method"]}
    if type == METHOD_ENDED:
        body |= {name: data[name] for name in ("verdict", "confidence", "reasoning", "applicable", "evidence")}
        body |= {name: data[name] for name in ("provider", "model") if data[name] is not None}
    else:
        body |= {"verdict": "uncertain", "confidence": 0, "reasoning": data["error"], "applicable": False, "error": data["error"]}
    return body | {"processingTimeMs": data["milliseconds"]}


def batch_status(batch: Batch) -> str:
    if "problems" in batch.spec:
        return "failed"
    if batch.cancel_requested_at is not None:
        return "cancelled"
    return "completed" if batch.finished_at is not None else "processing"


def _counts(batch: Batch) -> Body:
    counts = batch.counts
    failures = counts.failed - batch.cancelled
    return {
        "totalItems": batch.spec["total"],
        "processedItems": counts.completed + failures,
        "successCount": counts.completed,
        "failureCount": failures,
    }


def _completed_at(batch: Batch) -> str | None:
    return timestamp(batch.cancel_requested_at or batch.finished_at)


def _started_at(batch: Batch) -> str | None:
    counts = batch.counts
    began = counts.running + counts.completed + counts.failed > batch.cancelled
    return timestamp(batch.created_at) if began else None


def created(batch: Batch) -> Body:
    failed = batch_status(batch) == "failed"
    message = f"Batch validation failed: {_problem(batch)}." if failed else "Batch created successfully. Items are being processed."
    return {
        "id": batch.id,
        "status": batch_status(batch),
        "name": batch.spec["name"],
        **_counts(batch),
        "methods": batch.spec["methods"],
        "createdAt": timestamp(batch.created_at),
        "message": message,
        "inputFormat": batch.spec["format"],
        "options": _options(batch),
        "context": batch.spec["context"],
        "expiresAt": timestamp(batch.expires_at),
    }


def upload(kept: Kept) -> Body:
    one = kept.upload
    skipped = f"File uploaded with {kept.wrong} validation warning(s). Items with errors were skipped."
    return {
        "fileId": one.id,
        "originalFileName": one.filename,
        "format": one.format,
        "itemCount": one.items,
        "validationErrors": kept.problems,
        "expiresAt": timestamp(one.expires_at),
        "message": skipped if kept.wrong else "File uploaded successfully",
    }


def _options(batch: Batch) -> Body:
    told = batch.spec["options"]
    return {
        "timeout": told["timeout"],
        "minConfidence": told["min_confidence"],
        "acceptThreshold": told["accept_threshold"],
        "escalateThreshold": told["escalate_threshold"],
        "maxRetries": told["max_retries"],
        "retryOnLowConfidence": told["retry_on_low_confidence"],
        "model": told["model"],
    }


def _problem(batch: Batch) -> str | None:
    count = batch.spec.get("problem_count")
    return None if count is None else f"{count} validation error(s)"


def batch(batch: Batch) -> Body:
    """The 20 documented fields, and `skippedCount` (D44)."""
    return {
        "id": batch.id,
        "name": batch.spec["name"],
        "inputFormat": batch.spec["format"],
        "originalFileName": batch.spec["file"],
        "status": batch_status(batch),
        **_counts(batch),
        "methodsConfig": batch.spec["methods"],
        "context": batch.spec["context"],
        "totalCostCents": batch.charged,
        "totalInputTokens": batch.input_tokens,
        "totalOutputTokens": batch.output_tokens,
        "errorMessage": _problem(batch),
        "validationErrors": batch.spec.get("problems"),
        "createdAt": timestamp(batch.created_at),
        "startedAt": _started_at(batch),
        "completedAt": _completed_at(batch),
        "expiresAt": timestamp(batch.expires_at),
        "skippedCount": batch.cancelled,
    }


def summary(batch: Batch) -> Body:
    """An element of the list."""
    return {
        "id": batch.id,
        "name": batch.spec["name"],
        "status": batch_status(batch),
        **_counts(batch),
        "totalCostCents": batch.charged,
        "createdAt": timestamp(batch.created_at),
        "startedAt": _started_at(batch),
        "completedAt": _completed_at(batch),
    }


def results(batch: Batch, items: list[VerificationItem], page: Body) -> Body:
    head = {"id": batch.id, "status": batch_status(batch), **_counts(batch)}
    return {"batch": head, "items": [_item(item) for item in items], "pagination": page}


def _item(item: VerificationItem) -> Body:
    result = item.result or {}
    done = item.result is not None
    return {
        "id": item_id(item.session_id),
        "itemIndex": item.index,
        "idempotencyKey": item.spec.get("key"),
        "content": item.content,
        "itemContext": item.spec.get("context"),
        "status": _item_status(item),
        "verificationId": result.get("reused", item.session_id) if done else None,
        "verdict": result.get("verdict"),
        "confidence": result.get("confidence"),
        "decision": result.get("decision"),
        "costCents": result.get("cost_cents", 0) if done else None,
        "processingTimeMs": _milliseconds(item.created_at, item.ended_at) if done else None,
        "errorMessage": item.error if not done and not item.cancelled else None,
        "retryCount": max(0, item.tries - 1),
        **({"sourceRow": item.spec["row"]} if "row" in item.spec else {}),
        "createdAt": timestamp(item.created_at),
        "completedAt": timestamp(item.ended_at),
    }


def item_id(verification_id: str) -> str:
    """An item has the id of its verification, with a prefix of its own."""
    return f"item_{verification_id.partition('_')[2]}"


def _item_status(item: VerificationItem) -> str:
    if item.cancelled:
        return "skipped"
    if item.outcome is not None:
        return item.outcome
    if item.state in _PROCESSING:
        return "processing"
    return "pending" if item.state == HELD else "queued"


def fact(one: Fact) -> Body:
    return {
        "id": one.id,
        "text": one.text,
        "polarity": one.polarity,
        "source": one.source,
        "date": one.date.isoformat() if one.date else None,
        "createdAt": timestamp(one.created_at),
    }


def pagination(total: int, limit: int, offset: int, shown: int) -> Body:
    return {"total": total, "limit": limit, "offset": offset, "hasMore": offset + shown < total}


def _milliseconds(began: datetime, ended: datetime | None) -> int | None:
    return None if ended is None else round((ended - began).total_seconds() * 1000)


def document(one: Document) -> Body:
    return {
        "id": one.id,
        "title": one.title,
        "url": one.url,
        "date": one.dated.isoformat() if one.dated else None,
        "characters": one.characters,
        "passages": one.passages,
        "createdAt": timestamp(one.created_at),
    }
