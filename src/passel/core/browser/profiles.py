"""Saved states of browsers, as a worker sees them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from passel.core.ids import OrgId, SessionId


class Unfit(Exception):
    """A state that is not taken; the message says why."""


class Saver(Protocol):
    @property
    def name(self) -> str: ...

    async def save(self, archive: Path) -> bool:
        """Replaces what was saved before, all or nothing. False when the profile has gone or somebody else's. Raises `OSError`."""
        ...


class Profiles(Protocol):
    async def fetch(self, org_id: OrgId, session_id: SessionId, name: str, persist: bool, into: Path) -> bool:
        """Its archive, as a file. False for one that is new. Where `persist` the session writes it at its end. Raises `Unfit` for one that
        is not there, or that another session writes."""
        ...

    async def begin_saving(self, session_id: SessionId) -> Sequence[Saver]:
        """Of what the session is to save at its end."""
        ...
