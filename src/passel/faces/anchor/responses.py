"""Response bodies of this wire format; additions of ours are fields beside the documented ones."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from passel.core.browser.configuration import Configuration
from passel.core.browser.extensions import chromium_id
from passel.core.browser.tasks import ANSWERED, COMPLETED, FAILED, TaskRead
from passel.core.ids import SessionId
from passel.core.states import RUNNING
from passel.faces.anchor.ids import to_uuid
from passel.faces.kit.json import timestamp
from passel.services.batches import Batch
from passel.services.browser import access, batches
from passel.services.browser.batches import BrowserItem, ReadBatch
from passel.services.browser.certificates import Certificate
from passel.services.browser.extensions import Extension
from passel.services.browser.kept import KeptFile
from passel.services.browser.profiles import Profile
from passel.services.browser.sessions import BrowserRow, BrowserSession, BrowserSpan
from passel.services.deps import Deps

Body = dict[str, Any]


def data(body: Any) -> Body:
    return {"data": body}


def reached(deps: Deps, base: str, session_id: SessionId, configuration: Configuration) -> Body:
    """Where a session is driven and watched. Each carries a credential of this one session and never the API key (D5, D29); one that is
    opened by minted tokens alone has none."""
    if configuration.scoped:
        return {"cdp_url": None, "live_view_url": None}
    token = access.computed(deps, session_id, access.CDP)
    return {
        "cdp_url": f"{ws(base)}/?sessionId={to_uuid(session_id)}&token={token}",
        "live_view_url": live_view_url(deps, base, session_id, configuration),
    }


def live_view_url(deps: Deps, base: str, session_id: SessionId, configuration: Configuration) -> str:
    scope = access.LIVE_READ_ONLY if configuration.view_only else access.LIVE
    return f"{base}/live/{to_uuid(session_id)}?token={access.computed(deps, session_id, scope)}"


def minted(base: str, tokens: Mapping[str, str], configuration: Configuration) -> Body:
    """Each ends in its token, without the session's id (2.5 of the `anchor` contract)."""
    read_only = tokens.get(access.LIVE_READ_ONLY)
    body: Body = {}
    if read_only is not None:
        body["live_view_read_only_url"] = f"{base}/live?token={read_only}"
    if (live := tokens.get(access.LIVE)) is not None:
        body["live_view_url"] = f"{base}/live?token={read_only if configuration.view_only and read_only else live}"
    if (cdp := tokens.get(access.CDP)) is not None:
        body["cdp_url"] = f"{ws(base)}/?token={cdp}"
    return body


def ws(base: str) -> str:
    return base.replace("https://", "wss://", 1).replace("http://", "ws://", 1)


def created(deps: Deps, base: str, found: BrowserSession, tokens: Mapping[str, str] | None = None) -> Body:
    configuration = found.request.configuration
    urls = reached(deps, base, found.id, configuration) if tokens is None else minted(base, tokens, configuration)
    return {"id": to_uuid(found.id), **urls, "warnings": list(found.request.warnings)}


def session(found: BrowserSession, now: datetime) -> Body:
    request, end = found.request, found.end
    ended_at = found.message.ended_at
    return {
        "id": to_uuid(found.id),
        "session_id": to_uuid(found.id),
        "team_id": found.session.org_id,
        "status": found.status,
        "end_reason": None if end is None else end["end_reason"],
        "error": found.message.error,
        "duration": max(0, int(((ended_at or now) - found.message.created_at).total_seconds())),
        "credits_used": 0,
        "configuration": request.asked,
        "effective_configuration": request.configuration.to_json() | {"extensions": [*map(to_uuid, request.configuration.extensions)]},
        "warnings": list(request.warnings),
        "playground": False,
        "proxy_bytes": 0 if end is None else end["bytes"],
        "tokens": {},
        "steps": sum(event.type == ANSWERED for event in found.ledger),
        "tags": found.tags,
        "batch_id": None if found.session.batch_id is None else to_uuid(found.session.batch_id),
        "created_at": timestamp(found.message.created_at),
        "ended_at": timestamp(ended_at),
    }


