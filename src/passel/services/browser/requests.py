"""What is asked of a browser session, and how it becomes one."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from passel.core.browser import KIND, PREFIX
from passel.core.browser.configuration import Configuration
from passel.core.browser.events import requested
from passel.core.browser.upstream import Upstream
from passel.core.errors import FieldError, Invalid
from passel.network import leads_inside
from passel.services.deps import Caller, Deps
from passel.services.planning import Planned, Refused
from passel.store.database import WriteConnection

LANE = "browser"


@dataclass(frozen=True, slots=True)
class BrowserRequest:
    """`asked` is what the client sent, without what nobody may read, `warnings` say what of it is not in effect. `upstream` goes along
    with its password, which only `secrets` hold when it has become a session; the client names it with `upstream_field`."""

    configuration: Configuration
    asked: dict[str, Any] = field(default_factory=dict[str, Any])
    warnings: tuple[str, ...] = ()
    upstream: Upstream | None = None
    upstream_field: str = ""

    @property
    def secrets(self) -> dict[str, Any] | None:
        """To be sealed for the session."""
        found = None if self.upstream is None else self.upstream.credentials
        return None if found is None else {"proxy": found}

    async def require_open(self, deps: Deps) -> None:
        """Raises `Invalid` for a proxy inside of this server's network, where that is shut (D38). A name is looked at again whenever it is
        connected to."""
        if self.upstream is not None and not deps.allow_private_urls and await leads_inside(self.upstream.host):
            said = "is a private address, which browsers may not reach: set PASSEL_ALLOW_PRIVATE_URLS=1 on the server to allow it"
            raise Invalid(f"{self.upstream_field}: {said}", errors=[FieldError(self.upstream_field, said)])

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
    """All items of a batch are the same, their `secrets` too, which therefore need not be packed."""

    kind, subject_id = KIND, None

    def __init__(self, caller: Caller, secrets: dict[str, Any] | None = None) -> None:
        self._caller, self._secrets = caller, secrets

    async def take_subject(self, subject_id: str | None) -> None: ...

    async def learn(self, index: int, item: BrowserRequest) -> None: ...

    async def prepare(self) -> Sequence[str]:
        return [LANE]

    async def lock(self, c: WriteConnection) -> None: ...

    def build(self, index: int, item: BrowserRequest) -> Planned | Refused:
        return Planned(None, item.spec(self._caller), LANE, {}, item.request, self._secrets, prefix=PREFIX)

    def pack(self, item: BrowserRequest) -> bytes:
        return orjson.dumps(item.to_json(), option=orjson.OPT_APPEND_NEWLINE)

    def identity(self, item: BrowserRequest, line: bytes) -> bytes:
        return line

    def unpack(self, line: bytes) -> BrowserRequest:
        return BrowserRequest.from_json(orjson.loads(line))

    def again(self, asked: dict[str, Any]) -> BrowserRequest:
        raise AssertionError("every item can be made")
