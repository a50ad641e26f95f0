"""Agents, their versions and what their bundles hold."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import Response

from passel.faces.dari import responses
from passel.faces.dari.requests import PublishRequest
from passel.faces.dari.routes.paging import After
from passel.faces.kit.auth import current_caller
from passel.faces.kit.json import json_response
from passel.services import agents
from passel.services.deps import Caller, Deps


def router(deps: Deps, public_url: str | None) -> APIRouter:
    routes = APIRouter(prefix="/v1/agents", tags=["agents"])
    caller = Depends(current_caller)

    def agent_url(request: Request, agent_id: str) -> str:
        return f"{(public_url or str(request.base_url)).rstrip('/')}/v1/agents/{agent_id}"

    async def publish(request: Request, body: PublishRequest, caller: Caller, agent_id: str | None) -> Response:
        published = await agents.publish(deps, caller, body.source_snapshot_id, agent_id)
        return json_response(responses.published(published, agent_url(request, published.agent.id)), 201)

    @routes.post("", status_code=201)
    async def create(request: Request, body: PublishRequest, caller: Caller = caller) -> Response:
        return await publish(request, body, caller, None)

    @routes.post("/{agent_id}/versions", status_code=201)
    async def create_version(request: Request, agent_id: str, body: PublishRequest, caller: Caller = caller) -> Response:
        return await publish(request, body, caller, agent_id)

    @routes.get("")
    async def list_agents(
        after: After = None, limit: Annotated[int | None, Query(ge=1, le=1000)] = None, caller: Caller = caller
    ) -> Response:
        found = await agents.list_agents(deps, caller, after, limit)
        return json_response(responses.listing("agents", [responses.agent(agent) for agent in found]))

    @routes.get("/{agent_id}")
    async def get(request: Request, agent_id: str, caller: Caller = caller) -> Response:
        agent = await agents.get_agent(deps, caller, agent_id)
        return json_response(responses.agent(agent) | {"agent_url": agent_url(request, agent.id)})

    @routes.delete("/{agent_id}")
    async def delete(agent_id: str, caller: Caller = caller) -> Response:
        return json_response(responses.agent(await agents.delete_agent(deps, caller, agent_id)))

    @routes.get("/{agent_id}/versions")
    async def list_versions(agent_id: str, caller: Caller = caller) -> Response:
        agent, versions = await agents.list_versions(deps, caller, agent_id)
        body = {"agent": responses.agent_ref(agent), "versions": [responses.version(v, agent) for v in versions]}
        return json_response(body)

    @routes.get("/{agent_id}/versions/{version_id}")
    async def get_version(agent_id: str, version_id: str, caller: Caller = caller) -> Response:
        agent, version = await agents.get_version(deps, caller, agent_id, version_id)
        return json_response({"agent": responses.agent_ref(agent), "version": responses.version(version, agent)})

    @routes.get("/{agent_id}/versions/{version_id}/bundle")
    async def bundle(agent_id: str, version_id: str, caller: Caller = caller) -> Response:
        agent, version, files = await agents.version_files(deps, caller, agent_id, version_id)
        listed = [{"path": p, "size_bytes": len(f.data), "executable": f.executable} for p, f in sorted(files.items())]
        body = {"agent": responses.agent_ref(agent), "version": responses.version(version, agent), "files": listed}
        return json_response(body)

    @routes.get("/{agent_id}/versions/{version_id}/bundle/file")
    async def bundle_file(agent_id: str, version_id: str, path: str, caller: Caller = caller) -> Response:
        content = await agents.version_file(deps, caller, agent_id, version_id, path)
        return json_response({"path": path, "content": content})

    return routes
