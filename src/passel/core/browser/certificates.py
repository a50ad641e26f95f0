"""Certificates of authorities, as a worker gets those that a session trusts."""

from collections.abc import Sequence
from typing import Protocol

from passel.core.ids import OrgId


class Certificates(Protocol):
    async def fetch(self, org_id: OrgId, names: Sequence[str]) -> dict[str, bytes]:
        """X.509 in DER, by name; without those that are not there any more."""
        ...
