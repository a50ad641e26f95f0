"""Between the workload, which carries letters, and the rooms that know what is in them.

A `Desk` reads what is to be told (a service implements it). A `Form` writes it down in a wire format and signs it (a face
implements it, one for each kind that announces something); `compose` brings them together with the workload.
"""

from collections.abc import Container, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from passel.core.events import Draft, Event
from passel.core.ids import OrgId


class Undeliverable(Exception):
    """Nobody can be told any more: the webhook is deleted, or what the delivery tells of is. `str` says which."""


@dataclass(frozen=True, slots=True)
class Letter:
    """A delivery as it is sent now. It tells of an `event` in a session with this `spec` and `metadata`, or of a batch. `told` is
    what was read for it: of a batch, and of a session whose event does not say it all. `secrets` sign it, the newest first."""

    org_id: OrgId
    id: str
    kind: str
    type: str
    subject_id: str
    scope_id: str
    sequence: int
    watermark: int
    created_at: datetime
    url: str
    secrets: tuple[str, ...] = field(repr=False)
    event: Event | None = None
    spec: dict[str, Any] = field(default_factory=dict[str, Any])
    metadata: dict[str, str] = field(default_factory=dict[str, str])
    told: dict[str, Any] | None = None


class Form(Protocol):
    """A wire format of webhooks. Pure: the same letter has the same body. `pauses` in seconds are those between tries, and an answer with
    one of the `final` statuses ends them. Where `gone_is_gone`, a receiver that answers 410 is told nothing any more."""

    @property
    def pauses(self) -> Sequence[float]: ...

    @property
    def final(self) -> Container[int]: ...

    @property
    def gone_is_gone(self) -> bool: ...

    def body(self, letter: Letter) -> bytes: ...

    def headers(self, letter: Letter, body: bytes, now: datetime) -> dict[str, str]:
        """What goes with the body, its signature above all."""
        ...


class Desk(Protocol):
    """What the workload reads and says of a delivery. Each method may be called again after a crash."""

    async def letter(self, delivery_id: str, again: bool) -> Letter:
        """For the webhook as it is now. Unless it is delivered again, that must be the one that it was written for. Raises
        `Undeliverable`, or `NotReady` when the secret does not open."""
        ...

    async def compose(self, letter: Letter, counts: dict[str, int] | None) -> dict[str, Any] | None:
        """What `Letter.told` holds: of a batch that had these counts when its last item ended, or of a session of a kind whose
        events do not say it all; None for others."""
        ...

    async def disable(self, letter: Letter) -> None:
        """Announce nothing more to this webhook."""
        ...

    async def is_over(self, letter: Letter) -> bool:
        """Whether nobody needs to hear of it any more."""
        ...

    async def tell_of_failure(self, delivery_id: str, draft: Draft) -> None:
        """Tell the session that the delivery is about, once; of a batch's nobody is told."""
        ...
