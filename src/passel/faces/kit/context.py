"""What every route works with: the use cases' dependencies, and who is calling. They are coroutines, since FastAPI sends
plain functions to threads."""

from typing import Annotated

from fastapi import Depends, Request

from passel.faces.kit.auth import Authenticator
from passel.models.embedding import Embedder
from passel.services.agents.answering import Answering
from passel.services.deps import Caller, Deps
from passel.services.firehose import Firehose
from passel.services.following import Following


async def _current_deps(request: Request) -> Deps:
    return request.app.state.deps


async def _current_caller(request: Request) -> Caller:
    """The caller that `RequireKey` has identified."""
    return request.state.caller


async def _current_authenticator(request: Request) -> Authenticator:
    return request.app.state.authenticator


async def _current_following(request: Request) -> Following:
    return request.app.state.following


async def _current_firehose(request: Request) -> Firehose:
    return request.app.state.firehose


async def _current_answering(request: Request) -> Answering:
    return request.app.state.answering


async def _current_embedder(request: Request) -> Embedder:
    return request.app.state.embedder


DepsIn = Annotated[Deps, Depends(_current_deps)]
CallerIn = Annotated[Caller, Depends(_current_caller)]
AnsweringIn = Annotated[Answering, Depends(_current_answering)]
FollowingIn = Annotated[Following, Depends(_current_following)]
EmbedderIn = Annotated[Embedder, Depends(_current_embedder)]
FirehoseIn = Annotated[Firehose, Depends(_current_firehose)]
AuthenticatorIn = Annotated[Authenticator, Depends(_current_authenticator)]


def base_url(request: Request, deps: Deps) -> str:
    """How the client reaches this server, without a slash at the end."""
    return (deps.public_url or str(request.base_url)).rstrip("/")
