"""Single verifications."""

from dataclasses import dataclass
from typing import Any

import orjson

from passel.core.errors import Conflict, Forbidden, NotFound
from passel.core.events import Event
from passel.core.ids import SessionId
from passel.core.states import ENDED
from passel.core.verification import KIND
from passel.core.verification.claims import Claim
from passel.core.verification.keys import digests
from passel.core.verification.progress import Progress
from passel.services import sessions
from passel.services.deps import Caller, Deps
from passel.services.following import Following
from passel.services.sessions import Once
from passel.services.verification.batches import PREFIX
from passel.services.verification.models import lane_of, with_models
from passel.services.verification.usage import require_room
from passel.store import batches as batch_store
from passel.store import sessions as store
from passel.store import verifications as verification_store
from passel.store.database import ReadConnection
from passel.store.sessions import Message, NewSession, Session


@dataclass(frozen=True, slots=True)
class Verification:
    """A verification as its ledger says: `progress` has what each method found."""

    session: Session
    message: Message
    claim: Claim
    ledger: list[Event]

    @property
    def progress(self) -> Progress:
        return Progress.of(self.ledger, self.message.id)

    @property
    def ended(self) -> bool:
        return self.message.state in ENDED


async def create(deps: Deps, caller: Caller, claim: Claim, metadata: dict[str, Any], key: str | None = None) -> Verification:
    """Begin to verify a claim; or find the one that a request with this key has begun. Raises `Unprocessable` where it needs a model
    that is not there, `QuotaExceeded` where the month's limit is reached, and `Conflict` for a key that came with another request."""
    once = None if key is None else _once(deps, caller, claim, metadata, key)
    if once is not None:
        async with deps.db.read() as c:
            known = await _recalled(c, once)
        if known is not None:
            return await get(deps, caller, known)
    claim = await with_models(deps, caller.org_id, claim)
    await require_room(deps, caller.org_id)
    id = SessionId(deps.ids.new(PREFIX))
    new = NewSession(caller.org_id, id, KIND, None, {"metadata": metadata}, None, {}, lane_of(claim), None, deps.now())
    async with deps.db.write() as c:
        known = None
        if once is not None:
            # requests with one key are one at a time: there is no session yet whose row could be locked
            await store.lock_idempotency_key(c, once.scope, once.key)
            known = await _recalled(c, once)
        if known is None:
            await store.insert_session(c, new)
            session = await store.lock_session(c, new.id)
            assert session is not None
            await sessions.add_request(deps, caller, c, session, claim.to_json(), once)
    return await get(deps, caller, known or id)


def _once(deps: Deps, caller: Caller, claim: Claim, metadata: dict[str, Any], key: str) -> Once:
    asked = "/".join(digests(claim)) + orjson.dumps(metadata, option=orjson.OPT_SORT_KEYS).decode()
    return Once(f"verify/{caller.org_id}", key, deps.vault.sign(asked))


async def _recalled(c: ReadConnection, once: Once) -> SessionId | None:
    """The verification that a key stands for. Raises `Conflict`."""
    known = await store.recall_key(c, once.scope, once.key)
    if known is not None and known.request_hash != once.digest:
        raise Conflict("Idempotency-Key was already used with a different request")
    return None if known is None else known.session_id


async def get(deps: Deps, caller: Caller, id: str) -> Verification:
    """Raises `NotFound`, and `Forbidden` for one of another organisation."""
    found = await find(deps, id)
    if found is None or (found.session.org_id != caller.org_id and deps.hide_foreign):
        raise NotFound("Verification not found")
    if found.session.org_id != caller.org_id:
        raise Forbidden("This verification belongs to a different organization")
    return found


async def find(deps: Deps, id: str) -> Verification | None:
    """Of whatever organisation; those of a batch go with it."""
    async with deps.db.snapshot() as c:
        session = await store.find_session(c, id)
        if session is None or session.kind != KIND:
            return None
        batch = None if session.batch_id is None else await batch_store.find_batch(c, session.batch_id)
        if batch is not None and batch.has_expired(deps.now()):
            return None
        ledger = await store.read_ledger(c, session.id)
        assert session.last_message_id is not None, "verifications are made with their message"
        message = await store.find_message(c, session.last_message_id)
    assert message is not None
    return Verification(session, message, Claim.from_json(ledger[0].data), ledger)


async def backlog(deps: Deps) -> int:
    """How many verifications wait for a worker; 10,000 means at least so many."""
    async with deps.db.read() as c:
        return await verification_store.backlog(c)


async def wait(deps: Deps, caller: Caller, following: Following, id: str, seconds: float) -> Verification:
    """Until it has ended, but no longer than so."""
    with following.bell.listening(id) as ring:
        found = await get(deps, caller, id)
        until = deps.now().timestamp() + seconds
        while not found.ended and (left := until - deps.now().timestamp()) > 0 and not following.bell.closed:
            await ring.wait(left)
            found = await get(deps, caller, id)
    return found
