"""The organisation's settings, and its keys of model providers."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import Response

from passel.core.ids import OrgId
from passel.faces.check import organisation as bodies
from passel.faces.check import requests
from passel.faces.kit.context import CallerIn, DepsIn
from passel.faces.kit.json import json_response
from passel.services import accounts
from passel.services.verification import provider_keys, settings

settings_routes = APIRouter(prefix="/v1/settings", tags=["settings"])
provider_routes = APIRouter(prefix="/v1/provider-keys", tags=["provider keys"])


async def _managed(deps: DepsIn, caller: CallerIn, organization: Annotated[str, Query(max_length=100)] = "current") -> OrgId:
    """The caller's own organisation, or one that it owns."""
    return await accounts.managed_organisation(deps, caller, organization)


ManagedOrg = Annotated[OrgId, Depends(_managed)]


def _body(name: str) -> dict[str, object]:
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{name}"}}}}}


@settings_routes.get("")
async def read_settings(deps: DepsIn, org_id: ManagedOrg) -> Response:
    return json_response(bodies.settings_body(await settings.read(deps, org_id)))


@settings_routes.put("", openapi_extra=_body("SettingsFields"))
async def change_settings(request: Request, deps: DepsIn, caller: CallerIn, org_id: ManagedOrg) -> Response:
    """What is not named stays."""
    changes = bodies.settings_request(await requests.read_body(request))
    return json_response(bodies.settings_body(await settings.change(deps, caller, org_id, changes)))


@provider_routes.get("")
async def list_provider_keys(deps: DepsIn, caller: CallerIn) -> Response:
    """Never their values."""
    return json_response({"data": [bodies.provider_key(*one) for one in await provider_keys.list_keys(deps, caller)]})


@provider_routes.put("/{provider}", openapi_extra=_body("ProviderKeyFields"))
async def put_provider_key(request: Request, provider: str, deps: DepsIn, caller: CallerIn) -> Response:
    """Used by every verification that asks this provider, from now on."""
    fields = requests.parse(bodies.ProviderKeyFields, await requests.read_body(request))
    known, created = await provider_keys.put(deps, caller, provider, fields.key)
    return json_response(bodies.provider_key(provider, known), 201 if created else 200)


@provider_routes.delete("/{provider}", status_code=204)
async def delete_provider_key(provider: str, deps: DepsIn, caller: CallerIn) -> Response:
    await provider_keys.delete(deps, caller, provider)
    return Response(status_code=204)
