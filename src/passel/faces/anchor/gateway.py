"""The gateway: WebSockets of clients that drive a browser, on the API's own port (4.4 of the `anchor` contract).

A client's upgrade is looked at here, refused with a true status where it has to be, and else handed on to the worker that the browser
runs on, whose listener speaks WebSocket with the client and knows what may be asked (`passel.core.browser.guard`). A worker of this
machine is given the connection itself; to one of another machine bytes go through as they are, both ways.

    GET /?apiKey=K&sessionId=S      GET /?token=T&sessionId=S      GET /?token=M (minted)      GET /devtools/page/{target}?...
    GET /?apiKey=K (a new session: D20)      GET /devtools/browser/{anything}?...
    GET /ws?sessionId=S&... (steps of web tasks)
    GET /live/{session}/socket?token=T      GET /live/socket?token=M      GET /v1/sessions/{session}/live?token=T
"""

import asyncio
import contextlib
import json
import re
from collections.abc import Callable, Mapping
from typing import Any, cast
from urllib.parse import parse_qs, unquote, urlencode, urlsplit

import httptools
import structlog

from passel.core.errors import Invalid, PasselError, Unauthenticated, Unavailable
from passel.faces.anchor.errors import headers_of, status_of
from passel.faces.anchor.ids import session_id as own_id
from passel.faces.anchor.ids import to_uuid
from passel.faces.anchor.requests import session_request
from passel.faces.kit.auth import Authenticator
from passel.services.browser import access, sessions
from passel.services.browser.access import Admitted, Given
from passel.services.browser.reach import Reach
from passel.services.deps import Caller, Deps
from passel.services.following import Following

log = structlog.get_logger()

_HIGH_WATER = 4 * 1024 * 1024
_REASONS = {
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    409: "Gone",
    410: "Gone",
    429: "Too Many Requests",
    503: "Service Unavailable",
}
_LIVE = re.compile(r"/live/(?:(?P<session>[^/]+)/)?socket|/v1/sessions/(?P<named>[^/]+)/live")
_STEPS = "/ws"
_ASKED = {"pageId": "page", "rate": "rate"}
_HANDED_ON = (b"upgrade", b"connection", b"sec-websocket-key", b"sec-websocket-version", b"sec-websocket-extensions", b"user-agent")


class Gateway:
    """Who may connect, and where to."""

    def __init__(self, deps: Deps, authenticator: Authenticator, reach: Reach, following: Following | None) -> None:
        """Without `following`, a client has to name its session."""
        self._deps, self._authenticator, self._reach, self._following = deps, authenticator, reach, following

    async def open(self, upgrade: "Upgrade", target: bytes, headers: list[tuple[bytes, bytes]]) -> asyncio.Transport | None:
        """Hand the upgrade on to the worker. Returns the way there, None where the worker has the connection itself. Raises `PasselError`
        and `OSError`."""
        url = urlsplit(target.decode("latin-1"))
        query = {name: values[-1] for name, values in parse_qs(url.query).items()}
        live = _LIVE.fullmatch(url.path)
        if live and (named := live["session"] or live["named"]):
            query["sessionId"] = named
        if live:
            _check_rate(query.get("rate", "1"))
        given = dict(headers)
        made = None
        if live is None and "sessionId" not in query and "token" not in query and not _names_a_session(url.path):
            made = await self._make(upgrade, query, given)
            query["sessionId"] = to_uuid(made.id)
        admitted = await self._admit(query, given, access.LIVE if live else access.CDP)
        found = admitted.found
        if live:
            asked = {"act": int(admitted.act)} | {name: query[given] for given, name in _ASKED.items() if given in query}
            path = f"/{found.id}/live?{urlencode(asked)}"
        elif url.path == _STEPS:
            path = f"/{found.id}/steps"
        else:
            _, devtools, page = url.path.rpartition("/devtools/page/")
            path = f"/{found.id}/cdp" + (f"?{urlencode({'page': page})}" if devtools else "")
        lines = [f"GET {path} HTTP/1.1".encode(), b"Host: worker"]
        lines += [name + b": " + value for name, value in headers if name in _HANDED_ON]
        lines += [f"{name}: {value}".encode() for name, value in self._reach.headers().items()]
        head = b"\r\n".join([*lines, b"", b""])
        if upgrade.hand_over(lambda client, read: self._reach.hand_over(admitted.address, client, head + read)):
            return None
        try:
            way = await self._reach.connect(admitted.address, _Way(upgrade))
        except OSError:
            if made is not None:
                await sessions.end(self._deps, await self._caller(query, given), self._reach, made.id)
            raise
        way.write(head)
        return way

    async def _admit(self, query: dict[str, str], headers: dict[bytes, bytes], wanted: str) -> Admitted:
        caller = await self._caller(query, headers) if _key(query, headers) else None
        given = query.get("sessionId")
        if given is None and "token" not in query:
            raise Unauthenticated("sessionId or token is missing")
        org_id = None if caller is None else caller.org_id
        id = None if given is None else own_id(unquote(given))
        return await access.admit(self._deps, Given(org_id, id, query.get("token")), wanted)

    async def _caller(self, query: dict[str, str], headers: dict[bytes, bytes]) -> Caller:
        return await self._authenticator.identify(f"Bearer {_key(query, headers)}")

    async def _make(self, upgrade: "Upgrade", query: dict[str, str], headers: dict[bytes, bytes]) -> sessions.BrowserSession:
        """A session with all its defaults, for a client that names none; it ends as idle once nobody is connected (D20). An upgrade that
        comes to nothing leaves none behind."""
        if not _key(query, headers) or self._following is None:
            raise Unauthenticated("sessionId or token is missing")
        if b"sec-websocket-key" not in headers or headers.get(b"sec-websocket-version") != b"13":
            raise Invalid("this is no upgrade to a WebSocket of version 13")
        caller = await self._caller(query, headers)
        made = (await sessions.create(self._deps, caller, session_request({}, filters=self._deps.browser_filters))).session
        found = await sessions.wait_ready(self._deps, caller, self._following, made.id)
        if found.address is None or upgrade.gone:
            await sessions.end(self._deps, caller, self._reach, made.id)
            raise Unavailable(found.message.error or "no browser was free in time")
        return found


