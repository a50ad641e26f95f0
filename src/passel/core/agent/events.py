"""The events of agent sessions, and the one place that spells their payloads.

message.requested   {content, metadata}: the user's blocks
assistant.message   {text, calls, stop_reason, call}: one answer of the model; `calls` are the tools that it asks for
tool.requested      {id, call_id, name, arguments, execution, deadline}: a call that is about to be run, or that a client
                    shall answer until `deadline`; `arguments` as JSON, or the text that the model wrote where it is none
tool.submitted      {id, is_error, result}: what the client answered
tool.completed      {id, name, result}
tool.failed         {id, name, error, result, reason}: `result` is the client's payload, `reason` why it failed
model.call_failed   see passel.core.llm.events
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from passel.core.events import Draft, Event

ASSISTANT_MESSAGE = "assistant.message"
TOOL_REQUESTED = "tool.requested"
TOOL_SUBMITTED = "tool.submitted"
TOOL_COMPLETED = "tool.completed"
TOOL_FAILED = "tool.failed"

TOOL_SETTLED = (TOOL_COMPLETED, TOOL_FAILED)

NO_TOOL, BAD_ARGUMENTS, TIMED_OUT, ANSWERED = "no_tool", "bad_arguments", "timed_out", "answered"
"""Why a call failed: nobody has such a tool, its arguments break the schema, nobody answered in time, or the client
answered with an error."""


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


def tool_requested(call: ToolCall, arguments: Any, execution: str, deadline: datetime | None = None) -> Draft:
    """`execution` says who runs it; `EXTERNAL` is the client, who has until `deadline`."""
    data = {"id": call.id, "call_id": call.call_id, "name": call.name, "arguments": arguments, "execution": execution}
    return Draft(TOOL_REQUESTED, data | {"deadline": deadline and deadline.isoformat()})


def tool_submitted(call_id: str, result: Any, *, is_error: bool) -> Draft:
    return Draft(TOOL_SUBMITTED, {"id": call_id, "is_error": is_error, "result": result})


def tool_completed(call_id: str, name: str, result: Any) -> Draft:
    return Draft(TOOL_COMPLETED, {"id": call_id, "name": name, "result": result})


def tool_failed(call_id: str, name: str, error: str, reason: str, result: Any = None) -> Draft:
    return Draft(TOOL_FAILED, {"id": call_id, "name": name, "error": error, "result": result, "reason": reason})


def calls_of(event: Event) -> tuple[ToolCall, ...]:
    """The tools that an `assistant.message` asks for."""
    return tuple(ToolCall.from_json(call) for call in event.data["calls"])
