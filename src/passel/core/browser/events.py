"""What the ledger of a browser session says (decisions D13, D24, D37 of the `anchor` contract).

message.requested       {configuration, asked, warnings}: what is in effect, what the client sent, where the two differ
browser.configuring     {}: the process is up
browser.start_failed    {error}: it did not start, and is started again
browser.ready           {product}: clients may connect
browser.initial_url     {url, error}: the page that was asked for did not load
browser.tagged          {tags}: those that it has from now on
browser.tokens_minted   {scopes}: from the first on, the session is opened by minted tokens alone
browser.token_revoked   {scope}
browser.recorded        {recording_id, bytes, seconds}: its recording is kept
browser.downloaded      {file_id, url, origin_url, suggested_name, name, milliseconds, bytes}: a file that is kept
browser.download_failed         {name, error}
browser.uploaded        {name, bytes}
browser.file_deleted    {file_id}: one that was kept
browser.profile_saved   {name, bytes}: its state is that profile's from now on
browser.profile_failed          {name, error}
browser.recording_failed        {error}: not all of it, or nothing, was recorded
browser.navigated       {page, url}: a page went somewhere; the first thousand of a session
browser.ended           {end_reason, error, seconds, bytes}

What is told of web tasks is in `passel.core.browser.tasks`.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from passel.core.events import Draft, Event

START_AGAIN = "browser.start_failed"
CONFIGURING, READY, INITIAL_URL, ENDED = "browser.configuring", "browser.ready", "browser.initial_url", "browser.ended"
NAVIGATED, RECORDED, TAGGED = "browser.navigated", "browser.recorded", "browser.tagged"
DOWNLOADED, DOWNLOAD_FAILED, UPLOADED = "browser.downloaded", "browser.download_failed", "browser.uploaded"
RECORDING_FAILED, FILE_DELETED = "browser.recording_failed", "browser.file_deleted"
PROFILE_SAVED, PROFILE_FAILED = "browser.profile_saved", "browser.profile_failed"
TOKENS_MINTED, TOKEN_REVOKED = "browser.tokens_minted", "browser.token_revoked"

API, IDLE_TIMEOUT, MAX_DURATION, CRASH, START_FAILED, WORKER_LOST = (
    "api",
    "idle_timeout",
    "max_duration",
    "crash",
    "start_failed",
    "worker_lost",
)
BATCH_CANCELLED, SHUTDOWN = "batch_cancelled", "shutdown"
FAILURES = frozenset({CRASH, START_FAILED, WORKER_LOST, SHUTDOWN})
"""Reasons for which a session has failed; the others end it well."""


def requested(configuration: dict[str, Any], asked: dict[str, Any], warnings: list[str]) -> dict[str, Any]:
    return {"configuration": configuration, "asked": asked, "warnings": warnings}


def configuring() -> Draft:
    return Draft(CONFIGURING, {})


def start_again(error: str) -> Draft:
    return Draft(START_AGAIN, {"error": error})


def ready(product: str) -> Draft:
    return Draft(READY, {"product": product})


def initial_url_failed(url: str, error: str) -> Draft:
    return Draft(INITIAL_URL, {"url": url, "error": error})


def navigated(page: str, url: str) -> Draft:
    return Draft(NAVIGATED, {"page": page, "url": url})


def recorded(recording_id: str, bytes: int, seconds: float) -> Draft:
    return Draft(RECORDED, {"recording_id": recording_id, "bytes": bytes, "seconds": round(seconds, 3)})


def recording_failed(error: str) -> Draft:
    return Draft(RECORDING_FAILED, {"error": error})


def downloaded(file_id: str, url: str, origin_url: str, suggested_name: str, name: str, milliseconds: int, bytes: int) -> Draft:
    where = {"file_id": file_id, "url": url, "origin_url": origin_url}
    return Draft(DOWNLOADED, where | {"suggested_name": suggested_name, "name": name, "milliseconds": milliseconds, "bytes": bytes})


def download_failed(name: str, error: str) -> Draft:
    return Draft(DOWNLOAD_FAILED, {"name": name, "error": error})


def uploaded(name: str, bytes: int) -> Draft:
    return Draft(UPLOADED, {"name": name, "bytes": bytes})


def profile_saved(name: str, bytes: int) -> Draft:
    return Draft(PROFILE_SAVED, {"name": name, "bytes": bytes})


def profile_failed(name: str | None, error: str) -> Draft:
    return Draft(PROFILE_FAILED, {"name": name, "error": error})


def minted(scopes: Sequence[str]) -> Draft:
    return Draft(TOKENS_MINTED, {"scopes": list(scopes)})


def revoked(scope: str) -> Draft:
    return Draft(TOKEN_REVOKED, {"scope": scope})


def tagged(tags: Sequence[str]) -> Draft:
    return Draft(TAGGED, {"tags": list(tags)})


def ended(reason: str, error: str | None, seconds: float, bytes: int) -> Draft:
    return Draft(ENDED, {"end_reason": reason, "error": error, "seconds": round(seconds, 3), "bytes": bytes})


def was_ready(ledger: Iterable[Event]) -> bool:
    return any(event.type == READY for event in ledger)
