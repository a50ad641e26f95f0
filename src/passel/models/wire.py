"""OpenAI-compatible servers on bare aiohttp: one POST, no model objects in between.

For `local:` models and for base URLs of one's own (vLLM, llama.cpp, LM Studio, gateways), which is where throughput
matters: the SDK's way costs 2.3 ms of CPU a call here, this 0.2 ms (docs/decisions/0004). Hosted providers go
through `pydantic_ai.direct`, which knows their quirks.
"""

import asyncio
import base64
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, cast

import aiohttp
import orjson

from passel.core.costs import Usage
from passel.core.llm.options import LlmOption
from passel.core.llm.retry import Fault, ModelFailure
from passel.models import failures
from passel.models.prices import price
from passel.models.questions import Answer, AskedTool, Picture, Question, Spoken, ToolOffer

_MAX_ANSWER_BYTES = 16 * 1024 * 1024


async def ask(
    session: aiohttp.ClientSession,
    base_url: str,
    option: LlmOption,
    api_key: str | None,
    question: Question,
    timeout: float,
    further: Mapping[str, Any] | None = None,
) -> Answer:
    """One chat completion, in at most `timeout` seconds. `base_url` is what stands before `/chat/completions`, `further`
    are fields beside the option's settings. Raises `ModelFailure` when there is no answer."""
    headers = {"Content-Type": "application/json"}
    if api_key:
        headers["Authorization"] = f"Bearer {api_key}"
    asked: dict[str, Any] = {"model": option.model, "messages": _messages(question), **option.settings, **(further or {})}
    if question.tools:
        asked["tools"] = [_offer(tool) for tool in question.tools]
    body = orjson.dumps(asked)
    try:
        async with asyncio.timeout(timeout):
            async with session.post(
                f"{base_url.rstrip('/')}/chat/completions", data=body, headers=headers, allow_redirects=False, timeout=_NO_TIMEOUT
            ) as response:
                data = await _read(response)
                if response.status != 200:
                    raise failures.of_status(response.status, data.decode(errors="replace"), response.headers)
    except ModelFailure:
        raise
    except TimeoutError as error:
        raise failures.of_timeout(timeout) from error
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise failures.of_exception(error) from error
    return _answer(option, data)


_NO_TIMEOUT = aiohttp.ClientTimeout(total=None)  # the caller's deadline covers connecting and reading


async def _read(response: aiohttp.ClientResponse) -> bytes:
    """The body, as long as it is bounded: what is announced, and what comes in, decompressed."""
    parts: list[bytes] = []
    size = 0
    async for part in response.content.iter_any():
        size += len(part)
        if size > _MAX_ANSWER_BYTES:
            response.close()
            raise ModelFailure(Fault.UNKNOWN, f"the answer is larger than {_MAX_ANSWER_BYTES} bytes")
        parts.append(part)
    return b"".join(parts)


def _messages(question: Question) -> list[dict[str, Any]]:
    system = [{"role": "system", "content": question.system}] if question.system else []
    return [*system, *(_message(spoken) for spoken in question.conversation)]


def _message(spoken: Spoken) -> dict[str, Any]:
    message: dict[str, Any] = {"role": spoken.role}
    if all(isinstance(part, str) for part in spoken.parts):
        message["content"] = "\n\n".join(cast(tuple[str, ...], spoken.parts))
    else:
        message["content"] = [_part(part) for part in spoken.parts]
    if spoken.tools:
        message["tool_calls"] = [_tool_call(tool) for tool in spoken.tools]
    if spoken.call_id is not None:
        message["tool_call_id"] = spoken.call_id
    return message


def _offer(tool: ToolOffer) -> dict[str, Any]:
    return {"type": "function", "function": {"name": tool.name, "description": tool.description, "parameters": tool.parameters}}


def _tool_call(tool: AskedTool) -> dict[str, Any]:
    return {"id": tool.call_id, "type": "function", "function": {"name": tool.name, "arguments": tool.arguments}}


def _part(part: str | Picture) -> dict[str, Any]:
    if isinstance(part, str):
        return {"type": "text", "text": part}
    encoded = base64.b64encode(part.data).decode()
    return {"type": "image_url", "image_url": {"url": f"data:{part.media_type};base64,{encoded}"}}


def _tokens(count: Any) -> int:
    """A provider's count, within what can be added up."""
    return max(0, min(int(count or 0), 2**53))


def _decode(data: bytes) -> Any:
    try:
        return orjson.loads(data)
    except ValueError:
        return json.loads(data)  # takes what orjson refuses, such as half a surrogate pair; the ledger cleans it


def _answer(option: LlmOption, data: bytes) -> Answer:
    try:
        body = _decode(data)
        choice = body["choices"][0]
        text = _text(choice["message"].get("content"))
        tools = tuple(_asked_tool(call) for call in choice["message"].get("tool_calls") or ())
        if not isinstance(text, str) and not tools:
            raise ValueError("the message has neither a text nor tool calls")
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        shown = data[:200].decode(errors="replace")
        raise ModelFailure(Fault.UNKNOWN, f"{option.ref} answered 200 with what is no chat completion ({error}): {shown!r}") from error
    return Answer(
        text if isinstance(text, str) else "", str(choice.get("finish_reason") or "stop"), _usage(option, body.get("usage")), tools
    )


def _usage(option: LlmOption, told: Any) -> Usage:
    """Without a known price where what is told of it makes no sense: the answer was paid for all the same."""
    try:
        used = told or {}
        counts = [_tokens(used.get(name)) for name in ("prompt_tokens", "completion_tokens")]
        cached = _tokens((used.get("prompt_tokens_details") or {}).get("cached_tokens"))
    except (ValueError, TypeError, AttributeError, OverflowError):
        return Usage()
    return Usage(counts[0], counts[1], cached, price(option, counts[0], counts[1], cached, 0, datetime.now(UTC)))


def _text(content: Any) -> Any:
    """Some servers answer with a list of parts, as they are asked."""
    if not isinstance(content, list):
        return content
    parts: list[Any] = [part.get("text") for part in cast(list[Any], content) if isinstance(part, dict)]
    return "".join(part for part in parts if isinstance(part, str)) if parts else None


def _asked_tool(call: Any) -> AskedTool:
    function = call["function"]
    arguments = function.get("arguments") or "{}"
    return AskedTool(str(call.get("id") or ""), str(function["name"]), arguments if isinstance(arguments, str) else json.dumps(arguments))
