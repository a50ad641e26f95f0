"""Hosted providers through `pydantic_ai.direct`, on aiohttp's transport. The SDKs' own retries are off: every call
is a row in the bill."""

import asyncio
import json
from datetime import UTC, datetime

import aiohttp
import httpx2
from anthropic import AsyncAnthropic
from openai import AsyncOpenAI
from openai._vendor.httpx_aiohttp import AiohttpTransport  # the SDK's aiohttp client makes its own session; we have one
from pydantic_ai import exceptions as ai
from pydantic_ai.direct import model_request
from pydantic_ai.messages import (
    BinaryContent,
    ModelMessage,
    ModelRequest,
    ModelResponse,
    SystemPromptPart,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.models import Model, ModelRequestParameters
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.anthropic import AnthropicProvider
from pydantic_ai.providers.openai import OpenAIProvider
from pydantic_ai.settings import ModelSettings
from pydantic_ai.tools import ToolDefinition

from passel.core.costs import Usage
from passel.core.llm.options import ANTHROPIC, OPENROUTER, OPENROUTER_URL, LlmOption
from passel.core.llm.retry import Fault, ModelFailure
from passel.models import failures
from passel.models.prices import price
from passel.models.questions import Answer, AskedTool, Question, Spoken

_NO_KEY = "none"  # the SDKs insist on a key; a server that wants none ignores it


def build(session: aiohttp.ClientSession, option: LlmOption, base_url: str | None, api_key: str | None, timeout: float) -> Model:
    """`base_url` None is the provider's own; `api_key` None is for servers that want none. `timeout` in seconds. The
    session stays the caller's."""
    client = httpx2.AsyncClient(transport=AiohttpTransport(client=session), timeout=timeout, follow_redirects=False, trust_env=False)
    if option.provider == ANTHROPIC:
        anthropic = AsyncAnthropic(api_key=api_key or _NO_KEY, base_url=base_url, http_client=client, max_retries=0)
        return AnthropicModel(option.model, provider=AnthropicProvider(anthropic_client=anthropic))
    default = OPENROUTER_URL if option.provider == OPENROUTER else None
    openai = AsyncOpenAI(api_key=api_key or _NO_KEY, base_url=base_url or default, http_client=client, max_retries=0)
    return OpenAIChatModel(option.model, provider=OpenAIProvider(openai_client=openai))


async def ask(model: Model, option: LlmOption, question: Question, timeout: float) -> Answer:
    """One call, of at most `timeout` seconds. Raises `ModelFailure` when there is no answer."""
    settings: ModelSettings = {**option.settings, "timeout": timeout}  # pyright: ignore[reportAssignmentType] # the manifest checked them
    try:
        async with asyncio.timeout(timeout):
            response = await model_request(
                model, _messages(question), model_settings=settings, model_request_parameters=_parameters(question)
            )
    except Exception as error:
        raise explain(error, timeout) from error
    if not response.parts:
        raise ModelFailure(Fault.UNKNOWN, f"{option.ref} answered without any content")
    text = "".join(part.content for part in response.parts if isinstance(part, TextPart))
    calls = [part for part in response.parts if isinstance(part, ToolCallPart)]
    tools = tuple(AskedTool(call.tool_call_id, call.tool_name, call.args_as_json_str()) for call in calls)
    return Answer(text, response.finish_reason or "stop", _usage(option, response), tools)


def _parameters(question: Question) -> ModelRequestParameters:
    tools = [
        ToolDefinition(name=tool.name, parameters_json_schema=tool.parameters, description=tool.description) for tool in question.tools
    ]
    return ModelRequestParameters(function_tools=tools)


def explain(error: Exception, timeout: float) -> ModelFailure:
    """pydantic-ai's exceptions in our words; the message that clients see is the upstream one."""
    if failures.never_connected(error):  # the SDKs call this a time-out too, though nothing was sent
        return failures.of_exception(error)
    if isinstance(error, TimeoutError | ai.ModelTimeoutError):
        return failures.of_timeout(timeout)
    if isinstance(error, ai.ModelHTTPError):
        said = error.body if error.body is not None else str(error)
        return failures.of_status(error.status_code, said, error.headers)
    if isinstance(error, ai.UserError):
        return ModelFailure(Fault.REFUSED, str(error))
    return failures.of_exception(error)


def _messages(question: Question) -> list[ModelMessage]:
    messages: list[ModelMessage] = []
    names: dict[str, str] = {}
    for spoken in question.conversation:
        if spoken.role == "assistant":
            names |= {tool.call_id: tool.name for tool in spoken.tools}
            messages.append(_assistant(spoken))
            continue
        if spoken.call_id is not None:
            result = ToolReturnPart(names.get(spoken.call_id, ""), "".join(p for p in spoken.parts if isinstance(p, str)), spoken.call_id)
            if isinstance(before := messages[-1], ModelRequest) and isinstance(before.parts[0], ToolReturnPart):
                messages[-1] = ModelRequest([*before.parts, result])  # Anthropic wants all results of an answer in one
            else:
                messages.append(ModelRequest([result]))
            continue
        content = [p if isinstance(p, str) else BinaryContent(p.data, media_type=p.media_type) for p in spoken.parts]
        user = UserPromptPart(content[0] if len(content) == 1 and isinstance(content[0], str) else content)
        first = not messages and bool(question.system)
        messages.append(ModelRequest([SystemPromptPart(question.system), user] if first else [user]))
    return messages


def _assistant(spoken: Spoken) -> ModelResponse:
    text = "".join(p for p in spoken.parts if isinstance(p, str))
    calls = [ToolCallPart(tool.name, _as_object(tool.arguments), tool.call_id) for tool in spoken.tools]
    return ModelResponse([*([TextPart(text)] if text or not calls else []), *calls])


def _as_object(arguments: str) -> str:
    """What a model wrote as arguments, also where it is no JSON object: the library can send nothing else back."""
    try:
        if isinstance(json.loads(arguments), dict):
            return arguments
    except ValueError:
        pass
    return json.dumps({"unreadable": arguments})


def _usage(option: LlmOption, response: ModelResponse) -> Usage:
    used = response.usage
    cost = price(option, used.input_tokens, used.output_tokens, used.cache_read_tokens, used.cache_write_tokens, datetime.now(UTC))
    return Usage(used.input_tokens, used.output_tokens, used.cache_read_tokens, cost)
