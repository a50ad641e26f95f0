"""Where files of a session go that are to outlive its browser: downloads, recordings."""

from pathlib import Path
from typing import NamedTuple, Protocol

from passel.core.ids import OrgId, SessionId


class Kept(NamedTuple):
    id: str
    name: str
    media_type: str
    size: int


class Shelf(Protocol):
    async def keep(self, org_id: OrgId, session_id: SessionId, name: str, path: Path) -> Kept:
        """The file lives as long as its session is kept. Raises `OSError` when it cannot be stored."""
        ...
