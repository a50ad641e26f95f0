"""Webhooks of any kind's subjects: configuring them, looking at what was delivered, delivering it again.

Who may do that with a subject is checked by the kind's own room (`passel.services.agents.webhooks`).
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from urllib.parse import urlsplit

from passel.core.announcements import Vocabulary
from passel.core.errors import Conflict, FieldError, NotFound, Unprocessable
from passel.core.ids import OrgId
from passel.core.text import require_storable
from passel.core.webhook import KIND
from passel.core.webhook.signatures import new_secret
from passel.network import leads_inside
from passel.services.deps import Deps
from passel.store import admission
from passel.store import webhooks as store
from passel.store.changes import Changes, settle
from passel.store.webhooks import Delivery, DeliveryTry, Webhook

STATUSES = ("pending", "delivered", "superseded", "failed")

_LONGEST_URL = 2048
_STEP = 500
_MOST_AGAIN = 10_000


@dataclass(frozen=True, slots=True)
class Subject:
    """Whose sessions a webhook watches. `url_field` and `types_field` are how the face calls these fields.
    `watches` is the organisation that an endpoint of its own hears of; then `id` is the endpoint's. `new_secret` makes one in the face's
    form."""

    org_id: OrgId
    kind: str
    id: str
    vocabulary: Vocabulary
    url_field: str = "url"
    types_field: str = "event_types"
    watches: str | None = None
    batch_items: bool = True
    description: str | None = None
    new_secret: Callable[[], str] = new_secret


@dataclass(frozen=True, slots=True)
class Configured:
    """`secret` only when it is new: it is shown this once."""

    webhook: Webhook
    secret: str | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class ReadDelivery:
    delivery: Delivery
    tries: tuple[DeliveryTry, ...]


@dataclass(frozen=True, slots=True)
class Again:
    """How many were taken up, and where to go on when there are more."""

    count: int
    next_after: str | None


def sealed_for(subject_id: str) -> str:
    """What a webhook's secret is sealed for."""
    return f"webhook/{subject_id}"


async def configure(deps: Deps, subject: Subject, url: str, event_types: Sequence[str]) -> Configured:
    """Make the webhook, or change it; one that is there keeps its secret."""
    await _check_url(deps, url, subject.url_field)
    _check_types(event_types, subject)
    secret = subject.new_secret()
    async with deps.db.write() as c:
        lane = f"{KIND}/{subject.id}"
        lanes = await admission.ensure_lanes(c, subject.org_id, [lane], deps.now())
        sealed = deps.vault.seal(secret, sealed_for(subject.id))
        types = sorted(set(event_types))
        new = Webhook(
            subject.org_id, subject.id, deps.ids.new("hook"), subject.kind, subject.watches or subject.id, subject.batch_items,
            subject.description, None, lanes[lane], url, types, sealed, None, None, deps.now(), deps.now(),
        )  # fmt: skip
        created = await store.put_webhook(c, new)
        webhook = await store.find_webhook(c, subject.id)
    assert webhook is not None
    return Configured(webhook, secret if created else None)


async def _check_url(deps: Deps, url: str, field: str) -> None:
    require_storable(url, field)

    def refused(sentence: str) -> Unprocessable:
        return Unprocessable(f"{field} {sentence}", field=field)

    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise refused(f"is no URL: {error}") from error
    if len(url) > _LONGEST_URL:
        raise refused(f"may have {_LONGEST_URL} characters")
    if parts.scheme not in ("https", "http") or not host or any(ch.isspace() or not ch.isprintable() for ch in url):
        raise refused("must be an absolute URL such as https://example.com/hooks")
    if parts.username is not None or parts.password is not None:
        raise refused("must not hold a user name or password: verify the signature of each delivery instead")
    if deps.allow_private_urls:
        return
    if parts.scheme != "https":
        raise refused("must begin with https:// (the server allows http:// with PASSEL_ALLOW_PRIVATE_URLS=1)")
    inside = await leads_inside(host)
    if inside is None:
        raise refused(f"names {host}, which does not resolve: correct it, or try again when it does")
    if inside:
        raise refused(
            f"leads to a private address ({host}); the server allows that only while it listens on loopback or with PASSEL_ALLOW_PRIVATE_URLS=1"
        )


