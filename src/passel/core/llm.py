"""LLM options: which model a session talks to, where, and with which key."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any
from urllib.parse import urlsplit

from passel.core.ledger import Said

LOCAL, OPENAI, ANTHROPIC, OPENROUTER = "local", "openai", "anthropic", "openrouter"
PROVIDERS = (LOCAL, OPENAI, ANTHROPIC, OPENROUTER)

OPENROUTER_URL = "https://openrouter.ai/api/v1"


@dataclass(frozen=True, slots=True)
class LlmOption:
    """One entry of a manifest's `llm.options`. `settings` holds temperature, top_p, max_tokens and seed."""

    provider: str
    model: str
    base_url: str | None = None
    api_key_secret: str | None = None
    settings: dict[str, Any] = field(default_factory=dict[str, Any])

    @property
    def ref(self) -> str:
        """`provider:model`, as it is written on the command line."""
        return f"{self.provider}:{self.model}"

    def to_json(self) -> dict[str, Any]:
        return {k: v for k, v in asdict(self).items() if v not in (None, {})}


@dataclass(frozen=True, slots=True)
class AgentSpec:
    """What a published version says, with its files read: all that a turn needs."""

    name: str
    system_prompt: str
    default_llm: str | None
    llms: dict[str | None, LlmOption]

    def option(self, llm_id: str | None) -> LlmOption:
        """The option of that id; of the default when `llm_id` is None. KeyError when there is none."""
        return self.llms[self.default_llm if llm_id is None else llm_id]

    def to_json(self) -> dict[str, Any]:
        options = [[key, option.to_json()] for key, option in self.llms.items()]
        return {"name": self.name, "system_prompt": self.system_prompt, "default": self.default_llm, "llms": options}

    @staticmethod
    def from_json(data: dict[str, Any]) -> "AgentSpec":
        llms = {key: LlmOption(**option) for key, option in data["llms"]}
        return AgentSpec(data["name"], data["system_prompt"], data["default"], llms)


def fingerprint(secret: str) -> str:
    """Enough of a digest to tell two keys apart, too little to find one."""
    return hashlib.sha256(secret.encode()).hexdigest()[:12]


def lane_name(option: LlmOption, session_key: str | None, secrets: dict[str, str]) -> str:
    """The model key: sessions of one organisation with the same one share a lane of the admission.

    It names the provider, the host, and where the key comes from: the session, a credential, or the server.
    """
    own = session_key or (secrets.get(option.api_key_secret) if option.api_key_secret else None)
    if own:
        source = f"session:{fingerprint(own)}"
    elif option.api_key_secret:
        source = option.api_key_secret
    else:
        source = "server"
    if option.provider == LOCAL:
        return f"{LOCAL}:{option.model}"
    host = urlsplit(option.base_url).netloc if option.base_url else ""
    return f"{option.provider}:{host}:{source}"


def request_hash(spec: AgentSpec, option: LlmOption, conversation: Sequence[Said]) -> str:
    """SHA-256 of what a call asks, so that a repeated call can be recognised as the same question."""
    digest = hashlib.sha256(f"{option.ref} {option.base_url} {sorted(option.settings.items())}\n{spec.system_prompt}".encode())
    for said in conversation:
        digest.update(json.dumps([said.role, said.content], sort_keys=True).encode())
    return digest.hexdigest()
