"""What use cases work with, and on whose behalf."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from passel.blobs import BlobStore
from passel.core.clock import Clock
from passel.core.errors import Forbidden, NotFound
from passel.core.ids import IdSource, KeyId, OrgId
from passel.core.limits import Limits
from passel.services.choices import Choices
from passel.services.vault import Vault
from passel.store.admission import Capacity
from passel.store.announcing import Announcing
from passel.store.database import Database

PLATFORM, ROUTING = "platform", "routing"
"""Scopes of API keys. Everything that this server does needs the first; the second is for model routers."""


@dataclass(frozen=True, slots=True)
class VerificationModels:
    """What verifications ask where nobody names a model: `provider:model`, or the model of an OpenAI-compatible server at
    `base_url`, with its `price` as in `passel.core.llm.options`. `panel` are further ones, for methods that want several
    opinions."""

    model: str | None = None
    base_url: str | None = None
    panel: tuple[str, ...] = ()
    price: dict[str, float] | None = None


@dataclass(frozen=True, slots=True)
class WebTaskRules:
    """What models that drive browsers are asked where nobody names one, as of verifications; `minutes` and `tokens` bound each task."""

    model: str | None = None
    base_url: str | None = None
    price: dict[str, float] | None = None
    minutes: float = 30.0
    tokens: int = 2_000_000


@dataclass(frozen=True, slots=True)
class Deps:
    """`key_providers` are the providers that the server has keys of, `models_dir` is where its local models lie. With
    `strict_idempotency` a known key with another body is refused. With `hide_foreign` what is another organisation's is
    `NotFound` instead of `Forbidden`. `allow_private_urls` lets manifests name model files of the server and addresses
    of its own network. `public_url` is how clients reach the server; None where each request tells. With `bare_browser_ids` the id of a
    browser session opens it to CDP clients, unless tokens were minted for it; `browser_filters` says whether
    their ad blocker has lists. `webhook_overlap` in seconds is how long a rotated secret signs beside the new one."""

    db: Database
    blobs: BlobStore
    clock: Clock
    ids: IdSource
    vault: Vault
    capacity: Capacity
    announcing: Announcing
    limits: Limits = field(default_factory=Limits)
    allow_private_urls: bool = False
    hide_foreign: bool = False
    strict_idempotency: bool = False
    key_providers: frozenset[str] = frozenset()
    models_dir: Path | None = None
    webhook_overlap: float = 0.0
    public_url: str | None = None
    bare_browser_ids: bool = False
    browser_filters: bool = False
    verification_models: VerificationModels = VerificationModels()
    web_tasks: WebTaskRules = WebTaskRules()
    choices: Choices = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "choices", Choices(self.db))  # frozen for everybody else

    def now(self) -> datetime:
        return self.clock()


@dataclass(frozen=True, slots=True)
class Caller:
    """The organisation that acts, by which key, and what that key is for."""

    org_id: OrgId
    key_id: KeyId
    scopes: Sequence[str] = (PLATFORM,)


def require_own(deps: Deps, caller: Caller, owner: OrgId | None, what: str) -> None:
    """Raise `NotFound` when there is no such thing (`owner` is None) and `Forbidden` when it is another organisation's,
    which is `NotFound` too where the server hides that (decision 3 of the `dari` contract)."""
    if owner is None or (owner != caller.org_id and deps.hide_foreign):
        raise NotFound(f"no such {what}")
    if owner != caller.org_id:
        raise Forbidden(f"this {what} belongs to another organisation")
