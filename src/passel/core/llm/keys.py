"""Where the keys of models come from: what workloads that ask models are given when they are made."""

from typing import Protocol

from passel.core.context import Task
from passel.core.llm.options import LlmOption


class MissingKey(Exception):
    """The option names a key that is not stored; the message says which and how to store it."""


class Keys(Protocol):
    async def api_key(self, task: Task, option: LlmOption) -> str | None:
        """The key to call an option's model with; None when it is called without one. Raises `MissingKey`, and
        `NotReady` when a stored secret does not open."""
        ...


def provider_key_name(provider: str) -> str:
    """The name of the credential that holds an organisation's own key of a provider."""
    return f"provider-key/{provider}"
