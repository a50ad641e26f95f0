"""Organisations: the caller's own and those that it owns, with their API keys and credentials. `{org_id}` may be
`current`."""

from typing import Annotated

from fastapi import APIRouter, Depends
from starlette.responses import Response

from passel.core.ids import OrgId
from passel.faces.dari import responses
from passel.faces.dari.requests import CredentialRequest, DeviceRequest, KeyRequest, OrganisationRequest
from passel.faces.kit.context import AuthenticatorIn, CallerIn, DepsIn
from passel.faces.kit.json import json_response
from passel.services import accounts
from passel.services.agents import publishing
from passel.services.deps import PLATFORM, Caller

routes = APIRouter(prefix="/v1/organizations", tags=["organizations"])


async def _managed(org_id: str, deps: DepsIn, caller: CallerIn) -> OrgId:
    return await accounts.managed_organisation(deps, caller, org_id)


ManagedOrg = Annotated[OrgId, Depends(_managed)]


@routes.get("")
async def list_organisations(deps: DepsIn, caller: CallerIn) -> Response:
    """The key's own first, then those that it owns."""
    found = await accounts.list_own_organisations(deps, caller)
    return json_response(responses.listing("organizations", [responses.organisation(org) for org in found]))


@routes.post("", status_code=201)
async def create_organisation(body: OrganisationRequest, deps: DepsIn, caller: CallerIn) -> Response:
    """Another organisation, owned by the key's."""
    return json_response(responses.organisation(await accounts.create_organisation(deps, body.name, caller.org_id)), 201)


@routes.post("/{org_id}/managed-cli-key/ensure", status_code=201)
async def ensure_device_key(org: ManagedOrg, body: DeviceRequest, deps: DepsIn, authenticator: AuthenticatorIn) -> Response:
    """A fresh key for a device. The one that it had before stops working."""
    new = await accounts.ensure_device_key(deps, org, body.device_name)
    if new.replaced:
        authenticator.forget(new.replaced)
    return json_response(responses.api_key(new.key) | {"api_key": new.secret}, 201)


@routes.get("/{org_id}/api-keys")
async def list_keys(org: ManagedOrg, deps: DepsIn) -> Response:
    keys = await accounts.list_keys(deps, org)
    return json_response(responses.listing("api_keys", [responses.api_key(key) for key in keys]))


@routes.post("/{org_id}/api-keys", status_code=201)
async def create_key(org: ManagedOrg, body: KeyRequest, deps: DepsIn) -> Response:
    new = await accounts.create_key(deps, org, body.label, body.scopes or [PLATFORM])
    return json_response(responses.api_key(new.key) | {"api_key": new.secret}, 201)


@routes.delete("/{org_id}/api-keys/{key_id}")
async def revoke_key(org: ManagedOrg, key_id: str, deps: DepsIn, authenticator: AuthenticatorIn) -> Response:
    key = await accounts.revoke_key(deps, org, key_id)
    authenticator.forget(key.id)
    return json_response(responses.api_key(key))


@routes.get("/{org_id}/credentials")
async def list_credentials(org: ManagedOrg, deps: DepsIn) -> Response:
    found = await accounts.list_credentials(deps, org)
    return json_response(responses.listing("credentials", [responses.credential(c) for c in found]))


@routes.put("/{org_id}/credentials/{name}")
async def put_credential(org: ManagedOrg, name: str, body: CredentialRequest, deps: DepsIn) -> Response:
    credential, created = await accounts.put_credential(deps, org, name, body.value)
    return json_response(responses.credential(credential) | {"created": created})


@routes.delete("/{org_id}/credentials/{name}")
async def delete_credential(org: ManagedOrg, name: str, deps: DepsIn) -> Response:
    credential = await accounts.delete_credential(deps, org, name)
    return json_response(responses.credential(credential) | {"deleted": True})


@routes.delete("/{org_id}/agents/{agent_id}")
async def delete_agent(org: ManagedOrg, agent_id: str, deps: DepsIn, caller: CallerIn) -> Response:
    """The twin of `DELETE /v1/agents/{agent_id}`."""
    agent = await publishing.delete_agent(deps, Caller(org, caller.key_id, caller.scopes), agent_id)
    return json_response(responses.agent(agent))