def pages(deps: Deps, base: str, found: BrowserSession, pages: Sequence[Mapping[str, Any]]) -> Body:
    watched = None if found.scoped else live_view_url(deps, base, found.id, found.request.configuration)
    items = [{**one, "frontend_url": watched and f"{watched}&pageId={one['id']}"} for one in pages]
    return {"count": len(items), "items": items}


def batch_created(batch: Batch) -> Body:
    return {
        "batch_id": to_uuid(batch.id),
        "status": batches.status(batch),
        "total_requests": batch.counts.size,
        "created_at": timestamp(batch.created_at),
        "metadata": batch.spec["metadata"],
        "warnings": batch.spec["warnings"],
    }


def _counts(batch: Batch) -> Body:
    counts = batch.counts
    return {
        "total_requests": counts.size,
        "completed_requests": counts.completed,
        "failed_requests": counts.failed - batch.cancelled,
        "cancelled_requests": batch.cancelled,
        "processing_requests": counts.running,
        "pending_requests": counts.queued,
    }


def batch_row(batch: Batch) -> Body:
    return {
        "batch_id": to_uuid(batch.id),
        "status": batches.status(batch),
        **_counts(batch),
        "created_at": timestamp(batch.created_at),
        "actual_completion_time": timestamp(_ended_at(batch)),
        "metadata": batch.spec["metadata"],
    }


def _ended_at(batch: Batch) -> datetime | None:
    return batch.cancel_requested_at or batch.finished_at


def batch(deps: Deps, base: str, read: ReadBatch) -> Body:
    counts, status = read.batch.counts, batches.status(read.batch)
    failed = counts.failed - read.batch.cancelled
    body = batch_row(read.batch) | {
        "warnings": read.batch.spec["warnings"],
        "live_view_url": f"{base}/live/batches/{to_uuid(read.batch.id)}?token={access.of_batch(deps, read.batch.id)}",
        "sessions": [_item(deps, base, read, item) for item in read.items],
        "progress": {
            "percentage": round(100 * (counts.completed + counts.failed) / counts.size, 1),
            "current_phase": read.phase,
        },
    }
    if status in (batches.COMPLETED, batches.FAILED) and failed:
        body["error"] = f"{failed} of {counts.size} sessions failed"
    return body


def _item(deps: Deps, base: str, read: ReadBatch, item: BrowserItem) -> Body:
    nowhere: Body = {"cdp_url": None, "live_view_url": None}
    ready = item.state == batches.COMPLETED and not item.scoped
    return {
        "item_index": item.index,
        "session_id": to_uuid(item.session_id),
        "status": _item_status(item),
        **(reached(deps, base, item.session_id, read.configuration) if ready else nowhere),
        "error": item.error,
        "retry_count": item.try_number - 1 + item.restarts,
        "started_at": timestamp(item.began_at),
        "completed_at": timestamp(item.settled_at),
        "metadata": {"batch_id": to_uuid(read.batch.id), "item_index": item.index, **_before(item)},
    }


def _before(item: BrowserItem) -> Body:
    return {} if item.last_error is None else {"last_error": item.last_error}


def grid(deps: Deps, base: str, read: ReadBatch) -> Body:
    """What the page of a batch shows."""
    counts = read.batch.counts
    return {
        "counts": {
            "ready": counts.completed,
            "starting": counts.running,
            "waiting": counts.queued,
            "failed": counts.failed - read.batch.cancelled,
            "cancelled": read.batch.cancelled,
        },
        "percentage": round(100 * (counts.completed + counts.failed) / counts.size, 1),
        "items": [_tile(deps, base, read, item) for item in read.items],
    }


