"""The `anchor` face: an application of its own, since its paths are partly those of other faces. A request is its own when it carries
the header `anchor-api-key`, or when no other face has such a path."""

from collections.abc import Callable
from functools import partial

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Receive, Scope, Send

from passel import __version__
from passel.core.errors import PasselError
from passel.core.limits import MIB, Limits
from passel.faces.anchor import errors, openapi
from passel.faces.anchor.context import Readers
from passel.faces.anchor.routes import (
    batches,
    certificates,
    control,
    events,
    extensions,
    files,
    profiles,
    recordings,
    sessions,
    tasks,
    tools,
    webhooks,
)
from passel.faces.kit.auth import Authenticator, RequireKey
from passel.faces.kit.limits import BodyLimit, CleanUrl, RequestId
from passel.services.browser.reach import Reach
from passel.services.deps import PLATFORM, Deps
from passel.services.following import Following

KEY_HEADER = b"anchor-api-key"
_OWN_ROOTS = ("/v1/batch-sessions",)
_ROOMS = (batches, certificates, control, events, extensions, files, profiles, recordings, sessions, tasks, tools, webhooks)


def build(deps: Deps, authenticator: Authenticator, following: Following, reach: Reach, readers: Readers) -> FastAPI:
    app = FastAPI(title="Passel browsers", version=__version__, redirect_slashes=False, docs_url=None, redoc_url=None, openapi_url=None)
    document = app.openapi
    app.openapi = lambda: openapi.complete(document()) if app.openapi_schema is None else app.openapi_schema
    app.state.deps, app.state.following, app.state.reach = deps, following, reach
    app.state.readers, app.state.authenticator = readers, authenticator
    for room in _ROOMS:
        app.include_router(room.routes)
    app.add_exception_handler(PasselError, errors.on_passel_error)
    app.add_exception_handler(RequestValidationError, errors.on_validation_error)
    app.add_exception_handler(HTTPException, errors.on_http_error)
    app.add_exception_handler(Exception, errors.on_unexpected)
    app.add_middleware(BodyLimit, limit_of=partial(_body_limit, deps.limits), refuse=errors.passel_error)
    app.add_middleware(RequireKey, authenticator=authenticator, public=_nothing, scope=PLATFORM, refuse=errors.passel_error)
    app.add_middleware(_AsBearer)
    app.add_middleware(CleanUrl, refuse=errors.passel_error)
    app.add_middleware(RequestId)
    return app


def owns(scope: Scope) -> bool:
    """Whether a request belongs to this face."""
    if scope["type"] != "http":
        return False
    path: str = scope["path"]
    if any(path == root or path.startswith(f"{root}/") for root in _OWN_ROOTS):
        return True
    return path.startswith("/v1/") and any(name == KEY_HEADER for name, _ in scope["headers"])


class ByFace:
    """One port for all faces."""

    def __init__(self, app: ASGIApp, anchor: ASGIApp, owns: Callable[[Scope], bool] = owns) -> None:
        self._app, self._anchor, self._owns = app, anchor, owns

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await (self._anchor if self._owns(scope) else self._app)(scope, receive, send)


class _AsBearer:
    """The key of this face is one of the installation's keys in another header."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            key = next((value for name, value in scope["headers"] if name == KEY_HEADER), None)
            kept = [(name, value) for name, value in scope["headers"] if name != b"authorization"]
            scope = {**scope, "headers": [*kept, (b"authorization", b"Bearer " + key)] if key else kept}
        await self._app(scope, receive, send)


def _nothing(scope: Scope) -> bool:
    return False


def _body_limit(limits: Limits, scope: Scope) -> int:
    if scope["path"] == "/v1/extensions":
        return limits.browser_extension_bytes + MIB
    return limits.browser_file_bytes + MIB if scope["path"].endswith("/uploads") else MIB