def _check_types(event_types: Sequence[str], subject: Subject) -> None:
    known, field = sorted(subject.vocabulary.types), subject.types_field
    if not event_types:
        raise Unprocessable(f"{field} is empty: name at least one of {', '.join(known)}, or delete the webhook", field=field)
    wrong = [
        FieldError(f"{field}[{n}]", f"{one[:100]!r} is no event type; there are {', '.join(known)}")
        for n, one in enumerate(event_types)
        if one not in subject.vocabulary.types
    ]
    if wrong:
        raise Unprocessable(wrong[0].msg, errors=wrong)


async def find(deps: Deps, subject_id: str) -> Webhook | None:
    async with deps.db.read() as c:
        return await store.find_webhook(c, subject_id)


async def list_watching(deps: Deps, watches: str, kind: str) -> list[Webhook]:
    """The webhooks that hear of an organisation's sessions of a kind, the oldest first."""
    async with deps.db.read() as c:
        return await store.list_webhooks(c, watches, kind)


async def rotate(deps: Deps, subject_id: str, overlap: float | None = None, secret: str | None = None) -> Configured:
    """A new secret at once, this one or one that is made here. The old one signs beside it for `overlap` seconds, or as long as the
    server's setting says."""
    overlap = deps.webhook_overlap if overlap is None else overlap
    secret = secret or new_secret()
    until = deps.now() + timedelta(seconds=overlap) if overlap else None
    async with deps.db.write() as c:
        await store.rotate_webhook(c, subject_id, deps.vault.seal(secret, sealed_for(subject_id)), until, deps.now())
        webhook = await store.find_webhook(c, subject_id)
    if webhook is None:
        raise Conflict("no webhook is configured: PUT its webhook_url first")
    return Configured(webhook, secret)


async def delete(deps: Deps, subject_id: str) -> None:
    """Repeatable. What waits to be delivered is dropped, and its sessions are told."""
    async with deps.db.write() as c:
        await store.delete_webhook(c, subject_id, deps.now())


async def list_deliveries(
    deps: Deps, subject_id: str, *, after: str | None, type: str | None, status: str | None, limit: int
) -> list[ReadDelivery]:
    """Newest first, each with its tries."""
    async with deps.db.snapshot() as c:
        found = await store.list_deliveries(c, subject_id, after=after, type=type, status=status, limit=limit)
        return await _with_tries(c, found)


async def _with_tries(c: store.ReadConnection, found: Sequence[Delivery]) -> list[ReadDelivery]:
    tries: dict[str, list[DeliveryTry]] = defaultdict(list)
    for one in await store.list_tries(c, [delivery.id for delivery in found]):
        tries[one.delivery_id].append(one)
    return [ReadDelivery(delivery, tuple(tries[delivery.id])) for delivery in found]


async def redeliver(deps: Deps, subject_id: str, delivery_id: str) -> ReadDelivery:
    """Deliver one again, under its own id: now, if it waits for its next try, else with tries of its own."""
    async with deps.db.read() as c:
        webhook = await _require(c, subject_id)
        if await store.find_delivery(c, subject_id, delivery_id) is None:
            raise NotFound("this agent's webhook has no such delivery")
    await _redeliver(deps, webhook, [delivery_id])
    async with deps.db.snapshot() as c:
        found = await store.find_delivery(c, subject_id, delivery_id)
        assert found is not None
        return (await _with_tries(c, [found]))[0]


async def redeliver_span(deps: Deps, subject_id: str, since: datetime, until: datetime | None, after: str | None) -> Again:
    """Deliver everything of a span again, the oldest first; at most so much at once, and then from where it stopped."""
    if until is not None and until <= since:
        raise Unprocessable("until must be later than since", field="until")
    async with deps.db.read() as c:
        webhook = await _require(c, subject_id)
    until, count, looked = until or deps.now(), 0, 0
    while looked < _MOST_AGAIN:
        async with deps.db.read() as c:
            page = await store.span_deliveries(c, subject_id, since, until, after, _STEP)
        if page:
            count += await _redeliver(deps, webhook, page)
            looked, after = looked + len(page), page[-1]
        if len(page) < _STEP:
            return Again(count, None)
    return Again(count, after)


async def _require(c: store.ReadConnection, subject_id: str) -> Webhook:
    webhook = await store.find_webhook(c, subject_id)
    if webhook is None:
        raise Conflict("no webhook is configured: PUT its webhook_url first")
    return webhook


async def _redeliver(deps: Deps, webhook: Webhook, delivery_ids: Sequence[str]) -> int:
    async with deps.db.write() as c:
        changes = Changes(deps.now(), deps.announcing)
        count = await store.redeliver(c, [(one, deps.ids.message()) for one in delivery_ids], webhook.lane_id, changes)
        await settle(c, changes, deps.capacity)
    return count