def _tile(deps: Deps, base: str, read: ReadBatch, item: BrowserItem) -> Body:
    live = item.alive and not item.scoped and not read.configuration.scoped
    status = "live" if live else "ended" if item.state == batches.COMPLETED and not item.alive else _item_status(item)
    body: Body = {"item_index": item.index, "session_id": to_uuid(item.session_id), "status": status, "error": item.error}
    if live:
        body["token"] = access.computed(deps, item.session_id, access.LIVE_READ_ONLY)
        body["url"] = live_view_url(deps, base, item.session_id, read.configuration)
    return body


def _item_status(item: BrowserItem) -> str:
    if item.cancelled:
        return batches.CANCELLED
    if item.state in (batches.COMPLETED, batches.FAILED):
        return item.state
    return batches.PROCESSING if item.state == RUNNING else batches.PENDING


def recordings(base: str, session_id: str, found: Sequence[KeptFile]) -> Body:
    """One that is not of the whole session says why."""
    items = [
        {
            "id": one.id,
            "is_primary": True,
            "file_link": f"{base}/v1/sessions/{session_id}/recordings/{one.id}/fetch",
            "suggested_file_name": f"{session_id}.mp4",
            "duration": f"{one.data['seconds']:g}",
            "size": one.data["bytes"],
            "created_at": timestamp(one.created_at),
            **({"problem": one.data["problem"]} if "problem" in one.data else {}),
        }
        for one in found
    ]
    return {"count": len(items), "items": items}


def downloads(base: str, session_id: str, found: Sequence[KeptFile]) -> Body:
    """Names that come again are numbered: `document (2).doc`."""
    items: list[Body] = []
    seen: dict[str, int] = {}
    for one in found:
        told, name = one.data, one.data["name"]
        seen[name] = times = seen.get(name, 0) + 1
        stem, dot, suffix = name.rpartition(".")
        link = f"{base}/v1/sessions/{session_id}/downloads/{one.id}/fetch"
        items.append(
            {
                "id": one.id,
                "file_link": link,
                "original_download_url": told["url"],
                "origin_url": told["origin_url"],
                "suggested_file_name": name if times == 1 else f"{stem} ({times}){dot}{suffix}" if stem else f"{name} ({times})",
                "original_file_name": told["suggested_name"],
                "duration": told["milliseconds"],
                "size": told["bytes"],
                "created_at": timestamp(one.created_at),
            }
        )
    return {"count": len(items), "items": items}


METRICS = ("session_count", "proxy_bytes", "ai_steps", "session_hours", "credits_used", "screenshots", "network_bytes_total")


def analytics(spans: Sequence[BrowserSpan], metrics: Sequence[str], page: int, limit: int) -> Body:
    """The page of spans, and sums over all of them. Hours are those for which browsers ran."""
    rows = [_measured(span.sessions, span.seconds, span.bytes) | {"date": timestamp(span.date)} for span in spans]
    first = (page - 1) * limit
    shown = [{"date": row["date"], **{name: row[name] for name in metrics}} for row in rows[first : first + limit]]
    total = _measured(sum(s.sessions for s in spans), sum(s.seconds for s in spans), sum(s.bytes for s in spans))
    summary = {
        "total_sessions": total["session_count"],
        **{f"total_{name}": total[name] for name in METRICS if name not in ("session_count", "network_bytes_total")},
        "total_network_bytes_total": total["network_bytes_total"],
    }
    return {"data": shown, "summary": summary, "pagination": pagination(page, limit, len(rows))}


def _measured(sessions: int, seconds: float, bytes: int) -> Body:
    hours = round(seconds / 3600, 6)
    none = {"ai_steps": 0, "credits_used": 0, "screenshots": 0}
    return {"session_count": sessions, "session_hours": hours, "proxy_bytes": bytes, "network_bytes_total": bytes, **none}


