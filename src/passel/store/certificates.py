"""Certificates of authorities that browsers trust, as rows."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from passel.core.ids import OrgId
from passel.store.database import ReadConnection, WriteConnection


@dataclass(frozen=True, slots=True)
class Certificate:
    org_id: OrgId
    name: str
    id: str
    description: str | None
    der: bytes = field(repr=False)
    created_at: datetime


async def list_certificates(c: ReadConnection, org_id: OrgId, names: Sequence[str] | None = None) -> list[Certificate]:
    """The oldest first; those of `names` where they are given."""
    return [Certificate(**row) for row in await c.fetch("list_browser_certificates", org_id, names)]


async def insert_if_new(c: WriteConnection, one: Certificate) -> bool:
    """False where the name is taken."""
    row = await c.fetchrow("insert_browser_certificate", one.org_id, one.name, one.id, one.description, one.der, one.created_at)
    return row is not None


async def delete(c: WriteConnection, org_id: OrgId, name: str) -> bool:
    """Whether there was one."""
    return await c.fetchrow("delete_browser_certificate", org_id, name) is not None
