"""The organisation's own keys of model providers."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from passel.faces.check import organisation as bodies
from passel.faces.check import requests
from passel.faces.kit.context import CallerIn, DepsIn
from passel.faces.kit.json import json_response
from passel.services.verification import provider_keys

routes = APIRouter(prefix="/v1/provider-keys", tags=["provider keys"])

_BODY = {"requestBody": {"required": True, "content": {"application/json": {"schema": {"$ref": "#/components/schemas/ProviderKeyFields"}}}}}


@routes.get("")
async def list_provider_keys(deps: DepsIn, caller: CallerIn) -> Response:
    """Never their values."""
    return json_response({"data": [bodies.provider_key(*one) for one in await provider_keys.list_keys(deps, caller)]})


@routes.put("/{provider}", openapi_extra=_BODY)
async def put_provider_key(request: Request, provider: str, deps: DepsIn, caller: CallerIn) -> Response:
    """Used by every verification that asks this provider, from now on."""
    fields = requests.parse(bodies.ProviderKeyFields, await requests.read_body(request))
    known, created = await provider_keys.put(deps, caller, provider, fields.key)
    return json_response(bodies.provider_key(provider, known), 201 if created else 200)


@routes.delete("/{provider}", status_code=204)
async def delete_provider_key(provider: str, deps: DepsIn, caller: CallerIn) -> Response:
    await provider_keys.delete(deps, caller, provider)
    return Response(status_code=204)
