"""What the organisation has used this month."""

from fastapi import APIRouter
from starlette.responses import Response

from passel.faces.kit.context import CallerIn, DepsIn
from passel.faces.kit.json import json_response
from passel.services.verification import usage

routes = APIRouter(prefix="/v1/usage", tags=["usage"])


@routes.get("")
async def get(deps: DepsIn, caller: CallerIn) -> Response:
    """Verifications that have ended with a result, in this month of UTC."""
    found = await usage.get(deps, caller)
    return json_response({"period": found.period, "used": found.used, "limit": found.limit, "percent": found.percent})
