"""The organisation's settings."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import Response

from passel.core.ids import OrgId
from passel.faces.check import organisation as bodies
from passel.faces.check import requests
from passel.faces.kit.context import CallerIn, DepsIn
from passel.faces.kit.json import json_response
from passel.services import accounts
from passel.services.verification import settings

routes = APIRouter(prefix="/v1/settings", tags=["settings"])

_BODY = {"requestBody": {"required": True, "content": {"application/json": {"schema": {"$ref": "#/components/schemas/SettingsFields"}}}}}


async def _managed(deps: DepsIn, caller: CallerIn, organization: Annotated[str, Query(max_length=100)] = "current") -> OrgId:
    """The caller's own organisation, or one that it owns."""
    return await accounts.managed_organisation(deps, caller, organization)


ManagedOrg = Annotated[OrgId, Depends(_managed)]


@routes.get("")
async def read_settings(deps: DepsIn, org_id: ManagedOrg) -> Response:
    return json_response(bodies.settings_body(await settings.read(deps, org_id)))


@routes.put("", openapi_extra=_BODY)
async def change_settings(request: Request, deps: DepsIn, caller: CallerIn, org_id: ManagedOrg) -> Response:
    """What is not named stays."""
    changes = bodies.settings_request(await requests.read_body(request))
    return json_response(bodies.settings_body(await settings.change(deps, caller, org_id, changes)))
