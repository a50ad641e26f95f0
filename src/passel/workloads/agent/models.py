"""Calls of models, through `pydantic_ai.direct`: providers, keys, prices, and what their failures mean.

One HTTP session on aiohttp's transport serves the whole process, and one client each provider key (section 5 of
the design has the measurements). The SDKs' own retries are off: every call is a row in the bill.
"""

import asyncio
import ipaddress
import json
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import genai_prices
import httpx2
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver
from anthropic import AsyncAnthropic
from openai import AsyncOpenAI
from openai._vendor.httpx_aiohttp import AiohttpTransport  # the SDK's own aiohttp transport; its public client hides the session
from pydantic_ai import exceptions as ai
from pydantic_ai.direct import model_request
from pydantic_ai.messages import (
    BinaryContent,
    ModelMessage,
    ModelRequest,
    ModelResponse,
    SystemPromptPart,
    TextPart,
    UserPromptPart,
)
from pydantic_ai.models import Model
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.anthropic import AnthropicProvider
from pydantic_ai.providers.openai import OpenAIProvider
from pydantic_ai.settings import ModelSettings

from passel.core.costs import Usage
from passel.core.llm import ANTHROPIC, LOCAL, OPENAI, OPENROUTER_URL, LlmOption, fingerprint
from passel.core.retry import Fault, ModelFailure
from passel.workloads.agent.limiter import AdaptiveLimit

_NO_KEY = "none"  # the SDKs insist on a key; a server that wants none ignores it


@dataclass(frozen=True, slots=True)
class Picture:
    media_type: str
    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Spoken:
    """What `user` or `assistant` said: texts and pictures in order."""

    role: str
    parts: tuple[str | Picture, ...]


@dataclass(frozen=True, slots=True)
class Question:
    system: str
    conversation: tuple[Spoken, ...]


@dataclass(frozen=True, slots=True)
class Answer:
    text: str
    stop_reason: str
    usage: Usage


@dataclass(frozen=True, slots=True)
class ModelSettingsOf:
    """`timeout` of one call in seconds; `concurrency` is the ceiling of the adaptive limit of a provider key."""

    timeout: float = 600.0
    concurrency: int = 1000
    allow_private_urls: bool = False


LocalUrl = Callable[[str], Awaitable[str]]


class PrivateAddress(OSError):
    """A base URL points into the server's own network, which this server does not allow."""


def is_private(address: str) -> bool:
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return False
    return not ip.is_global or ip.is_multicast


class _GuardedResolver(AbstractResolver):
    """Refuses names that lead to private addresses, at the moment of connecting."""

    def __init__(self) -> None:
        self._inner = ThreadedResolver()

    async def resolve(self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET) -> list[ResolveResult]:
        found = await self._inner.resolve(host, port, family)
        if any(is_private(entry["host"]) for entry in found):
            raise PrivateAddress(f"{host} is a private address; set PASSEL_ALLOW_PRIVATE_URLS=1 to allow it")
        return found

    async def close(self) -> None:
        await self._inner.close()


