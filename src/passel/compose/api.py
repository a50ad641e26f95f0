"""The API process."""

import asyncio
import contextlib
import signal
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import asyncpg
import structlog
import uvicorn
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, Response
from starlette.types import Scope

from passel import __version__
from passel.compose.connections import Connection
from passel.compose.ports import noted
from passel.compose.process import open_deps, raise_file_limit, settle_heap
from passel.compose.settings import Settings
from passel.core.errors import PasselError, Unavailable
from passel.faces.anchor import app as anchor
from passel.faces.anchor import errors as anchor_errors
from passel.faces.anchor.context import Readers
from passel.faces.anchor.gateway import Gateway, Upgrade
from passel.faces.anchor.routes import devtools, live
from passel.faces.check import app as check
from passel.faces.check import errors as check_errors
from passel.faces.check.rate import Buckets, RateLimit
from passel.faces.dari import app as dari
from passel.faces.kit import errors
from passel.faces.kit.auth import Authenticator, RequireKey
from passel.faces.kit.json import json_response
from passel.faces.kit.limits import BodyLimit, CleanUrl, RequestId
from passel.faces.kit.reference_page import reference_page
from passel.html import HtmlReader
from passel.models.embedding import Embedder
from passel.services.agents.answering import Answering
from passel.services.browser.reach import Reach, reaching
from passel.services.deps import PLATFORM, Deps
from passel.services.firehose import Firehose
from passel.services.following import Following
from passel.store.database import is_passing
from passel.store.schema import current_revision, newest_revision

log = structlog.get_logger()

_DATABASE_ERRORS = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError, asyncio.TimeoutError)
_SECONDS_OF_A_PAGE = 10.0
_AWAY = "the database is away or full; try again"


def build_app(deps: Deps, settings: Settings, following: Following, embedder: Embedder) -> FastAPI:
    """The application of the faces that share one, without `anchor`'s."""
    app = FastAPI(title="Passel", version=__version__, redirect_slashes=False, docs_url=None, redoc_url=None, strict_content_type=False)
    app.state.deps = deps
    app.state.authenticator = Authenticator(deps)
    app.state.following = following
    app.state.firehose = Firehose(deps.db, following.bell, settings.stream_heartbeat)
    app.state.answering = Answering(deps)
    app.state.embedder = embedder
    dari.mount(app)
    check.mount(app, settings.verification_wait)
    _mount_health(app, deps)
    _mount_front(app)
    app.add_exception_handler(PasselError, _by_face(errors.on_passel_error, check_errors.on_passel_error))
    app.add_exception_handler(RequestValidationError, errors.on_validation_error)
    app.add_exception_handler(HTTPException, _by_face(errors.on_http_error, check_errors.on_http_error))
    for away in _DATABASE_ERRORS:
        app.add_exception_handler(away, _on_database_error)
    app.add_exception_handler(Exception, _by_face(errors.on_unexpected, check_errors.on_unexpected))
    app.add_exception_handler(ClientDisconnect, errors.on_disconnect)
    document = app.openapi
    app.openapi = lambda: _complete(document()) if app.openapi_schema is None else app.openapi_schema
    app.add_middleware(BodyLimit, limit_of=partial(_body_limit, deps), refuse=_refuse)
    if settings.verification_rate:
        buckets = Buckets(settings.verification_rate, settings.verification_burst)
        app.add_middleware(RateLimit, buckets=buckets, owns=check.owns, refuse=_refuse)
    app.add_middleware(RequireKey, authenticator=app.state.authenticator, public=_is_public, scope=PLATFORM, refuse=_refuse)
    app.add_middleware(CleanUrl, refuse=_refuse)
    app.add_middleware(RequestId)
    return app


def _build_browsers(app: FastAPI, deps: Deps, settings: Settings, following: Following, reach: Reach, readers: Readers) -> FastAPI:
    """The application of `anchor`; what it says of itself is read at `app`."""
    browsers = anchor.build(deps, app.state.authenticator, following, reach, readers)
    app.state.embedding = settings.live_view_embedding
    app.include_router(live.routes)
    app.include_router(devtools.routes)
    for away in _DATABASE_ERRORS:
        browsers.add_exception_handler(away, _on_browsers_database_error)

    @app.get("/openapi/browsers.json", include_in_schema=False)
    async def document() -> Response:
        return json_response(browsers.openapi())

    @app.get("/docs/browsers", include_in_schema=False)
    async def page() -> Response:
        return HTMLResponse(reference_page(browsers.openapi(), "/openapi/browsers.json", "anchor-api-key: dari_..."))

    return browsers


async def _on_browsers_database_error(request: Request, error: Exception) -> Response:
    if is_passing(error):
        log.warning("request failed for now", path=request.url.path, error=str(error) or repr(error))
        return anchor_errors.passel_error(request.scope, Unavailable(_AWAY))
    return await anchor_errors.on_unexpected(request, error)


Handler = Callable[[Request, Exception], Awaitable[Response]]


def _by_face(of_dari: Handler, of_check: Handler) -> Handler:
    async def handle(request: Request, error: Exception) -> Response:
        return await (of_check if check.owns(request.url.path) else of_dari)(request, error)

    return handle


