"""The webhook of an agent: whose it is, and what it may hear of."""

from collections.abc import Sequence
from datetime import datetime

from passel.core.agent.announcements import ANNOUNCED, TOOL_CALL_REQUESTED
from passel.core.errors import NotFound, Unprocessable
from passel.services import webhooks
from passel.services.agents.publishing import get_agent
from passel.services.agents.sessions import KIND
from passel.services.deps import Caller, Deps
from passel.services.webhooks import Again, Configured, ReadDelivery, Subject, Webhook


async def configure(deps: Deps, caller: Caller, agent_id: str, url: str, event_types: Sequence[str] | None) -> Configured:
    """Make the agent's webhook, or change it. Without `event_types` it hears of calls that are to be answered."""
    agent = await get_agent(deps, caller, agent_id)
    if agent.deleted_at:
        raise NotFound("this agent is deleted")
    subject = Subject(agent.org_id, KIND, agent.id, ANNOUNCED, "webhook_url", "event_types")
    return await webhooks.configure(deps, subject, url, (TOOL_CALL_REQUESTED,) if event_types is None else event_types)


async def find(deps: Deps, caller: Caller, agent_id: str) -> Webhook | None:
    await get_agent(deps, caller, agent_id)
    return await webhooks.find(deps, agent_id)


async def rotate(deps: Deps, caller: Caller, agent_id: str) -> Configured:
    await get_agent(deps, caller, agent_id)
    return await webhooks.rotate(deps, agent_id)


async def delete(deps: Deps, caller: Caller, agent_id: str) -> None:
    await get_agent(deps, caller, agent_id)
    await webhooks.delete(deps, agent_id)


async def list_deliveries(
    deps: Deps, caller: Caller, agent_id: str, *, after: str | None, type: str | None, status: str | None, limit: int
) -> list[ReadDelivery]:
    """Newest first, each with its tries."""
    await get_agent(deps, caller, agent_id)
    if type is not None and type not in ANNOUNCED.types:
        raise Unprocessable(f"type must be one of {', '.join(sorted(ANNOUNCED.types))}", field="type")
    return await webhooks.list_deliveries(deps, agent_id, after=after, type=type, status=status, limit=limit)


async def redeliver(deps: Deps, caller: Caller, agent_id: str, delivery_id: str) -> ReadDelivery:
    await get_agent(deps, caller, agent_id)
    return await webhooks.redeliver(deps, agent_id, delivery_id)


async def redeliver_span(deps: Deps, caller: Caller, agent_id: str, since: datetime, until: datetime | None, after: str | None) -> Again:
    await get_agent(deps, caller, agent_id)
    return await webhooks.redeliver_span(deps, agent_id, since, until, after)