class ModelDirectory:
    """Finds the model of an option and asks it. `local_url` starts a local model's server and gives its URL."""

    def __init__(self, settings: ModelSettingsOf, local_url: LocalUrl) -> None:
        self._settings, self._local_url = settings, local_url
        self._sessions: dict[bool, aiohttp.ClientSession] = {}
        self._models: dict[tuple[str, str | None, str, str], Model] = {}
        self._limits: dict[tuple[str, ...], AdaptiveLimit] = {}

    async def ask(self, org_id: str, option: LlmOption, api_key: str | None, question: Question) -> Answer:
        """One call. Raises `ModelFailure` when there is no answer."""
        try:
            model = await self._model(option, api_key)
        except (ai.UserError, OSError, RuntimeError, ValueError) as error:
            raise ModelFailure(Fault.REFUSED, str(error)) from error
        settings: ModelSettings = {**option.settings, "timeout": self._settings.timeout}  # pyright: ignore[reportAssignmentType]
        async with self._limit(org_id, option, api_key).slot():
            try:
                async with asyncio.timeout(self._settings.timeout):
                    response = await model_request(model, _messages(question), model_settings=settings)
            except Exception as error:
                raise explain(error, self._settings.timeout) from error
            text = "".join(part.content for part in response.parts if isinstance(part, TextPart))
            if not response.parts:
                raise ModelFailure(Fault.UNKNOWN, f"{option.ref} answered without any content")
            return Answer(text, response.finish_reason or "stop", _usage(option, response))

    async def close(self) -> None:
        for session in self._sessions.values():
            await session.close()

    def _limit(self, org_id: str, option: LlmOption, api_key: str | None) -> AdaptiveLimit:
        key = (option.provider, option.base_url or "", fingerprint(api_key) if api_key else org_id)
        if key not in self._limits:
            self._limits[key] = AdaptiveLimit(self._settings.concurrency)
        return self._limits[key]

    async def _model(self, option: LlmOption, api_key: str | None) -> Model:
        base_url = await self._local_url(option.model) if option.provider == LOCAL else option.base_url
        key = (option.provider, base_url, option.model, api_key or "")
        if key not in self._models:
            self._models[key] = self._build(option, base_url, api_key)
        return self._models[key]

    def _build(self, option: LlmOption, base_url: str | None, api_key: str | None) -> Model:
        guarded = base_url is not None and option.provider != LOCAL and not self._settings.allow_private_urls
        if guarded and is_private(urlsplit(base_url).hostname or ""):
            raise PrivateAddress(f"{base_url} is a private address; set PASSEL_ALLOW_PRIVATE_URLS=1 to allow it")
        if api_key is None and base_url is None:
            raise ValueError(f"no API key for {option.provider}: set it on the server, as llm.api_key_secret or as llm_api_key")
        client = httpx2.AsyncClient(
            transport=AiohttpTransport(client=self._session(guarded)),
            timeout=self._settings.timeout,
            follow_redirects=False,
            trust_env=False,
        )
        if option.provider == ANTHROPIC:
            anthropic = AsyncAnthropic(api_key=api_key or _NO_KEY, base_url=base_url, http_client=client, max_retries=0)
            return AnthropicModel(option.model, provider=AnthropicProvider(anthropic_client=anthropic))
        default = None if option.provider in (OPENAI, LOCAL) else OPENROUTER_URL
        openai = AsyncOpenAI(api_key=api_key or _NO_KEY, base_url=base_url or default, http_client=client, max_retries=0)
        return OpenAIChatModel(option.model, provider=OpenAIProvider(openai_client=openai))

    def _session(self, guarded: bool) -> aiohttp.ClientSession:
        if guarded not in self._sessions:
            connector = aiohttp.TCPConnector(limit=0, resolver=_GuardedResolver() if guarded else None, ttl_dns_cache=60)
            self._sessions[guarded] = aiohttp.ClientSession(connector=connector, trust_env=not guarded)
        return self._sessions[guarded]


def _messages(question: Question) -> list[ModelMessage]:
    messages: list[ModelMessage] = []
    for spoken in question.conversation:
        if spoken.role == "assistant":
            messages.append(ModelResponse([TextPart("".join(p for p in spoken.parts if isinstance(p, str)))]))
            continue
        content = [p if isinstance(p, str) else BinaryContent(p.data, media_type=p.media_type) for p in spoken.parts]
        user = UserPromptPart(content[0] if len(content) == 1 and isinstance(content[0], str) else content)
        if not messages and question.system:
            messages.append(ModelRequest([SystemPromptPart(question.system), user]))
        else:
            messages.append(ModelRequest([user]))
    return messages


def _usage(option: LlmOption, response: ModelResponse) -> Usage:
    used = response.usage
    if option.provider == LOCAL:
        cost = 0
    else:
        cost = _price(option, used.input_tokens, used.output_tokens, used.cache_read_tokens, used.cache_write_tokens)
    return Usage(used.input_tokens, used.output_tokens, used.cache_read_tokens, None if cost is None else _decimal(cost))


def _decimal(cost: Any) -> Any:
    from decimal import Decimal

    return Decimal(cost)