def billing(now: datetime, most: int) -> Body:
    """Nothing is sold here (D22). `most` sessions run at once."""
    return {
        "credits": 0,
        "credits_used": 0,
        "included_credits": 0,
        "billing_period": f"{now:%Y-%m}",
        "tier": "self_hosted",
        "gifts_balance": 0,
        "max_concurrent_browsers": most,
        "cost_limit": None,
    }


def pagination(page: int, limit: int, total: int) -> Body:
    last = max(1, -(-total // limit))
    return {"current_page": page, "total_pages": last, "total_records": total, "has_next": page < last, "has_prev": page > 1}


def status_row(one: BrowserRow) -> Body:
    return {
        "session_id": to_uuid(one.id),
        "status": one.status,
        "tags": one.spec["tags"],
        "created_at": timestamp(one.created_at),
        "batch_id": None if one.batch_id is None else to_uuid(one.batch_id),
    }


def history_row(one: BrowserRow, now: datetime) -> Body:
    return status_row(one) | {
        "id": to_uuid(one.id),
        "headless": True,
        "recording": one.request["configuration"]["recording"],
        "used_credits": 0,
        "proxy_bytes": 0 if one.ended is None else one.ended["bytes"],
        "proxy_type": None if one.request["configuration"].get("proxy") is None else "custom",
        "steps": one.steps,
        "duration": max(0, int(((one.ended_at or now) - one.created_at).total_seconds())),
        "user_configuration": one.request["asked"],
        "task_initiated": one.tasks > 0,
        "task_executions_count": one.tasks,
        "api_key_name": one.key_name or "",
        "browser_ip": None,
        "domains": one.domains,
        "end_reason": None if one.ended is None else one.ended["end_reason"],
    }


def task(told: TaskRead) -> Body:
    """A web task as it stands; its result is an object, as the wire format has it."""
    body: Body = {"status": told.status}
    if told.status == COMPLETED:
        body["result"] = task_result(told)
    elif told.status == FAILED:
        body["error"] = told.error
    return body | task_used(told)


def task_result(told: TaskRead) -> Body:
    return told.result if isinstance(told.result, dict) else {"result": told.result}


def task_used(told: TaskRead) -> Body:
    return {"steps": told.steps, "usage": dict(told.usage)}


def async_status(deps: Deps, base: str, found: BrowserSession) -> Body:
    """3.3 of the `anchor` contract: ready for as long as it runs."""
    nowhere: Body = {"cdp_url": None, "live_view_url": None}
    ready, ended = found.address is not None, found.message.ended_at is not None
    status = "ready" if ready else found.status if ended else "processing" if found.message.state == RUNNING else "pending"
    body: Body = {
        "request_id": to_uuid(found.id),
        "status": status,
        "created_at": timestamp(found.message.created_at),
        "progress": {"current_phase": found.phase},
    }
    if ready or ended:
        body["session"] = {
            "item_index": 0,
            "session_id": to_uuid(found.id),
            "status": "failed" if found.status == "failed" else "completed",
            **(reached(deps, base, found.id, found.request.configuration) if ready and not found.scoped else nowhere),
            "error": found.message.error,
            "retry_count": 0,
            "metadata": {},
        }
    return body


def profile(one: Profile) -> Body:
    return {
        "name": one.name,
        "description": one.description,
        "source": "session",
        "session_id": one.session_id and to_uuid(one.session_id),
        "status": one.status,
        "created_at": timestamp(one.created_at),
    }


def extension(one: Extension) -> Body:
    """`chromium_id` is the one of its `chrome-extension:` addresses, in each session the same."""
    return {
        "id": to_uuid(one.id),
        "name": one.name,
        "manifest": one.manifest,
        "chromium_id": chromium_id(one.id),
        "createdAt": timestamp(one.created_at),
        "updatedAt": timestamp(one.created_at),
    }


def certificate(one: Certificate) -> Body:
    return {"id": to_uuid(one.id), "name": one.name, "description": one.description, "createdAt": timestamp(one.created_at)}
