"""What organisations have chosen for themselves, read at most once in some seconds by each process."""

import time
from dataclasses import dataclass, field
from typing import Any

from passel.core.ids import OrgId
from passel.store import accounts
from passel.store.database import Database

_REMEMBERED_SECONDS = 3.0  # so long what another process changed may go unseen
_REMEMBERED = 10_000


@dataclass
class Choices:
    """`organisation.settings` by organisation. What is in them, the rooms know that they belong to."""

    db: Database
    _known: dict[OrgId, tuple[float, dict[str, Any]]] = field(default_factory=dict[OrgId, tuple[float, dict[str, Any]]])

    async def of(self, org_id: OrgId) -> dict[str, Any]:
        known = self._known.get(org_id)
        if known is not None and known[0] > time.monotonic():
            return known[1]
        async with self.db.read() as c:
            found = await accounts.find_settings(c, org_id)
        if len(self._known) >= _REMEMBERED:
            self._known.clear()
        self._known[org_id] = (time.monotonic() + _REMEMBERED_SECONDS, found)
        return found

    def forget(self, org_id: OrgId) -> None:
        self._known.pop(org_id, None)
