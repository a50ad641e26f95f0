"""Whether the service is well: for everybody, without a key."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from passel import __version__
from passel.core.verification import ASKING, METHODS
from passel.faces.kit.context import DepsIn
from passel.faces.kit.json import json_response, timestamp
from passel.services.deps import Deps
from passel.services.verification import verifications

routes = APIRouter(prefix="/v1/status", tags=["status"])


@routes.get("")
async def status(request: Request, deps: DepsIn) -> Response:
    """503 when the database is away (D31). Methods that have no model are `unconfigured`."""
    depth = await verifications.backlog(deps)
    return json_response(
        {
            "status": "ok",
            "version": __version__,
            "time": timestamp(deps.now()),
            "methods": {method: "available" if _is_set_up(deps, method) else "unconfigured" for method in METHODS},
            "queue": {"depth": depth},
        }
    )


def _is_set_up(deps: Deps, method: str) -> bool:
    """Methods that ask a model can be used without the server's own, by those who name one."""
    return method not in ASKING or deps.verification_models.model is not None
