"""Webhooks of an organisation's verifications: there may be several."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from passel.core.errors import NotFound, Unprocessable
from passel.core.verification import KIND
from passel.core.verification.announcements import ANNOUNCED
from passel.core.webhook.letters import Letter, Undeliverable
from passel.services import webhooks
from passel.services.deps import Caller, Deps
from passel.services.verification.verifications import Verification, find
from passel.services.webhooks import Configured, ReadDelivery, Subject, Webhook
from passel.store.database import patiently

PREFIX = "wh"
_MOST = 20
_OVERLAP = 24 * 3600.0


@dataclass(frozen=True, slots=True)
class Endpoint:
    """What a client says of one."""

    url: str
    events: Sequence[str]
    batch_items: bool = False
    description: str | None = None


async def create(deps: Deps, caller: Caller, wanted: Endpoint) -> Configured:
    """The secret is shown this once. Raises `Unprocessable`, also where there are as many as there may be."""
    if len(await list_endpoints(deps, caller)) >= _MOST:
        raise Unprocessable(f"an organisation has at most {_MOST} webhooks")
    return await webhooks.configure(deps, _subject(caller, deps.ids.new(PREFIX), wanted), wanted.url, wanted.events)


async def change(deps: Deps, caller: Caller, webhook_id: str, wanted: Endpoint) -> Webhook:
    """It keeps its secret, and is enabled again if it was disabled. Raises `NotFound`, `Unprocessable`."""
    await get(deps, caller, webhook_id)
    return (await webhooks.configure(deps, _subject(caller, webhook_id, wanted), wanted.url, wanted.events)).webhook


def _subject(caller: Caller, webhook_id: str, wanted: Endpoint) -> Subject:
    base = Subject(caller.org_id, KIND, webhook_id, ANNOUNCED, "url", "events", caller.org_id)
    return replace(base, batch_items=wanted.batch_items, description=wanted.description)


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
    """A new secret; the old one signs beside it for a day (D20)."""
    await get(deps, caller, webhook_id)
    return await webhooks.rotate(deps, webhook_id, _OVERLAP)


async def delete(deps: Deps, caller: Caller, webhook_id: str) -> None:
    """What waits to be delivered is dropped. Raises `NotFound`."""
    await get(deps, caller, webhook_id)
    await webhooks.delete(deps, webhook_id)


async def list_deliveries(deps: Deps, caller: Caller, webhook_id: str, *, after: str | None, limit: int) -> list[ReadDelivery]:
    """Newest first, each with its tries."""
    await get(deps, caller, webhook_id)
    return await webhooks.list_deliveries(deps, webhook_id, after=after, type=None, status=None, limit=limit)


async def redeliver(deps: Deps, caller: Caller, webhook_id: str, delivery_id: str) -> ReadDelivery:
    await get(deps, caller, webhook_id)
    return await webhooks.redeliver(deps, webhook_id, delivery_id)


async def told_of(deps: Deps, letter: Letter) -> Verification:
    """The verification that a letter tells of. Raises `Undeliverable`."""
    found = await patiently(lambda: find(deps, letter.scope_id))
    if found is None:
        raise Undeliverable("what it tells of was deleted")
    return found
