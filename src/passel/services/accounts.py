"""Organisations, API keys and credentials.

An organisation that was made with a key belongs to the organisation of that key, and may itself own others. Keys manage
their own organisation and those that it owns: downwards only, never up or sideways. What an organisation works on
(agents, sessions, batches, files) only its own keys see.
"""

import hashlib
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from passel.core.errors import Conflict, Forbidden, Invalid, NotFound, RevokedKey, Unauthenticated, Unavailable, Unprocessable
from passel.core.ids import KeyId, OrgId
from passel.core.secrets import SECRET_NAME
from passel.core.text import require_storable
from passel.services.deps import PLATFORM, Caller, Deps
from passel.store import accounts as store
from passel.store.accounts import ApiKey, Credential, Organisation
from passel.store.database import is_passing

KEY_PREFIX, CHECK_KEY_PREFIX = "dari_", "vfy_"
_TOUCH_EVERY = timedelta(minutes=1)
_KEY_FORM = re.compile(r"[\x21-\x7e]{8,256}")

_SHOWN = 9  # characters of a secret that lists show


@dataclass(frozen=True, slots=True)
class NewKey:
    """The only time that the secret is known in full. `replaced` is the key that it takes the place of."""

    key: ApiKey
    secret: str
    replaced: KeyId | None = None


def _hash(secret: str) -> bytes:
    # keys are random, so a plain digest is enough: there is nothing to guess
    return hashlib.sha256(secret.encode()).digest()


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:60] or "organisation"


async def ensure_first_key(deps: Deps, given: str | None) -> NewKey | None:
    """On an empty database make the first organisation with a key (`given`, or a new one); else None. Several processes
    may ask at once. Raises `Invalid` when `given` has not the form of a key, also where it is not needed."""
    if given is not None and not _KEY_FORM.fullmatch(given):
        raise Invalid("PASSEL_API_KEY must have 8 to 256 printable characters without spaces", field="PASSEL_API_KEY")
    async with deps.db.write() as c:
        await store.lock_first_key(c)
        if await store.list_organisations(c):
            return None
        org = Organisation(deps.ids.org(), "Default", "default", deps.now())
        await store.insert_organisation(c, org)
        return await _insert_key(deps, c, org.id, "first key", given=given)


async def create_organisation(deps: Deps, name: str, owner_id: OrgId | None = None) -> Organisation:
    """`owner_id` None makes one that no other owns. The slug is the name with a random end. Raises `Unprocessable` for
    a name that cannot be stored."""
    require_storable(name, "name")
    org = Organisation(deps.ids.org(), name, f"{_slug(name)}-{secrets.token_hex(3)}", deps.now(), owner_id)
    async with deps.db.write() as c:
        await store.insert_organisation(c, org)
    return org


async def find_organisation(deps: Deps, id_or_slug: str | None) -> Organisation:
    """By id or slug; without one, the only organisation that no other owns. Raises `NotFound`, and `Conflict` where it
    must be named."""
    async with deps.db.read() as c:
        if id_or_slug is not None:
            found = await store.find_organisation(c, id_or_slug)
            if found is None:
                raise NotFound(f"no such organisation: {id_or_slug}")
            return found
        every = await store.list_organisations(c)
    roots = [org for org in every if org.owner_id is None]
    if len(roots) != 1:
        slugs = ", ".join(org.slug for org in every) or "none yet: start `passel serve` once"
        raise Conflict(f"name the organisation; there are {slugs}")
    return roots[0]


async def list_own_organisations(deps: Deps, caller: Caller) -> list[Organisation]:
    """The caller's own first, then those that it owns."""
    async with deps.db.read() as c:
        return await store.list_owned_organisations(c, caller.org_id)


async def managed_organisation(deps: Deps, caller: Caller, org_id: str) -> OrgId:
    """`org_id` of a path, where `current` names the caller's own. Raises `NotFound`, or `Forbidden` for one that the
    caller does not own."""
    if org_id in ("current", caller.org_id):
        return caller.org_id
    require_storable(org_id, "org_id")
    async with deps.db.read() as c:
        owned = await store.is_owned_by(c, org_id, caller.org_id)
    if owned is None or (not owned and deps.hide_foreign):
        raise NotFound("no such organisation")
    if not owned:
        raise Forbidden("this organisation is another one than the key's, and not owned by it")
    return OrgId(org_id)


async def create_key(deps: Deps, org_id: OrgId, label: str, scopes: Sequence[str] = (PLATFORM,), *, prefix: str = KEY_PREFIX) -> NewKey:
    """`scopes` are not checked here; `prefix` is how the secret begins, which changes nothing. Raises `Unprocessable` for a label that cannot be stored."""
    require_storable(label, "label")
    async with deps.db.write() as c:
        return await _insert_key(deps, c, org_id, label, scopes, prefix=prefix)


