"""The caller's organisation: its API keys and credentials. `{org_id}` may be `current`."""

from fastapi import APIRouter
from starlette.responses import Response

from passel.faces.dari import responses
from passel.faces.dari.requests import CredentialRequest, KeyRequest
from passel.faces.kit.context import CallerIn, DepsIn
from passel.faces.kit.json import json_response
from passel.services import accounts

routes = APIRouter(prefix="/v1/organizations", tags=["organizations"])


@routes.get("")
async def list_organisations(deps: DepsIn, caller: CallerIn) -> Response:
    own = await accounts.find_organisation(deps, caller.org_id)
    return json_response(responses.listing("organizations", [responses.organisation(own)]))


@routes.get("/{org_id}/api-keys")
async def list_keys(org_id: str, deps: DepsIn, caller: CallerIn) -> Response:
    keys = await accounts.list_keys(deps, accounts.own_organisation(caller, org_id))
    return json_response(responses.listing("api_keys", [responses.api_key(key) for key in keys]))


@routes.post("/{org_id}/api-keys", status_code=201)
async def create_key(org_id: str, body: KeyRequest, deps: DepsIn, caller: CallerIn) -> Response:
    new = await accounts.create_key(deps, accounts.own_organisation(caller, org_id), body.label)
    return json_response(responses.api_key(new.key) | {"api_key": new.secret}, 201)


@routes.delete("/{org_id}/api-keys/{key_id}")
async def revoke_key(org_id: str, key_id: str, deps: DepsIn, caller: CallerIn) -> Response:
    key = await accounts.revoke_key(deps, accounts.own_organisation(caller, org_id), key_id)
    return json_response(responses.api_key(key))


@routes.get("/{org_id}/credentials")
async def list_credentials(org_id: str, deps: DepsIn, caller: CallerIn) -> Response:
    found = await accounts.list_credentials(deps, accounts.own_organisation(caller, org_id))
    return json_response(responses.listing("credentials", [responses.credential(c) for c in found]))


@routes.put("/{org_id}/credentials/{name}")
async def put_credential(org_id: str, name: str, body: CredentialRequest, deps: DepsIn, caller: CallerIn) -> Response:
    org = accounts.own_organisation(caller, org_id)
    credential, created = await accounts.put_credential(deps, org, name, body.value)
    return json_response(responses.credential(credential) | {"created": created})


@routes.delete("/{org_id}/credentials/{name}")
async def delete_credential(org_id: str, name: str, deps: DepsIn, caller: CallerIn) -> Response:
    credential = await accounts.delete_credential(deps, accounts.own_organisation(caller, org_id), name)
    return json_response(responses.credential(credential) | {"deleted": True})
