"""How the items of a kind become sessions: what each kind registers, and what generic code makes of it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from passel.core.ids import SessionId
from passel.core.states import FAILED
from passel.services.deps import Deps
from passel.store.creation import FailedItem, NewItem
from passel.store.database import WriteConnection

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Planned:
    """An item that can become a session, whose id begins with `prefix`. `secrets` are in clear and sealed for the session when it has its id;
    `file_ids` are files that it names, and that the planner holds."""

    subject_id: str | None
    spec: dict[str, Any]
    lane: str
    metadata: dict[str, str]
    request: dict[str, Any]
    secrets: dict[str, Any] | None = field(default=None, repr=False)
    file_ids: tuple[str, ...] = ()
    prefix: str = "sess"


@dataclass(frozen=True, slots=True)
class Refused:
    """An item that cannot. `asked` is what was asked, from which it can be planned again."""

    error: str
    asked: dict[str, Any] = field(repr=False)
    file_ids: tuple[str, ...] = ()


class Planner(Protocol[R]):
    """Plans the items of one request. `learn` sees every item first; then `prepare` looks up what they need; then
    `build` is called for each, in threads. `lock` runs inside the transaction that writes them."""

    @property
    def kind(self) -> str: ...

    @property
    def subject_id(self) -> str | None:
        """What all items of the batch are held with, once one was learned."""
        ...

    async def take_subject(self, subject_id: str | None) -> None:
        """Plan for what a batch that exists is held with. Raises when it is gone."""
        ...

    async def learn(self, index: int, item: R) -> None:
        """Raises when the whole request is to be refused."""
        ...

    async def prepare(self) -> Sequence[str]:
        """Look up what the items need; returns the names of their lanes."""
        ...

    async def lock(self, c: WriteConnection) -> None:
        """Keep what the sessions depend on from vanishing, with the first locks of the transaction. Raises when it has."""
        ...

    def build(self, index: int, item: R) -> Planned | Refused: ...

    def pack(self, item: R) -> bytes:
        """A checked item as one line, without secrets in clear."""
        ...

    def identity(self, item: R, line: bytes) -> bytes:
        """What is the same when the same item is sent again; `line` is the packed one, in which sealed secrets differ
        each time."""
        ...

    def unpack(self, line: bytes) -> R: ...

    def again(self, asked: dict[str, Any]) -> R:
        """The item of a `Refused`."""
        ...


def new_item(
    deps: Deps, index: int, planned: Planned | Refused, lanes: dict[str, Any], replaces: int = 0, was: str = FAILED
) -> NewItem | FailedItem:
    """The rows' content for an item. `replaces` is the try that it follows, which `was` failed or completed; 0 for none."""
    if isinstance(planned, Refused):
        return FailedItem(index, planned.error, planned.asked, replaces, planned.file_ids, was)
    session_id = SessionId(deps.ids.new(planned.prefix))
    return NewItem(
        index=index,
        session_id=session_id,
        message_id=deps.ids.message(),
        lane_id=lanes[planned.lane],
        lane=planned.lane,
        subject_id=planned.subject_id,
        spec=planned.spec,
        metadata=planned.metadata,
        request=planned.request,
        secrets=None if planned.secrets is None else deps.vault.seal(planned.secrets, session_id),
        replaces=replaces,
        file_ids=planned.file_ids,
        was=was,
    )
