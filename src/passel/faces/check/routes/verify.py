"""Single verifications: made, waited for, read."""

from typing import Annotated

from fastapi import APIRouter, Header, Request
from starlette.responses import Response

from passel.faces.check import requests, responses
from passel.faces.kit.context import CallerIn, DepsIn, FollowingIn
from passel.faces.kit.json import json_response
from passel.services.verification import verifications

Key = Annotated[str | None, Header(alias="Idempotency-Key")]

routes = APIRouter(prefix="/v1/verify", tags=["verifications"])


_BODY = {"requestBody": {"required": True, "content": {"application/json": {"schema": {"$ref": "#/components/schemas/VerifyFields"}}}}}


@routes.post("", responses={202: {"description": "It goes on."}}, openapi_extra=_BODY)
async def verify(request: Request, deps: DepsIn, caller: CallerIn, following: FollowingIn, idempotency_key: Key = None) -> Response:
    """Waits for the end, unless the body says `async`; what takes longer goes on, and is 202 (D7)."""
    claim, metadata, in_background = requests.verify_request(await requests.read_body(request))
    made = await verifications.create(deps, caller, claim, metadata, requests.request_key(idempotency_key))
    if not in_background:
        made = await verifications.wait(deps, caller, following, made.session.id, request.app.state.verification_wait)
    return json_response(responses.verification(made, deps.now()), 200 if made.ended else 202)


@routes.get("/{verification_id}")
async def read(verification_id: str, deps: DepsIn, caller: CallerIn) -> Response:
    return json_response(responses.verification(await verifications.get(deps, caller, verification_id), deps.now()))
