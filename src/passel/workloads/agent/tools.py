"""What comes of the tools that a model asks for: calls that the client answers, and those that cannot be made."""

import json
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from passel.core.agent import events
from passel.core.agent.events import ToolCall
from passel.core.agent.planner import AwaitResults, RunTools
from passel.core.agent.spec import AgentSpec
from passel.core.agent.tools import EXTERNAL, ToolSpec
from passel.core.context import Step
from passel.core.endings import Wait
from passel.core.events import Draft

_NOBODY = "none"
_REASON = "the client's tool results"


def request_tools(spec: AgentSpec, plan: RunTools, now: datetime) -> Step:
    """All calls of an answer at once, and the wait for those that the client answers (decision 42 of the `dari`
    contract). What the model got wrong is told to it instead."""
    drafts: list[Draft] = []
    deadlines: list[datetime] = []
    for call in plan.calls:
        tool = spec.tools.get(call.name)
        arguments, problem = _arguments(call, tool)
        if tool is None or problem is not None:
            reason = events.NO_TOOL if tool is None else events.BAD_ARGUMENTS
            drafts.append(events.tool_requested(call, arguments, _NOBODY))
            drafts.append(events.tool_failed(call.id, call.name, problem or f"there is no tool {call.name}", reason))
            continue
        deadlines.append(now + timedelta(seconds=tool.timeout_seconds))
        drafts.append(events.tool_requested(call, arguments, EXTERNAL, deadlines[-1]))
    return Step(tuple(drafts), ending=_wait(deadlines) if deadlines else None)


def await_results(plan: AwaitResults, now: datetime) -> Step:
    """Wait on, or tell the model of calls that nobody has answered in time."""
    late = [call for call, deadline in plan.calls if deadline <= now]
    if not late:
        return Step(ending=_wait(deadline for _, deadline in plan.calls))
    error = "nobody answered this call in time"
    return Step(tuple(events.tool_failed(call.id, call.name, error, events.TIMED_OUT) for call in late))


def _wait(deadlines: Iterable[datetime]) -> Wait:
    return Wait(min(deadlines), _REASON)


def _arguments(call: ToolCall, tool: ToolSpec | None) -> tuple[Any, str | None]:
    """The arguments as JSON, or as the model wrote them, and what is wrong with them."""
    try:
        arguments = json.loads(call.arguments, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        return call.arguments, f"the arguments are not JSON: {error}"
    return arguments, None if tool is None else _broken(tool, arguments)


def _broken(tool: ToolSpec, arguments: Any) -> str | None:
    problem = tool.input_problem(arguments)
    return None if problem is None else f"the arguments break the schema of {tool.name}: {problem}"


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")