def _refuse(scope: Scope, error: PasselError) -> Response:
    return check_errors.passel_error(scope, error) if check.owns(scope["path"]) else errors.error_response(error)


def _complete(document: dict[str, Any]) -> dict[str, Any]:
    check.complete_openapi(document)
    return dari.complete_openapi(document)


async def _on_database_error(request: Request, error: Exception) -> Response:
    if is_passing(error):
        log.warning("request failed for now", path=request.url.path, error=str(error) or repr(error))
        return _refuse(request.scope, Unavailable(_AWAY))
    return await _by_face(errors.on_unexpected, check_errors.on_unexpected)(request, error)


def _is_public(scope: Scope) -> bool:
    return not scope["path"].startswith("/v1/") or check.is_public(scope["path"]) or dari.is_public(scope["method"], scope["path"])


def _body_limit(deps: Deps, scope: Scope) -> int | None:
    if check.owns(scope["path"]):
        return check.body_limit(scope, deps.limits)
    return dari.body_limit(scope["method"], scope["path"], deps.limits)


def _mount_health(app: FastAPI, deps: Deps) -> None:
    newest = newest_revision()

    @app.get("/healthz", tags=["health"])
    async def alive() -> Response:
        """The process answers."""
        return json_response({"status": "ok", "version": __version__})

    @app.get("/readyz", tags=["health"], responses={503: dari.RESPONSES[503]})
    async def ready() -> Response:
        """The database answers and has the newest schema."""
        try:
            async with asyncio.timeout(5), deps.db.read() as c:
                revision = await current_revision(c)
        except Exception as error:
            if not is_passing(error):
                raise
            return errors.error_response(Unavailable("the database does not answer"))
        if revision != newest:
            return errors.error_response(Unavailable(f"the schema is {revision}, this server needs {newest}: run `passel migrate`"))
        return json_response({"status": "ready", "revision": revision})


def _mount_front(app: FastAPI) -> None:
    @app.get("/", include_in_schema=False)
    async def front(request: Request) -> Response:
        """What answers here, and where to read on; or the live view that a link at the root names."""
        if (viewer := live.to_viewer(request)) is not None:
            return viewer
        return json_response(
            {"name": app.title, "version": app.version, "openapi": "/openapi.json", "docs": "/docs", "browsers": "/docs/browsers"}
        )

    @app.get("/docs", include_in_schema=False)
    async def page() -> Response:
        return HTMLResponse(reference_page(app.openapi()))


class _Server(uvicorn.Server):
    """Tells its port when it listens, and leaves signals to us."""

    def __init__(self, config: uvicorn.Config, listening: Callable[[str], None]) -> None:
        super().__init__(config)
        self._listening = listening

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            host, port = self.servers[0].sockets[0].getsockname()[:2]
            self._listening(f"http://{f'[{host}]' if ':' in host else host}:{port}")


async def run_api(settings: Settings, listening: Callable[[str], None]) -> None:
    """Serve until SIGTERM or SIGINT. `listening` is told the URL once requests are accepted."""
    raise_file_limit()
    with noted(settings) as note:
        await _serve(settings, listening, note)


async def _serve(settings: Settings, listening: Callable[[str], None], note: Path) -> None:
    async with (
        _deps(settings) as deps,
        _following(deps, settings) as following,
        contextlib.aclosing(Embedder()) as embedder,
        reaching(deps.vault) as reach,
        HtmlReader(_SECONDS_OF_A_PAGE, "markdown") as markdown,
        HtmlReader(_SECONDS_OF_A_PAGE, "pdf") as pdf,
    ):
        app = build_app(deps, settings, following, embedder)
        browsers = _build_browsers(app, deps, settings, following, reach, Readers(markdown, pdf))
        gateway = Gateway(deps, app.state.authenticator, reach, following if settings.implicit_browsers else None)
        settle_heap()
        config = uvicorn.Config(
            anchor.ByFace(app, browsers),
            host=settings.host,
            port=settings.port,
            loop="none",
            http=Connection,
            ws=type("Connected", (Upgrade,), {"gateway": gateway}),
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=10,
            lifespan="off",
        )

        def told(url: str) -> None:
            note.write_text(url.rpartition(":")[2])
            listening(url)

        server = _Server(config, told)
        loop = asyncio.get_running_loop()

        def stop() -> None:
            server.should_exit = True
            following.bell.close()  # streams would hold the server up

        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop)
        await server._serve()  # pyright: ignore[reportPrivateUsage]  # `serve` would install handlers over ours


@asynccontextmanager
async def _deps(settings: Settings) -> AsyncGenerator[Deps]:
    deps = await open_deps(settings, name="passel api", connections=20)
    try:
        yield deps
    finally:
        await deps.db.close()


@asynccontextmanager
async def _following(deps: Deps, settings: Settings) -> AsyncGenerator[Following]:
    following = Following(deps.db, settings.stream_heartbeat)
    listening = asyncio.create_task(following.bell.run())
    try:
        yield following
    finally:
        following.bell.close()
        listening.cancel()
        await asyncio.wait([listening])