@lru_cache(maxsize=1024)
def _priced_model(provider: str, model: str) -> tuple[Any, Any] | None:
    """The library's search for a model takes most of the time of pricing a call, so it is made once each model."""
    try:
        found = genai_prices.calc_price(genai_prices.Usage(input_tokens=1), model, provider_id=provider)
    except LookupError:
        return None
    return found.model, found.provider


def _price(option: LlmOption, input_tokens: int, output_tokens: int, cache_read: int, cache_write: int) -> Any:
    if _priced_model(option.provider, option.model) is None:
        return None
    usage = genai_prices.Usage(
        input_tokens=input_tokens, output_tokens=output_tokens, cache_read_tokens=cache_read, cache_write_tokens=cache_write
    )
    return genai_prices.calc_price(usage, option.model, provider_id=option.provider).total_price


def explain(error: Exception, timeout: float) -> ModelFailure:
    """What a failed call means: whether it may have been billed, and whether to ask again.

    `error.__cause__` chains end in what really happened; the message that clients see is the upstream one.
    """
    message = _upstream_message(error)
    status = getattr(error, "status_code", None)
    match error:
        case ai.ModelHTTPError() if isinstance(error, ai.ModelQuotaExceededError):
            return ModelFailure(Fault.REFUSED, message, status)
        case ai.ModelHTTPError(status_code=429 | 503 | 529):
            return ModelFailure(Fault.OVERLOADED, message, status, _retry_after(error))
        case ai.ModelHTTPError(status_code=408 | 409 | 425):
            return ModelFailure(Fault.BROKEN, message, status, _retry_after(error))
        case ai.ModelHTTPError(status_code=code) if code >= 500:
            return ModelFailure(Fault.BROKEN, message, status, _retry_after(error))
        case ai.ModelHTTPError():
            return ModelFailure(Fault.REFUSED, message, status)
        case TimeoutError() | ai.ModelTimeoutError():
            return ModelFailure(Fault.UNKNOWN, f"the model did not answer within {timeout:g} s")
        case ai.ModelAPIError() if _never_connected(error):
            fault = Fault.REFUSED if _find_cause(error, PrivateAddress) else Fault.BROKEN
            return ModelFailure(fault, message)
        case ai.UserError():
            return ModelFailure(Fault.REFUSED, message)
        case _:
            return ModelFailure(Fault.UNKNOWN, message)


def _upstream_message(error: BaseException) -> str:
    status = getattr(error, "status_code", None)
    body = getattr(error, "body", None)
    if status is not None:
        said = body if isinstance(body, str) else json.dumps(body, default=str) if body is not None else str(error)
        return f"HTTP {status}: {said}"[:2000]
    chain = [f"{type(e).__name__}: {e}" for e in _chain(error) if str(e)]
    return (" <- ".join(chain) or repr(error))[:2000]


def _chain(error: BaseException) -> list[BaseException]:
    chain: list[BaseException] = []
    current: BaseException | None = error
    while current is not None and current not in chain and len(chain) < 6:
        chain.append(current)
        current = current.__cause__ or current.__context__
    return chain


def _find_cause(error: BaseException, kind: type[BaseException]) -> bool:
    return any(isinstance(e, kind) for e in _chain(error))


def _never_connected(error: BaseException) -> bool:
    return _find_cause(error, aiohttp.ClientConnectorError) or _find_cause(error, httpx2.ConnectError)


def _retry_after(error: BaseException) -> float | None:
    """Seconds from the header `Retry-After` (RFC 9110, 10.2.3) or `retry-after-ms`, capped at ten minutes."""
    for cause in _chain(error):
        headers = getattr(getattr(cause, "response", None), "headers", None)
        if headers is None:
            continue
        if milliseconds := headers.get("retry-after-ms"):
            return _capped(milliseconds, 0.001)
        if value := headers.get("retry-after"):
            if value.strip().replace(".", "", 1).isdigit():
                return _capped(value, 1)
            try:
                return max(0.0, min(600.0, (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds()))
            except (ValueError, TypeError):
                return None
    return None


def _capped(value: str, unit: float) -> float | None:
    try:
        return max(0.0, min(600.0, float(value) * unit))
    except ValueError:
        return None