async def ensure_device_key(deps: Deps, org_id: OrgId, device_name: str) -> NewKey:
    """Another managed key for a device, in place of the one that it had: secrets are not kept, so the same one cannot
    be told again (decision 60 of the `dari` contract). Raises `Unprocessable` for a name that cannot be stored."""
    require_storable(device_name, "device_name")
    async with deps.db.write() as c:
        await store.lock_organisation(c, org_id)
        replaced = await store.revoke_device_key(c, org_id, device_name, deps.now())
        new = await _insert_key(deps, c, org_id, device_name, device_name=device_name)
    return NewKey(new.key, new.secret, replaced)


async def _insert_key(
    deps: Deps,
    c: store.WriteConnection,
    org_id: OrgId,
    label: str,
    scopes: Sequence[str] = (PLATFORM,),
    *,
    given: str | None = None,
    prefix: str = KEY_PREFIX,
    device_name: str | None = None,
) -> NewKey:
    secret = given or prefix + secrets.token_urlsafe(32)
    shown = secret[: min(_SHOWN, len(secret) // 3)]  # one that was given may be short
    key = ApiKey(org_id, deps.ids.key(), label, shown, sorted(set(scopes)), device_name, deps.now(), None, None)
    await store.insert_api_key(c, key, _hash(secret))
    return NewKey(key, secret)


async def authenticate(deps: Deps, secret: str | None) -> Caller:
    """Whose secret it is. Raises `Unauthenticated` for one that is missing, unknown or revoked, `Unavailable` while the
    database is away. The key's last use is noted to about a minute."""
    if not secret:
        raise Unauthenticated("Missing or invalid API key")
    try:
        async with deps.db.read() as c:
            key = await store.find_api_key(c, _hash(secret))
        if key is not None and key.revoked_at is None and (key.last_used_at is None or deps.now() - key.last_used_at > _TOUCH_EVERY):
            async with deps.db.write() as c:
                await store.touch_api_key(c, key.id, deps.now())
    except Exception as error:
        if is_passing(error):
            raise Unavailable("the database is away or full; try again") from error
        raise
    if key is None:
        raise Unauthenticated("Missing or invalid API key")
    if key.revoked_at is not None:
        raise RevokedKey("Missing or invalid API key")
    return Caller(key.org_id, key.id, tuple(key.scopes))


async def list_keys(deps: Deps, org_id: OrgId) -> list[ApiKey]:
    """Oldest first, revoked ones too."""
    async with deps.db.read() as c:
        return await store.list_api_keys(c, org_id)


async def revoke_key(deps: Deps, org_id: OrgId, key_id: str) -> ApiKey:
    """May be repeated: the first moment stays (decision 58 of the `dari` contract). Raises `NotFound`."""
    async with deps.db.write() as c:
        key = await store.revoke_api_key(c, org_id, key_id, deps.now())
    if key is None:
        raise NotFound(f"no such API key: {key_id}")
    return key


async def put_credential(deps: Deps, org_id: OrgId, name: str, value: str) -> tuple[Credential, bool]:
    """Returns the credential and whether it is new; a known name keeps its id and gets the new value. Raises
    `Unprocessable` for a name of another form, and for a value that is empty, too long or cannot be stored."""
    if not SECRET_NAME.fullmatch(name) or len(name) > 128:
        raise Unprocessable(f"name must match {SECRET_NAME.pattern} and have at most 128 characters", field="name")
    if not value or len(value) > deps.limits.secret_chars:
        raise Unprocessable(f"value must have 1 to {deps.limits.secret_chars} characters", field="value")
    require_storable(value, "value")
    credential = Credential(org_id, name, deps.ids.credential(), deps.now(), deps.now())
    async with deps.db.write() as c:
        return await store.put_credential(c, credential, deps.vault.seal(value, f"{org_id}/{name}"))


async def list_credentials(deps: Deps, org_id: OrgId) -> list[Credential]:
    """Ordered by name: those that manifests can name. Others belong to other rooms."""
    async with deps.db.read() as c:
        return [one for one in await store.list_credentials(c, org_id) if SECRET_NAME.fullmatch(one.name)]


async def delete_credential(deps: Deps, org_id: OrgId, name: str) -> Credential:
    """Raises `NotFound`, also when repeated (decision 59 of the `dari` contract). Workers may go on with its value for
    some seconds."""
    async with deps.db.write() as c:
        credential = await store.delete_credential(c, org_id, name)
    if credential is None:
        raise NotFound(f"no such credential: {name}")
    return credential
