"""Which model an option means, how it is reached, and how many calls of one provider key run at once."""

import asyncio
import importlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from passel.core.llm.options import ANTHROPIC, LOCAL, LlmOption, fingerprint
from passel.core.llm.retry import Fault, ModelFailure
from passel.models import failures, prompted, wire
from passel.models.limiter import AdaptiveLimit
from passel.models.local import LocalServer
from passel.models.questions import Answer, Question
from passel.network import Network, PrivateAddress

_KEPT = 1000  # clients and limits of so many provider keys are remembered

_LONGEST_HELD = 600
"""Tokens of an answer that is held to a schema: a grammar lets small models go on for ever."""

Serve = Callable[[str], Awaitable[LocalServer]]


@dataclass(frozen=True, slots=True)
class CallSettings:
    """`timeout` of one call in seconds; `concurrency` is the ceiling of the adaptive limit of a provider key.

    `direct` sends OpenAI-compatible servers the shortest way (`passel.models.wire`).
    """

    timeout: float = 600.0
    concurrency: int = 1000
    allow_private_urls: bool = False
    direct: bool = True


class ModelDirectory:
    """Asks the model of an option. `serve` starts a local model's server, unless it runs."""

    def __init__(self, settings: CallSettings, serve: Serve) -> None:
        self._settings, self._serve = settings, serve
        self._network = Network(allow_private_urls=settings.allow_private_urls)
        self._hosted: OrderedDict[tuple[str | None, ...], Any] = OrderedDict()
        self._limits: OrderedDict[tuple[str, ...], AdaptiveLimit] = OrderedDict()

    def limit(self, org_id: str, option: LlmOption, api_key: str | None) -> AdaptiveLimit:
        """The limit that calls with this provider key share; without a key, those of the organisation. Hold one of its
        slots around `ask`."""
        key = (option.provider, option.base_url or "", fingerprint(api_key) if api_key else org_id)
        if key not in self._limits:
            if len(self._limits) >= _KEPT:
                for idle in [k for k, limit in self._limits.items() if limit.idle][:_KEPT]:
                    del self._limits[idle]
            self._limits[key] = AdaptiveLimit(self._settings.concurrency)
        self._limits.move_to_end(key)
        return self._limits[key]

    async def prepare(self, option: LlmOption) -> None:
        """Make ready what calls of the option stand on, before the intent of one is written. Raises `NotReady` for a
        local model that is not here."""
        if option.provider == LOCAL:
            await self._serve(option.model)
        elif option.base_url is None or option.provider == ANTHROPIC or not self._settings.direct:
            await asyncio.to_thread(importlib.import_module, "passel.models.hosted")  # seconds, of which the loop has none

    async def ask(self, option: LlmOption, api_key: str | None, question: Question) -> Answer:
        """One call. Raises `ModelFailure`, which names the model and its address, when there is no answer."""
        try:
            return await self._ask(option, api_key, question)
        except ModelFailure as failure:
            raise failures.placed(failure, option.place) from failure

    async def _ask(self, option: LlmOption, api_key: str | None, question: Question) -> Answer:
        local = await self._serve(option.model) if option.provider == LOCAL else None
        base_url = local.url if local is not None else option.base_url
        try:
            session = self._network.session(base_url, trusted=local is not None)
        except PrivateAddress as error:
            raise ModelFailure(Fault.UNSENT, str(error)) from error
        if local is not None and question.tools and not local.takes_tools:
            asked, held = prompted.rewritten(question), {"response_format": prompted.response_format(question.tools)}
            answer = await wire.ask(session, local.url, option, api_key, asked, self._settings.timeout, held)
            return prompted.answered(answer)
        if local is not None and question.schema is not None:
            held = {"response_format": prompted.held_to(question.schema), "max_tokens": option.settings.get("max_tokens", _LONGEST_HELD)}
            return await wire.ask(session, local.url, option, api_key, question, self._settings.timeout, held)
        if base_url is not None and option.provider != ANTHROPIC and self._settings.direct:
            return await wire.ask(session, base_url, option, api_key, question, self._settings.timeout)
        return await self._ask_hosted(option, base_url, api_key, question)

    async def close(self) -> None:
        await self._network.close()

    async def _ask_hosted(self, option: LlmOption, base_url: str | None, api_key: str | None, question: Question) -> Answer:
        from passel.models import hosted  # the SDKs: a second and 90 MB, for those who call hosted providers

        key = (option.provider, base_url, option.model, fingerprint(api_key) if api_key else None)
        if key not in self._hosted:
            if api_key is None and base_url is None:
                where = f"{option.provider.upper()}_API_KEY on the server, llm.api_key_secret in the manifest or llm_api_key of the session"
                raise ModelFailure(Fault.UNSENT, f"no API key for {option.provider}: set {where}")
            session = self._network.session(base_url, trusted=option.provider == LOCAL)
            self._hosted[key] = hosted.build(session, option, base_url, api_key, self._settings.timeout)
            if len(self._hosted) > _KEPT:
                self._hosted.popitem(last=False)
        self._hosted.move_to_end(key)
        return await hosted.ask(self._hosted[key], option, question, self._settings.timeout)
