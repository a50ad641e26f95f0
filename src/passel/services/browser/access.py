"""Who may reach a browser session, and for what (2.5, 4.4.3, D5 and D29 of the `anchor` contract).

An API key opens all sessions of its organisation. A token opens one session for one scope: one that is computed, which goes with the
session's id, or one that was minted, which stands alone and can be revoked. As soon as one was minted, the computed ones open nothing.
With `Deps.bare_browser_ids` the session's id is such a computed token for CDP.
"""

import base64
import binascii
import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from passel.core.browser import PREFIX
from passel.core.browser import events as browser_events
from passel.core.errors import Forbidden, NotFound, QuotaExceeded, Unauthenticated
from passel.core.ids import BatchId, OrgId, SessionId, decode_ulid, encode_ulid
from passel.services.browser.sessions import BrowserSession, Ended, find, get, tell
from passel.services.deps import Caller, Deps
from passel.store import browsers

CDP, LIVE, LIVE_READ_ONLY = "cdp", "live_view", "live_view_read_only"
SCOPES = (LIVE_READ_ONLY, LIVE, CDP)
_BATCH = "browser-batch"
_MOST_MINTED = 500
_ONLY_MINTED = "This session is opened by minted tokens alone: POST .../tokens makes them"
_SECRET_BYTES = 20
_ID_BYTES = 16


@dataclass(frozen=True, slots=True)
class Given:
    """What somebody brings along: an organisation by its API key, a session's id, a token."""

    org_id: OrgId | None = None
    session_id: str | None = None
    token: str | None = None


@dataclass(frozen=True, slots=True)
class Admitted:
    """`act` says whether who watches may also do something."""

    found: BrowserSession
    address: str
    act: bool


def computed(deps: Deps, session_id: SessionId, scope: str) -> str:
    """The token of one session for one scope: 160 bits, which nobody without the installation's secret can make."""
    return deps.vault.sign(f"{scope}/{session_id}")[:40]


def of_batch(deps: Deps, batch_id: BatchId) -> str:
    """Opens the live view of a batch."""
    return deps.vault.sign(f"{_BATCH}/{batch_id}")[:40]


def opens_batch(deps: Deps, batch_id: str, token: str) -> bool:
    return token.isascii() and deps.vault.same(of_batch(deps, BatchId(batch_id)), token)


async def mint(deps: Deps, caller: Caller, id: str, scopes: Sequence[str]) -> dict[str, str]:
    """A new token for each scope that the session serves; none of the scopes means all. From now on it is opened by minted tokens alone.
    Raises `NotFound`, `Forbidden`, `Ended` and `QuotaExceeded`."""
    found = await get(deps, caller, id)
    if found.message.ended_at is not None:
        raise Ended("this session has ended")
    if len(_minted(found)) >= _MOST_MINTED:
        raise QuotaExceeded(f"a session has at most {_MOST_MINTED} tokens: revoke some")
    wanted = [
        scope for scope in SCOPES if scope in (scopes or SCOPES) and not (scope == LIVE and found.request.configuration.one_time_view)
    ]
    made = {scope: _new(found.id) for scope in wanted}
    hashes = {_hash(token): scope for scope, token in made.items()}
    await tell(deps, found, browser_events.minted(wanted), lambda c: browsers.add_tokens(c, found.id, hashes))
    return made


async def revoke(deps: Deps, caller: Caller, id: str, token: str) -> None:
    """It opens no new connection. Raises `NotFound`."""
    found = await get(deps, caller, id)
    hashed = _hash(token)
    scope = _minted(found).get(hashed)
    if scope is None:
        raise NotFound("Token not found")
    await tell(deps, found, browser_events.revoked(scope), lambda c: browsers.remove_token(c, found.id, hashed))


async def admit(deps: Deps, given: Given, wanted: str, *, looks: bool = False) -> Admitted:
    """Whoever wants CDP, or the live view. A link that is good once is used up by this, unless somebody only `looks`. Raises
    `Unauthenticated`, `NotFound`, `Forbidden` and `Ended`."""
    own_id = given.session_id or _session_of(given.token or "")
    found = await find(deps, own_id) if own_id else None
    if found is None:
        if given.org_id is None:
            raise Unauthenticated("Missing or invalid credential")
        raise NotFound("Session not found")
    if given.org_id is not None and found.session.org_id != given.org_id:
        raise Forbidden("This session belongs to another project")
    scope = None if given.org_id is not None else _scope(deps, found, given, wanted)
    if scope is not None and (scope == CDP) != (wanted == CDP):
        raise Forbidden(f"This token is for {scope.replace('_', ' ')} alone")
    if found.address is None:
        raise Ended("this session is not running" if found.message.ended_at is None else "this session has ended")
    configuration = found.request.configuration
    if wanted != CDP and configuration.one_time_view and scope == LIVE:
        await _use_up(deps, found, looks)
    return Admitted(found, found.address, scope != LIVE_READ_ONLY and not configuration.view_only)


def _scope(deps: Deps, found: BrowserSession, given: Given, wanted: str) -> str:
    token = given.token
    if token is None and wanted == CDP and deps.bare_browser_ids:
        if found.scoped:
            raise Forbidden(_ONLY_MINTED)
        return CDP
    if token is None or not token.isascii():
        raise Unauthenticated("Missing or invalid credential")
    if (scope := _minted(found).get(_hash(token))) is not None:
        return scope
    if given.session_id is not None:
        for scope in SCOPES:
            if deps.vault.same(computed(deps, found.id, scope), token):
                if found.scoped:
                    raise Forbidden(_ONLY_MINTED)
                return scope
    raise Unauthenticated("Missing or invalid credential")


async def _use_up(deps: Deps, found: BrowserSession, looks: bool) -> None:
    gone = Forbidden("This link was good for one viewer")
    if looks:
        if found.session.spec.get("viewed"):
            raise gone
        return
    async with deps.db.write() as c:
        if not await browsers.view_once(c, found.id):
            raise gone


def _minted(found: BrowserSession) -> dict[str, str]:
    return found.session.spec.get("tokens", {})


def _new(session_id: SessionId) -> str:
    """Says whose it is, so that it can stand alone, and holds 160 random bits."""
    value = decode_ulid(session_id.partition("_")[2]).to_bytes(_ID_BYTES)
    return base64.urlsafe_b64encode(value + secrets.token_bytes(_SECRET_BYTES)).decode()


def _session_of(token: str) -> str | None:
    try:
        raw = base64.b64decode(token.encode(), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return None
    return f"{PREFIX}_{encode_ulid(int.from_bytes(raw[:_ID_BYTES]))}" if len(raw) == _ID_BYTES + _SECRET_BYTES else None


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