def _names_a_session(path: str) -> bool:
    """Who comes there wants one that is there."""
    return "/devtools/page/" in path or path == _STEPS


def _key(query: dict[str, str], headers: dict[bytes, bytes]) -> str:
    return query.get("apiKey") or headers.get(b"anchor-api-key", b"").decode("latin-1")


def _check_rate(given: str) -> None:
    """Before anybody is admitted, which may use up a link."""
    try:
        float(given)
    except ValueError:
        raise Invalid("rate: must be a number of pictures a second") from None


class Upgrade(asyncio.Protocol):
    """A client's connection, from the moment when it wants to be a WebSocket. Made by the HTTP server with `config`, `server_state` and
    `app_state`; the application's state has the gateway."""

    gateway: Gateway

    def __init__(self, config: Any, server_state: Any, app_state: Any) -> None:
        self._connections: set[Any] = server_state.connections
        self._transport: asyncio.Transport | None = None
        self._way: asyncio.Transport | None = None
        self._waiting: list[bytes] = []
        self._opening: asyncio.Task[None] | None = None
        self._head = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by name
        self._connections.add(self)

    def data_received(self, data: bytes) -> None:
        if not self._head:
            self._head = True
            reader = _Head()
            parser = httptools.HttpRequestParser(reader)
            with contextlib.suppress(httptools.HttpParserUpgrade):
                parser.feed_data(data)
            self._opening = asyncio.create_task(self._open(reader))
        elif self._way is None:
            self._waiting.append(data)
        else:
            self._way.write(data)

    async def _open(self, head: "_Head") -> None:
        try:
            way = await self.gateway.open(self, head.url, head.headers)
        except PasselError as failed:
            status = 410 if isinstance(failed, sessions.Ended) else status_of(failed)
            self._refuse(status, failed.message, headers_of(failed))
        except (OSError, TimeoutError) as failed:
            log.warning("a worker does not answer", error=str(failed))
            self._refuse(503, "the worker of this browser does not answer")
        except Exception:
            log.exception("an upgrade failed")
            self._refuse(500, "internal error")
        else:
            if way is None:
                return
            if self._transport is None or self._transport.is_closing():
                way.close()
                return
            way.set_write_buffer_limits(high=_HIGH_WATER)
            self._transport.set_write_buffer_limits(high=_HIGH_WATER)
            self._way = way
            for data in self._waiting:
                way.write(data)
            self._waiting.clear()

    def _refuse(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> None:
        if self._transport is None:
            return
        body = json.dumps({"error": {"code": status, "message": message}, "message": message}).encode()
        head = f"HTTP/1.1 {status} {_REASONS.get(status, 'Error')}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        head += "".join(f"{name}: {value}\r\n" for name, value in (headers or {}).items())
        self._transport.write(head.encode() + b"Connection: close\r\n\r\n" + body)
        self._transport.close()

    def hand_over(self, give: Callable[[int, bytes], bool]) -> bool:
        """Give the connection away: `give` takes its file descriptor and what was read since the head, and says whether it did. One that
        is encrypted here, or that is still being answered, stays."""
        transport = self._transport
        if transport is None or transport.get_extra_info("sslcontext") or transport.get_write_buffer_size():
            return False
        transport.pause_reading()
        if not give(transport.get_extra_info("socket").fileno(), b"".join(self._waiting)):
            transport.resume_reading()
            return False
        transport.abort()  # closes what is open here alone
        return True

    @property
    def gone(self) -> bool:
        return self._transport is None or self._transport.is_closing()

    def send(self, data: bytes) -> None:
        """From the worker."""
        if self._transport is not None:
            self._transport.write(data)

    def worker_gone(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def pause_writing(self) -> None:
        if self._way is not None:
            self._way.pause_reading()

    def resume_writing(self) -> None:
        if self._way is not None and not self._way.is_closing():
            self._way.resume_reading()

    def pause_reading(self) -> None:
        if self._transport is not None:
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        self._connections.discard(self)
        self._transport = None
        if self._way is not None:
            self._way.close()

    def shutdown(self) -> None:
        """The API ends: the session lives on, and its client connects again."""
        if self._transport is not None:
            self._transport.close()


class _Way(asyncio.Protocol):
    """The connection to the worker."""

    def __init__(self, upgrade: Upgrade) -> None:
        self._upgrade = upgrade

    def data_received(self, data: bytes) -> None:
        self._upgrade.send(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._upgrade.worker_gone()

    def pause_writing(self) -> None:
        self._upgrade.pause_reading()

    def resume_writing(self) -> None:
        self._upgrade.resume_reading()


class _Head:
    """What the parser finds."""

    def __init__(self) -> None:
        self.url = b""
        self.headers: list[tuple[bytes, bytes]] = []

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value))
