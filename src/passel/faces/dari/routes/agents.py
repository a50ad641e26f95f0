"""Agents, their versions and what their bundles hold."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from passel.faces.dari import responses
from passel.faces.dari.requests import PublishRequest
from passel.faces.kit.context import CallerIn, DepsIn, base_url
from passel.faces.kit.json import json_response
from passel.faces.kit.paging import After, OptionalLimit
from passel.services.agents import publishing
from passel.services.deps import Caller, Deps

routes = APIRouter(prefix="/v1/agents", tags=["agents"])


def _agent_url(request: Request, deps: Deps, agent_id: str) -> str:
    return f"{base_url(request, deps)}/v1/agents/{agent_id}"


async def _publish(request: Request, deps: Deps, caller: Caller, body: PublishRequest, agent_id: str | None) -> Response:
    published = await publishing.publish(deps, caller, body.source_snapshot_id, agent_id)
    return json_response(responses.published(published, _agent_url(request, deps, published.agent.id)), 201)


@routes.post("", status_code=201)
async def create(request: Request, body: PublishRequest, deps: DepsIn, caller: CallerIn) -> Response:
    return await _publish(request, deps, caller, body, None)


@routes.post("/{agent_id}/versions", status_code=201)
async def create_version(request: Request, agent_id: str, body: PublishRequest, deps: DepsIn, caller: CallerIn) -> Response:
    return await _publish(request, deps, caller, body, agent_id)


@routes.get("")
async def list_agents(deps: DepsIn, caller: CallerIn, after: After = None, limit: OptionalLimit = None) -> Response:
    found = await publishing.list_agents(deps, caller, after, limit)
    return json_response(responses.listing("agents", [responses.agent(agent) for agent in found]))


@routes.get("/{agent_id}")
async def get(request: Request, agent_id: str, deps: DepsIn, caller: CallerIn) -> Response:
    agent = await publishing.get_agent(deps, caller, agent_id)
    return json_response(responses.agent(agent) | {"agent_url": _agent_url(request, deps, agent.id)})


@routes.delete("/{agent_id}")
async def delete(agent_id: str, deps: DepsIn, caller: CallerIn) -> Response:
    return json_response(responses.agent(await publishing.delete_agent(deps, caller, agent_id)))


@routes.get("/{agent_id}/versions")
async def list_versions(agent_id: str, deps: DepsIn, caller: CallerIn) -> Response:
    agent, versions = await publishing.list_versions(deps, caller, agent_id)
    return json_response({"agent": responses.agent_ref(agent), "versions": [responses.version(v, agent) for v in versions]})


@routes.get("/{agent_id}/versions/{version_id}")
async def get_version(agent_id: str, version_id: str, deps: DepsIn, caller: CallerIn) -> Response:
    agent, version = await publishing.get_version(deps, caller, agent_id, version_id)
    return json_response({"agent": responses.agent_ref(agent), "version": responses.version(version, agent)})


@routes.get("/{agent_id}/versions/{version_id}/bundle")
async def bundle(agent_id: str, version_id: str, deps: DepsIn, caller: CallerIn) -> Response:
    agent, version, files = await publishing.version_files(deps, caller, agent_id, version_id)
    listed = [{"path": p, "size_bytes": len(f.data), "executable": f.executable} for p, f in sorted(files.items())]
    return json_response({"agent": responses.agent_ref(agent), "version": responses.version(version, agent), "files": listed})


@routes.get("/{agent_id}/versions/{version_id}/bundle/file")
async def bundle_file(agent_id: str, version_id: str, path: str, deps: DepsIn, caller: CallerIn) -> Response:
    content = await publishing.version_file(deps, caller, agent_id, version_id, path)
    return json_response({"path": path, "content": content})
