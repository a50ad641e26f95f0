"""Browser sessions: made, waited for, read, ended."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from passel.core.browser import KIND, PREFIX
from passel.core.browser import events as browser_events
from passel.core.browser.events import API
from passel.core.errors import Conflict, NotFound, PasselError
from passel.core.events import Draft, Event
from passel.core.ids import SessionId
from passel.core.states import COMPLETED, ENDED, FAILED, NO_CAPACITY_ERROR, RUNNING
from passel.services import sessions
from passel.services.browser import certificates, extensions, profiles, rates
from passel.services.browser.rates import Standing
from passel.services.browser.reach import Reach
from passel.services.browser.requests import LANE, BrowserRequest
from passel.services.deps import Caller, Deps, require_own
from passel.services.following import Following
from passel.store import browsers, ledgers
from passel.store import sessions as store
from passel.store.browsers import BrowserRow, BrowserSpan, Wanted
from passel.store.changes import Changes, settle
from passel.store.database import WriteConnection
from passel.store.ledgers import Telling
from passel.store.sessions import Message, NewSession, Session

PENDING, ACTIVE = "pending", "running"
_START_SECONDS = 60.0
_MOST_AT_ONCE = 10_000


class Ended(Conflict):
    """The browser is not there any more."""


@dataclass(frozen=True, slots=True)
class BrowserSession:
    """As its ledger says."""

    session: Session
    message: Message
    ledger: list[Event]

    @property
    def id(self) -> SessionId:
        return self.session.id

    @property
    def status(self) -> str:
        """D13."""
        if self.message.state in ENDED:
            failed = self.message.state == FAILED and self.end is not None and self.end["end_reason"] in browser_events.FAILURES
            return FAILED if failed else COMPLETED
        return ACTIVE if self.address is not None else PENDING

    @property
    def address(self) -> str | None:
        """The worker that it runs on, once it is ready."""
        result = self.message.result
        return result["address"] if result and self.message.state == RUNNING else None

    @property
    def tags(self) -> list[str]:
        return self.session.spec["tags"]

    @property
    def scoped(self) -> bool:
        """Whether it is opened by minted tokens alone."""
        return bool(self.session.spec.get("scoped")) or self.request.configuration.scoped

    @property
    def request(self) -> BrowserRequest:
        return BrowserRequest.from_json(self.ledger[0].data)

    @property
    def phase(self) -> str:
        """3.5 of the `anchor` contract."""
        if self.message.state != RUNNING:
            return "ready" if self.message.state in ENDED else "queued"
        if self.address is not None:
            return "ready"
        return "configuring" if any(event.type == browser_events.CONFIGURING for event in self.ledger) else "provisioning"

    @property
    def end(self) -> dict[str, Any] | None:
        """Why it ended and after how long (`browser.ended`)."""
        told = next((event.data for event in reversed(self.ledger) if event.type == browser_events.ENDED), None)
        if told is None and self.message.error == NO_CAPACITY_ERROR:
            return {"end_reason": browser_events.START_FAILED, "error": NO_CAPACITY_ERROR, "seconds": 0, "bytes": 0}
        if told is None and self.message.state in ENDED:  # cancelled: its worker had no say
            reason = browser_events.API if self.session.batch_id is None else browser_events.BATCH_CANCELLED
            return {"end_reason": reason, "error": None, "seconds": 0, "bytes": 0}
        return told


class Begun(NamedTuple):
    """A session that is about to start. `standing` is how many more may be made, where that is limited."""

    session: BrowserSession
    standing: Standing | None


async def create(deps: Deps, caller: Caller, request: BrowserRequest) -> Begun:
    """It is not waited for. Raises `Invalid` for a proxy that may not be used, `TooMany`, and what `profiles.claim` raises."""
    await request.require_open(deps)
    await extensions.require(deps, caller, request.configuration)
    await certificates.require(deps, caller, request.configuration)
    standing = await rates.take(deps, caller)
    id = SessionId(deps.ids.new(PREFIX))
    sealed = None if request.secrets is None else deps.vault.seal(request.secrets, id)
    new = NewSession(caller.org_id, id, KIND, None, request.spec(caller), None, {}, LANE, sealed, deps.now())
    async with deps.db.write() as c:
        await profiles.claim(deps, caller, c, request.configuration, id)
        await store.insert_session(c, new)
        session = await store.lock_session(c, id)
        assert session is not None
        await sessions.add_request(deps, caller, c, session, request.request, None)
    return Begun(await get(deps, caller, id), standing)


async def wait_ready(deps: Deps, caller: Caller, following: Following, id: str) -> BrowserSession:
    """Until it may be connected to, or has ended, or it takes too long."""
    with following.bell.listening(id) as ring:
        found = await get(deps, caller, id)
        until = deps.now().timestamp() + _START_SECONDS
        while found.status == PENDING and (left := until - deps.now().timestamp()) > 0 and not following.bell.closed:
            await ring.wait(left)
            async with deps.db.read() as c:
                message = await store.find_message(c, found.message.id)
            if message is None or _is_settled(message):  # what else it was told changes nothing for who waits
                found = await get(deps, caller, id)
    return found


def _is_settled(message: Message) -> bool:
    return message.state in ENDED or message.result is not None


async def get(deps: Deps, caller: Caller, id: str) -> BrowserSession:
    """Raises `NotFound`, and `Forbidden` for one of another organisation."""
    found = await find(deps, id)
    require_own(deps, caller, found and found.session.org_id, "session")
    assert found is not None
    return found


async def find(deps: Deps, id: str) -> BrowserSession | None:
    """Of whatever organisation. Its ledger is read last, so that it knows of all that the message says; where that has been deleted in
    between, it is empty."""
    async with deps.db.read() as c:
        session = await store.find_session(c, id)
        if session is None or session.kind != KIND or session.last_message_id is None:
            return None
        message = await store.find_message(c, session.last_message_id)
        ledger = await store.read_ledger(c, session.id)
    return BrowserSession(session, message, ledger) if message is not None and ledger else None


async def end(deps: Deps, caller: Caller, reach: Reach, id: str, reason: str = API) -> BrowserSession:
    """End it, wherever it stands; nothing happens to one that has ended."""
    found = await get(deps, caller, id)
    if found.address is not None:
        try:
            await reach.call(found.address, found.id, "end", reason=reason)
            return found
        except PasselError:
            found = await get(deps, caller, id)  # its worker has just gone, or it has ended
    if found.message.state not in ENDED:
        await sessions.cancel(deps, caller, KIND, id)
    return await get(deps, caller, id)


async def list_sessions(
    deps: Deps, caller: Caller, wanted: Wanted, *, newest_first: bool, limit: int, offset: int, by_key: bool = False
) -> tuple[list[BrowserRow], int]:
    """And how many match. By the names of the keys that made them where `by_key`, else as they were made."""
    async with deps.db.read() as c:
        return await browsers.list_sessions(c, caller.org_id, wanted, newest_first=newest_first, limit=limit, offset=offset, by_key=by_key)


async def end_all(deps: Deps, caller: Caller, reach: Reach) -> int:
    """Of the organisation, those that run and those that are about to. Returns how many."""
    live: list[BrowserRow] = []
    for status in (PENDING, ACTIVE):
        live += (await list_sessions(deps, caller, Wanted(status), newest_first=False, limit=_MOST_AT_ONCE, offset=0))[0]
    for one in live:
        await end(deps, caller, reach, one.id)
    return len(live)


async def pages(deps: Deps, caller: Caller, reach: Reach, id: str) -> tuple[BrowserSession, Sequence[dict[str, Any]]]:
    """Raises `Ended`."""
    found = await get(deps, caller, id)
    return found, await reach.call(*_where(found), "pages")


async def capacity(deps: Deps) -> int:
    """How many sessions the workers that are there run at once."""
    async with deps.db.read() as c:
        return await browsers.capacity(c)


async def retag(deps: Deps, caller: Caller, id: str, tags: Sequence[str]) -> BrowserSession:
    """Replace its tags, whether it runs or has ended."""
    found = await get(deps, caller, id)
    await tell(deps, found, browser_events.tagged(tags), lambda c: browsers.retag(c, found.id, tags))
    return await get(deps, caller, id)


async def tell(deps: Deps, found: BrowserSession, draft: Draft, beside: Callable[[WriteConnection], Awaitable[None]] | None = None) -> None:
    """Tell a session's ledger something that its worker does not know of, and write `beside` with it."""
    changes = Changes(deps.now(), deps.announcing)
    async with deps.db.write() as c:
        told = await ledgers.append(c, [Telling(found.session.org_id, found.id, found.message.id, (draft,))], changes.now)
        if beside is not None:
            await beside(c)
        changes.announce(told.values())
        await settle(c, changes, deps.capacity)


async def analyse(deps: Deps, caller: Caller, since: datetime | None, until: datetime | None, span: str) -> list[BrowserSpan]:
    """What the organisation had in each span, the oldest first."""
    async with deps.db.read() as c:
        return await browsers.analyse(c, caller.org_id, since, until, span, deps.now())


async def save_profile(deps: Deps, caller: Caller, id: str, name: str, description: str | None) -> None:
    """The state that the session has at its end is a new profile. Raises `NotFound` for one that is not running, and `Conflict`."""
    found = await get(deps, caller, id)
    if found.address is None:
        raise NotFound("session_id: this session is not running", field="session_id")
    await profiles.create(deps, caller, name, description, found.id)


async def ask(deps: Deps, caller: Caller, reach: Reach, id: str, do: str, asked: Mapping[str, Any]) -> Any:
    """One of the calls on a live session. Raises `Ended` and what the call answers."""
    return await reach.call(*_where(await get(deps, caller, id)), do, **asked)


def _where(found: BrowserSession) -> tuple[str, SessionId]:
    if found.address is None:
        raise Ended("this session is not running" if found.status == PENDING else "this session has ended")
    return found.address, found.id
