"""A limit on bodies that are read into memory, and an id for each request."""

import secrets
from collections.abc import Callable

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from passel.core.errors import Invalid, TooLarge
from passel.faces.kit.errors import Refuse


class BodyLimit:
    """Refuses bodies over a limit, by their announced length or as they come in. `limit_of` gives the limit of a
    request; None for routes that stream their body and count for themselves."""

    def __init__(self, app: ASGIApp, limit_of: Callable[[Scope], int | None], refuse: Refuse) -> None:
        self._app, self._limit_of, self._refuse = app, limit_of, refuse

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        limit = self._limit_of(scope) if scope["type"] == "http" else None
        if limit is None:
            await self._app(scope, receive, send)
            return
        sentence = f"a body may have {limit} bytes here"
        announced = next((v for k, v in scope["headers"] if k == b"content-length"), b"0")
        if announced.isdigit() and int(announced) > limit:
            await self._refuse(scope, TooLarge(sentence))(scope, receive, send)
            return
        taken = 0

        async def limited() -> Message:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            if taken > limit:
                # an HTTPException, since FastAPI turns every other one into a 400 while it reads a body
                raise HTTPException(413, sentence)
            return message

        await self._app(scope, limited, send)


class CleanUrl:
    """Refuses URLs with a NUL character, which no id, name or filter can hold."""

    def __init__(self, app: ASGIApp, refuse: Refuse) -> None:
        self._app, self._refuse = app, refuse

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and ("\x00" in scope["path"] or b"%00" in scope["query_string"]):
            await self._refuse(scope, Invalid("the URL holds a NUL character: remove %00"))(scope, receive, send)
            return
        await self._app(scope, receive, send)


class RequestId:
    """Adds `X-Request-Id` to every answer; a client's own is kept."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = next((v for k, v in scope["headers"] if k == b"x-request-id"), b"")
        request_id = given[:128] if given.isascii() and given else b"req_" + secrets.token_hex(8).encode()
        scope.setdefault("state", {})["request_id"] = request_id.decode()

        async def tagged(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"x-request-id", request_id)]
            await send(message)

        await self._app(scope, receive, tagged)


def request_id(scope: Scope) -> str:
    """The id that `RequestId` has given to a request."""
    return scope["state"]["request_id"]
