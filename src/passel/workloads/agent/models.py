"""Which model an option means, how it is reached, and how many calls of one provider key run at once."""

from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from pydantic_ai.exceptions import UserError
from pydantic_ai.models import Model

from passel.core.llm import ANTHROPIC, LOCAL, LlmOption, fingerprint
from passel.core.retry import Fault, ModelFailure
from passel.workloads.agent import hosted, wire
from passel.workloads.agent.limiter import AdaptiveLimit
from passel.workloads.agent.network import Network
from passel.workloads.agent.questions import Answer, Question

_KEPT = 1000  # clients and limits of so many provider keys are remembered

LocalUrl = Callable[[str], Awaitable[str]]


@dataclass(frozen=True, slots=True)
class CallSettings:
    """`timeout` of one call in seconds; `concurrency` is the ceiling of the adaptive limit of a provider key.

    `direct` sends OpenAI-compatible servers the shortest way (`passel.workloads.agent.wire`).
    """

    timeout: float = 600.0
    concurrency: int = 1000
    allow_private_urls: bool = False
    direct: bool = True


class ModelDirectory:
    """Asks the model of an option. `local_url` starts a local model's server and gives its URL."""

    def __init__(self, settings: CallSettings, local_url: LocalUrl) -> None:
        self._settings, self._local_url = settings, local_url
        self._network = Network(allow_private_urls=settings.allow_private_urls)
        self._models: OrderedDict[tuple[str | None, ...], Model] = OrderedDict()
        self._limits: OrderedDict[tuple[str, ...], AdaptiveLimit] = OrderedDict()

    def limit(self, org_id: str, option: LlmOption, api_key: str | None) -> AdaptiveLimit:
        """The limit that calls with this provider key share. Hold one of its slots around `ask`."""
        key = (option.provider, option.base_url or "", fingerprint(api_key) if api_key else org_id)
        if key not in self._limits:
            if len(self._limits) >= _KEPT:
                for idle in [k for k, limit in self._limits.items() if limit.idle][:_KEPT]:
                    del self._limits[idle]
            self._limits[key] = AdaptiveLimit(self._settings.concurrency)
        self._limits.move_to_end(key)
        return self._limits[key]

    async def ask(self, option: LlmOption, api_key: str | None, question: Question) -> Answer:
        """One call. Raises `ModelFailure` when there is no answer."""
        try:
            base_url = await self._local_url(option.model) if option.provider == LOCAL else option.base_url
            session = self._network.session(base_url, trusted=option.provider == LOCAL)
            if base_url is not None and option.provider != ANTHROPIC and self._settings.direct:
                return await wire.ask(session, base_url, option, api_key, question, self._settings.timeout)
            model = self._hosted(option, base_url, api_key)
        except (UserError, OSError, RuntimeError, ValueError) as error:
            raise ModelFailure(Fault.REFUSED, str(error)) from error
        return await hosted.ask(model, option, question, self._settings.timeout)

    async def close(self) -> None:
        await self._network.close()

    def _hosted(self, option: LlmOption, base_url: str | None, api_key: str | None) -> Model:
        key = (option.provider, base_url, option.model, fingerprint(api_key) if api_key else None)
        if key not in self._models:
            if api_key is None and base_url is None:
                where = f"{option.provider.upper()}_API_KEY on the server, llm.api_key_secret in the manifest or llm_api_key of the session"
                raise ValueError(f"no API key for {option.provider}: set {where}")
            session = self._network.session(base_url, trusted=option.provider == LOCAL)
            self._models[key] = hosted.build(session, option, base_url, api_key, self._settings.timeout)
            if len(self._models) > _KEPT:
                self._models.popitem(last=False)
        self._models.move_to_end(key)
        return self._models[key]
