"""Organisations, their API keys and their credentials."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from passel.core.ids import CredentialId, KeyId, OrgId
from passel.store.database import ReadConnection, Row, WriteConnection


@dataclass(frozen=True, slots=True)
class Organisation:
    """`owner_id` is the organisation whose key made it; None for one that no other owns."""

    id: OrgId
    name: str
    slug: str
    created_at: datetime
    owner_id: OrgId | None = None


@dataclass(frozen=True, slots=True)
class ApiKey:
    """`prefix` is the visible start of the secret; the secret itself is stored as a hash only. A key with a
    `device_name` is managed: that device gets another one whenever it asks."""

    org_id: OrgId
    id: KeyId
    label: str
    prefix: str
    scopes: Sequence[str]
    device_name: str | None
    created_at: datetime
    last_used_at: datetime | None
    revoked_at: datetime | None


@dataclass(frozen=True, slots=True)
class Credential:
    """A stored secret, without its value."""

    org_id: OrgId
    name: str
    id: CredentialId
    created_at: datetime
    updated_at: datetime


async def insert_organisation(c: WriteConnection, org: Organisation) -> None:
    await c.execute("insert_organisation", org.id, org.name, org.slug, org.created_at, org.owner_id)


async def list_organisations(c: ReadConnection) -> list[Organisation]:
    """Oldest first."""
    return [Organisation(**row) for row in await c.fetch("list_organisations")]


async def find_organisation(c: ReadConnection, id_or_slug: str) -> Organisation | None:
    row = await c.fetchrow("find_organisation", id_or_slug)
    return Organisation(**row) if row else None


async def list_owned_organisations(c: ReadConnection, org_id: OrgId) -> list[Organisation]:
    """The organisation itself first, then those that it owns, directly or through others."""
    return [Organisation(**row) for row in await c.fetch("list_owned_organisations", org_id)]


async def is_owned_by(c: ReadConnection, org_id: str, owner_id: OrgId) -> bool | None:
    """Whether `org_id` is `owner_id` or owned by it; None when there is no such organisation."""
    return await c.fetchval("is_owned_by", org_id, owner_id)


async def find_settings(c: ReadConnection, org_id: OrgId) -> dict[str, Any]:
    """Its own choices, by name. Empty also where there is no such organisation."""
    return await c.fetchval("find_settings", org_id) or {}


async def put_settings(c: WriteConnection, org_id: OrgId, settings: dict[str, Any]) -> None:
    await c.execute("put_settings", org_id, settings)


async def lock_organisation(c: WriteConnection, org_id: OrgId) -> None:
    """What is made once in an organisation is made by one at a time; the lock ends with the transaction."""
    await c.fetchval("lock_organisation", org_id)


async def insert_api_key(c: WriteConnection, key: ApiKey, secret_hash: bytes) -> None:
    await c.execute("insert_api_key", key.org_id, key.id, key.label, key.prefix, key.scopes, key.device_name, key.created_at, secret_hash)


async def find_api_key(c: ReadConnection, secret_hash: bytes) -> ApiKey | None:
    """Revoked ones too."""
    row = await c.fetchrow("find_api_key", secret_hash)
    return ApiKey(**row) if row else None


async def touch_api_key(c: WriteConnection, key_id: KeyId, now: datetime) -> None:
    await c.execute("touch_api_key", key_id, now)


async def list_api_keys(c: ReadConnection, org_id: OrgId) -> list[ApiKey]:
    """Oldest first, revoked ones too."""
    return [ApiKey(**row) for row in await c.fetch("list_api_keys", org_id)]


async def revoke_api_key(c: WriteConnection, org_id: OrgId, key_id: str, now: datetime) -> ApiKey | None:
    """One that is revoked already keeps its moment. None when the organisation has no such key."""
    row = await c.fetchrow("revoke_api_key", org_id, key_id, now)
    return ApiKey(**row) if row else None


async def revoke_device_key(c: WriteConnection, org_id: OrgId, device_name: str, now: datetime) -> KeyId | None:
    """The managed key that the device had until now."""
    return await c.fetchval("revoke_device_key", org_id, device_name, now)


async def put_credential(c: WriteConnection, credential: Credential, sealed: bytes) -> tuple[Credential, bool]:
    """Returns the stored credential and whether it is new. A known name keeps its id and its `created_at`."""
    row = await c.fetchrow("put_credential", credential.org_id, credential.name, credential.id, sealed, credential.updated_at)
    assert row is not None
    return _credential(row), row["created"]


async def list_credentials(c: ReadConnection, org_id: OrgId) -> list[Credential]:
    """Ordered by name."""
    return [_credential(row) for row in await c.fetch("list_credentials", org_id)]


async def find_credentials(c: ReadConnection, org_id: OrgId, names: Sequence[str]) -> dict[str, bytes]:
    """The sealed values of those that exist, by name."""
    return {row["name"]: row["sealed"] for row in await c.fetch("find_credentials", org_id, names)}


async def lock_first_key(c: WriteConnection) -> None:
    """The first organisation is made once; the lock ends with the transaction."""
    await c.fetchval("lock_first_key")


async def delete_credential(c: WriteConnection, org_id: OrgId, name: str) -> Credential | None:
    row = await c.fetchrow("delete_credential", org_id, name)
    return _credential(row) if row else None


def _credential(row: Row) -> Credential:
    return Credential(row["org_id"], row["name"], row["id"], row["created_at"], row["updated_at"])
