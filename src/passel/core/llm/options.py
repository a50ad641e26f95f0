"""LLM options: which model is asked, where, and with which key."""

import hashlib
import zlib
from dataclasses import asdict, dataclass, field
from typing import Any
from urllib.parse import urlsplit

LOCAL, OPENAI, ANTHROPIC, OPENROUTER = "local", "openai", "anthropic", "openrouter"
PROVIDERS = (LOCAL, OPENAI, ANTHROPIC, OPENROUTER)

OPENROUTER_URL = "https://openrouter.ai/api/v1"

_OWN_KEYS = 1024


@dataclass(frozen=True, slots=True)
class LlmOption:
    """A model and how it is reached. `settings` holds temperature, top_p, max_tokens and seed; `price` US dollars a
    million tokens, as `input_per_million`, `output_per_million` and perhaps `cached_input_per_million`."""

    provider: str
    model: str
    base_url: str | None = None
    api_key_secret: str | None = None
    settings: dict[str, Any] = field(default_factory=dict[str, Any])
    price: dict[str, float] | None = None

    @property
    def ref(self) -> str:
        """`provider:model`, as it is written on the command line."""
        return f"{self.provider}:{self.model}"

    @property
    def place(self) -> str:
        """Model and address, as errors name them. Of an address only the host and the path: the rest may be secret."""
        if self.base_url is None:
            return self.ref
        parts = urlsplit(self.base_url)
        return f"{self.model} at {parts.netloc.rpartition('@')[2]}{parts.path}"

    def to_json(self) -> dict[str, Any]:
        """Without what is None or empty; `LlmOption(**data)` makes it again."""
        return {k: v for k, v in asdict(self).items() if v not in (None, {})}


def split_ref(model: str) -> tuple[str, str]:
    """Provider and bare name of `anthropic/claude-haiku-4-5`, `openai:gpt-5.5`, `local:smollm2`. All without a provider is
    OpenRouter's (section 6.4 of the `dari` contract)."""
    for named in (OPENAI, ANTHROPIC, LOCAL):
        for mark in ("/", ":"):
            if model.startswith(named + mark):
                return named, model[len(named) + 1 :]
    return OPENROUTER, model.removeprefix("openrouter:")


def fingerprint(secret: str) -> str:
    """Enough of a digest to tell two keys apart, too little to find one."""
    return hashlib.sha256(secret.encode()).hexdigest()[:12]


def _bucket(key: str) -> int:
    return zlib.crc32(fingerprint(key).encode()) % _OWN_KEYS


def lane_name(option: LlmOption, session_key: str | None, secrets: dict[str, str]) -> str:
    """The lane of the admission that sessions of one organisation with this model and key share.

    `class/rest`: the class sets its width (`local` or `model`); the rest names the provider, the host, and where the
    key comes from: a credential, the server, or the session. Keys of sessions' own fall into a fixed number of lanes,
    so that a new key for each session does not leave a row behind for ever.
    """
    if option.provider == LOCAL:
        return f"{LOCAL}/{option.model}"
    own = session_key or (secrets.get(option.api_key_secret) if option.api_key_secret else None)
    source = f"session:{_bucket(own)}" if own else option.api_key_secret or "server"
    host = urlsplit(option.base_url).netloc if option.base_url else ""
    return f"model/{option.provider}:{host}:{source}"
