"""Webhooks of an organisation's browser sessions: there may be several."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from passel.core.browser import KIND
from passel.core.browser.announcements import ANNOUNCED
from passel.core.errors import Invalid, NotFound
from passel.core.webhook.events import said
from passel.core.webhook.letters import Letter, Undeliverable
from passel.services import webhooks
from passel.services.browser.sessions import BrowserSession, find
from passel.services.deps import Caller, Deps
from passel.services.webhooks import Configured, Subject, Webhook
from passel.store import announcing, browsers
from passel.store import webhooks as store
from passel.store.announcing import Delivery, Watch
from passel.store.changes import Changes, settle
from passel.store.database import patiently
from passel.store.webhooks import LoggedDelivery

PREFIX = "wh"
TYPES = ANNOUNCED.types
_MOST = 5
_OVERLAP = 24 * 3600.0


@dataclass(frozen=True, slots=True)
class Endpoint:
    """What a client says of one."""

    url: str
    events: Sequence[str]
    description: str | None = None
    enabled: bool = True


def new_secret() -> str:
    """256 bits in hexadecimal digits."""
    return secrets.token_hex(32)


async def create(deps: Deps, caller: Caller, wanted: Endpoint) -> Configured:
    """The secret is shown this once. Raises `Unprocessable`, and `Invalid` where there are as many as there may be."""
    if len(await list_endpoints(deps, caller)) >= _MOST:
        raise Invalid(f"a project has at most {_MOST} webhooks")
    return await webhooks.configure(deps, _subject(caller, deps.ids.new(PREFIX), wanted), wanted.url, wanted.events)


async def change(deps: Deps, caller: Caller, webhook_id: str, wanted: Endpoint) -> Webhook:
    """It keeps its secret. Raises `NotFound`, `Unprocessable`."""
    await get(deps, caller, webhook_id)
    changed = (await webhooks.configure(deps, _subject(caller, webhook_id, wanted), wanted.url, wanted.events)).webhook
    if wanted.enabled:
        return changed
    async with deps.db.write() as c:
        await store.disable_webhook(c, webhook_id, deps.now())
    return await get(deps, caller, webhook_id)


def _subject(caller: Caller, webhook_id: str, wanted: Endpoint) -> Subject:
    fields = "url", "subscribed_events", caller.org_id
    return Subject(caller.org_id, KIND, webhook_id, ANNOUNCED, *fields, description=wanted.description, new_secret=new_secret)


async def list_endpoints(deps: Deps, caller: Caller) -> list[Webhook]:
    """The oldest first."""
    return await webhooks.list_watching(deps, caller.org_id, KIND)


async def get(deps: Deps, caller: Caller, webhook_id: str) -> Webhook:
    """Raises `NotFound`, also for another organisation's."""
    found = await webhooks.find(deps, webhook_id)
    if found is None or found.watches != caller.org_id or found.kind != KIND:
        raise NotFound("Webhook not found")
    return found


async def rotate(deps: Deps, caller: Caller, webhook_id: str) -> Configured:
    """A new secret; the old one signs beside it for a day."""
    await get(deps, caller, webhook_id)
    return await webhooks.rotate(deps, webhook_id, _OVERLAP, new_secret())


async def delete(deps: Deps, caller: Caller, webhook_id: str) -> None:
    """What waits to be delivered is dropped; what was delivered can still be read. Raises `NotFound`."""
    await get(deps, caller, webhook_id)
    await webhooks.delete(deps, webhook_id)


async def send_test(deps: Deps, caller: Caller, webhook_id: str, type: str) -> str:
    """A delivery that tells of nothing. Returns its id. Raises `NotFound` and `Invalid`."""
    webhook = await get(deps, caller, webhook_id)
    if type not in TYPES:
        raise Invalid(f"event_type: there are {', '.join(sorted(TYPES))}", field="event_type")
    if webhook.disabled_at is not None:
        raise Invalid("this webhook is disabled: enable it first")
    watch = Watch(webhook.id, webhook.kind, webhook.subject_id, webhook.lane_id, webhook.event_types, webhook.batch_items)
    changes = Changes(deps.now(), deps.announcing)
    async with deps.db.write() as c:
        await store.lock_webhook(c, webhook_id)
        delivery = Delivery(caller.org_id, watch, webhook_id, type, None, said(type, {"test": True}))
        [id] = await announcing.insert_deliveries(c, [delivery], deps.ids, changes.now)
        _ = changes.lanes[webhook.lane_id]
        await settle(c, changes, deps.capacity)
    return id


async def list_events(
    deps: Deps,
    caller: Caller,
    webhook_id: str,
    *,
    status: str | None,
    type: str | None,
    since: datetime | None,
    until: datetime | None,
    limit: int,
    offset: int,
) -> tuple[list[LoggedDelivery], int]:
    """Newest first, and how many match; also of a webhook that was deleted. Raises `NotFound`."""
    async with deps.db.snapshot() as c:
        found, total = await store.list_log(c, caller.org_id, webhook_id, status, type, since, until, limit, offset)
    if not total:
        await get(deps, caller, webhook_id)
    return found, total


@dataclass(frozen=True, slots=True)
class Told:
    """What a letter is about."""

    found: BrowserSession
    item_index: int | None


async def told_of(deps: Deps, letter: Letter) -> Told:
    """Raises `Undeliverable`."""

    async def read() -> Told | None:
        found = await find(deps, letter.scope_id)
        if found is None:
            return None
        async with deps.db.read() as c:
            return Told(found, await browsers.item_index(c, found.message.id))

    told: Any = await patiently(read)
    if told is None:
        raise Undeliverable("what it tells of was deleted")
    return told
