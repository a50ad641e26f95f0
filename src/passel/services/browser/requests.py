"""What is asked of a browser session, and how it becomes one."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from passel.core.browser import KIND, PREFIX
from passel.core.browser.configuration import Configuration
from passel.core.browser.events import requested
from passel.services.deps import Caller
from passel.services.planning import Planned, Refused
from passel.store.database import WriteConnection

LANE = "browser"


@dataclass(frozen=True, slots=True)
class BrowserRequest:
    """`asked` is what the client sent, `warnings` say what of it is not in effect."""

    configuration: Configuration
    asked: dict[str, Any] = field(default_factory=dict[str, Any])
    warnings: tuple[str, ...] = ()

    @property
    def request(self) -> dict[str, Any]:
        return requested(self.configuration.to_json(), self.asked, list(self.warnings))

    def spec(self, caller: Caller) -> dict[str, Any]:
        """What the session's row says of it: its tags, and whose key it is from."""
        return {"tags": list(self.configuration.tags), "key_id": caller.key_id}

    def to_json(self) -> dict[str, Any]:
        return self.request

    @staticmethod
    def from_json(data: dict[str, Any]) -> "BrowserRequest":
        return BrowserRequest(Configuration.from_json(data["configuration"]), data["asked"], tuple(data["warnings"]))


class BrowserPlanner:
    """All items of a batch are the same."""

    kind, subject_id = KIND, None

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def take_subject(self, subject_id: str | None) -> None: ...

    async def learn(self, index: int, item: BrowserRequest) -> None: ...

    async def prepare(self) -> Sequence[str]:
        return [LANE]

    async def lock(self, c: WriteConnection) -> None: ...

    def build(self, index: int, item: BrowserRequest) -> Planned | Refused:
        return Planned(None, item.spec(self._caller), LANE, {}, item.request, prefix=PREFIX)

    def pack(self, item: BrowserRequest) -> bytes:
        return orjson.dumps(item.to_json(), option=orjson.OPT_APPEND_NEWLINE)

    def identity(self, item: BrowserRequest, line: bytes) -> bytes:
        return line

    def unpack(self, line: bytes) -> BrowserRequest:
        return BrowserRequest.from_json(orjson.loads(line))

    def again(self, asked: dict[str, Any]) -> BrowserRequest:
        raise AssertionError("every item can be made")
