"""API keys of the organisation: the same for all faces."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from passel.faces.check import organisation as bodies
from passel.faces.check import requests
from passel.faces.kit.context import AuthenticatorIn, CallerIn, DepsIn
from passel.faces.kit.json import json_response
from passel.services import accounts

routes = APIRouter(prefix="/v1/keys", tags=["keys"])

_BODY = {"requestBody": {"required": True, "content": {"application/json": {"schema": {"$ref": "#/components/schemas/KeyFields"}}}}}


@routes.get("")
async def list_keys(deps: DepsIn, caller: CallerIn) -> Response:
    """Oldest first, revoked ones too."""
    return json_response({"data": [bodies.api_key(key) for key in await accounts.list_keys(deps, caller.org_id)]})


@routes.post("", status_code=201, openapi_extra=_BODY)
async def create_key(request: Request, deps: DepsIn, caller: CallerIn) -> Response:
    """The key itself is shown only now."""
    fields = requests.parse(bodies.KeyFields, await requests.read_body(request))
    new = await accounts.create_key(deps, caller.org_id, fields.name, prefix=accounts.CHECK_KEY_PREFIX)
    return json_response(bodies.api_key(new.key) | {"key": new.secret}, 201)


@routes.delete("/{key_id}")
async def revoke_key(key_id: str, deps: DepsIn, caller: CallerIn, authenticator: AuthenticatorIn) -> Response:
    """It stops working at once."""
    key = await accounts.revoke_key(deps, caller.org_id, key_id)
    authenticator.forget(key.id)
    return json_response(bodies.api_key(key))
