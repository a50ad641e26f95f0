"""The events of agent sessions, and the one place that spells their payloads.

message.requested   {content, metadata}: the user's blocks
assistant.message   {text, calls, stop_reason, call}: one answer of the model; `calls` are the tools that it asks for
tool.requested      {id, name, arguments, execution}: a call that is about to be run, or that a client shall answer
tool.completed      {id, name, result}
tool.failed         {id, name, error}
model.call_failed   see passel.core.llm.events
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from passel.core.events import Draft, Event

ASSISTANT_MESSAGE = "assistant.message"
TOOL_REQUESTED = "tool.requested"
TOOL_COMPLETED = "tool.completed"
TOOL_FAILED = "tool.failed"

TOOL_SETTLED = (TOOL_COMPLETED, TOOL_FAILED)
EXTERNAL = "external"


@dataclass(frozen=True, slots=True)
class ToolCall:
    """What a model asks for. `id` is ours, unique in the session; `call_id` is the model's, which may repeat."""

    id: str
    call_id: str
    name: str
    arguments: str  # JSON as the model wrote it

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> "ToolCall":
        return ToolCall(data["id"], data["call_id"], data["name"], data["arguments"])


def request(content: list[dict[str, Any]], metadata: dict[str, Any] | None) -> dict[str, Any]:
    """The data of `message.requested`."""
    return {"content": content, "metadata": metadata or {}}


def assistant_message(text: str, calls: Sequence[ToolCall], stop_reason: str, call: dict[str, Any]) -> Draft:
    """`call` is the record of the model's call (`passel.core.llm.events.record`)."""
    data = {"text": text, "calls": [asdict(c) for c in calls], "stop_reason": stop_reason, "call": call}
    return Draft(ASSISTANT_MESSAGE, data)


def tool_requested(call: ToolCall, execution: str) -> Draft:
    """`execution` says who runs it; `EXTERNAL` is the client."""
    return Draft(TOOL_REQUESTED, {"id": call.id, "name": call.name, "arguments": call.arguments, "execution": execution})


def tool_completed(call: ToolCall, result: Any) -> Draft:
    """`result` is any JSON."""
    return Draft(TOOL_COMPLETED, {"id": call.id, "name": call.name, "result": result})


def tool_failed(call: ToolCall, error: str) -> Draft:
    return Draft(TOOL_FAILED, {"id": call.id, "name": call.name, "error": error})


def calls_of(event: Event) -> tuple[ToolCall, ...]:
    """The tools that an `assistant.message` asks for."""
    return tuple(ToolCall.from_json(call) for call in event.data["calls"])
