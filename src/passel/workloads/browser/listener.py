"""Where a worker's browsers are reached: by the API processes, never by a page or a client directly.

    GET  /{session}/cdp       a WebSocket that speaks CDP, as the client of the API sent it
    GET  /{session}/live      a WebSocket of somebody who watches (`passel.workloads.browser.viewer`)
    GET  /{session}/steps     a WebSocket that tells what becomes of its web tasks, each event of the ledger as JSON, from now on
    POST /{session}/upload    ?name=: a file that pages may be given
    POST /{session}/call      {"do": name, ...}: one of our own calls

It listens on a Unix socket, where connections of clients are handed over too, or on a port that other machines reach; who calls proves
that it knows the installation's secret.
"""

import asyncio
import hmac
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import orjson
import structlog
from aiohttp import WSCloseCode, WSMsgType, web

from passel.core.browser.events import CRASH
from passel.core.browser.guard import Leave, Refuse, Send, judge
from passel.core.browser.reach import PROOF, TCP, UNIX, handover_path
from passel.core.events import Draft
from passel.core.ids import SessionId
from passel.workloads.browser.calls import CALLS, QUIET, WrongCall
from passel.workloads.browser.control import CALLS as CONTROL
from passel.workloads.browser.files import receive
from passel.workloads.browser.handover import taking_over
from passel.workloads.browser.mux import Client, CommandFailed, Gone, Message
from passel.workloads.browser.session import Live
from passel.workloads.browser.tools import CALLS as TOOLS
from passel.workloads.browser.viewer import FASTEST, Viewer

log = structlog.get_logger()

_LARGEST_MESSAGE = 128 * 1024 * 1024
_PART = 256 * 1024
_PING_SECONDS = 30.0
_MOST_STEPS_BEHIND = 100  # the oldest are left out for who does not read; the ledger has them
_MOST_BEHIND = 256 * 1024 * 1024
"""A client that does not read what it is sent is let go at so many bytes; the browser and the others do not wait for it."""


class _Socket:
    """One client's connection. What it is told is written at once, as frames that a server does not mask (RFC 6455, 5.2): a queue and a
    task of its own would cost it a turn of the loop with each message."""

    def __init__(self, live: Live, page: str | None) -> None:
        self._live, self._page = live, page
        self._ws = web.WebSocketResponse(max_msg_size=_LARGEST_MESSAGE, compress=False, heartbeat=_PING_SECONDS)
        self._out: asyncio.Transport | None = None
        self._early: list[bytes] = []
        self._reason: str | None = None
        self._own: str | None = None
        self._closing: asyncio.Task[bool] | None = None

    async def serve(self, request: web.Request) -> web.WebSocketResponse:
        live = self._live
        client = await live.join(self._told, lambda: self._end(CRASH))
        try:
            if self._page is not None:
                self._own = await client.attach(self._page)
            await self._ws.prepare(request)
        except BaseException:
            await client.leave()
            raise
        self._begin(request.transport)
        live.timers.connected()
        live.clients.add(self._end)
        try:
            async for message in self._ws:
                if message.type is not WSMsgType.TEXT:
                    continue
                if not await self._received(client, message.data):
                    break
        finally:
            live.clients.discard(self._end)
            live.timers.disconnected()
            await (self._closing or self._ws.close())
            await client.leave()
        return self._ws

    async def _received(self, client: Client, text: str) -> bool:
        """A command. False when the client wants to go."""
        try:
            asked: Message = orjson.loads(text)
            id, method = asked["id"], asked["method"]
            given = asked.get("sessionId")
            if not isinstance(id, int) or not isinstance(method, str) or not isinstance(given, str | None):
                raise ValueError
        except (ValueError, KeyError, TypeError, AttributeError):
            self._say({"id": None, "error": {"code": -32600, "message": "a command is a JSON object with id, method and params"}})
            return True
        about = {} if given is None else {"sessionId": given}
        if given is not None and not client.owns(given):
            self._say({"id": id, "error": {"code": -32001, "message": "Session with given id not found."}, **about})
            return True
        match judge(method, asked.get("params"), self._live.place):
            case Send(params):
                client.send(id, method, params, given or self._own)
                self._live.tabs.noticed(method, params, given or self._own)
                await self._live.chromium.mux.has_room()
            case Refuse(message):
                self._say({"id": id, "error": {"code": -32000, "message": message}, **about})
            case Leave():
                self._say({"id": id, "result": {}, **about})
                return False
        return True

    def _told(self, message: Message) -> None:
        """From the browser. Who speaks to one page does so without a session, and hears nothing of what is around it."""
        if self._page is not None:
            if "sessionId" not in message or self._own is None:
                return
            if message["sessionId"] == self._own:
                del message["sessionId"]
        self._say(message)

    def _begin(self, out: asyncio.Transport | None) -> None:
        """It is a WebSocket from now on."""
        self._out = out
        if out is not None:
            out.writelines(self._early)
        self._early.clear()
        if self._reason is not None:
            self._end(self._reason)

    def _say(self, message: Message) -> None:
        frame, out = _frame(orjson.dumps(message)), self._out
        if out is None:
            self._early.append(frame)
        elif self._closing is None and not out.is_closing():  # who hung up is told nothing, and the browser goes on
            out.write(frame)
            if out.get_write_buffer_size() > _MOST_BEHIND:
                out.abort()

    def _end(self, reason: str) -> None:
        self._reason = reason
        if self._closing is None and self._out is not None:
            told = f"session ended: {reason}".encode()
            self._closing = asyncio.create_task(self._ws.close(code=WSCloseCode.GOING_AWAY, message=told))


def _frame(text: bytes) -> bytes:
    size = len(text)
    if size < 126:
        return bytes((0x81, size)) + text
    return (b"\x81\x7e" + size.to_bytes(2) if size < 1 << 16 else b"\x81\x7f" + size.to_bytes(8)) + text


class Listener:
    """`live` are the sessions that run here."""

    def __init__(self, live: Mapping[SessionId, Live], proof: str) -> None:
        self._live, self._proof = live, proof

    def app(self) -> web.Application:
        app = web.Application(client_max_size=_LARGEST_MESSAGE)
        app.router.add_get("/{session}/cdp", self._guarded(self._cdp))
        app.router.add_get("/{session}/live", self._guarded(self._watch))
        app.router.add_get("/{session}/steps", self._guarded(self._steps))
        app.router.add_post("/{session}/upload", self._guarded(self._upload))
        app.router.add_post("/{session}/call", self._guarded(self._call))
        return app

    def _guarded(
        self, handle: Callable[[web.Request, Live], Awaitable[web.StreamResponse]]
    ) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def guarded(request: web.Request) -> web.StreamResponse:
            if not hmac.compare_digest(request.headers.get(PROOF, ""), self._proof):
                return web.json_response({"error": "who are you?"}, status=403)
            live = self._live.get(SessionId(request.match_info["session"]))
            if live is None or live.over.done():
                return web.json_response({"error": "this session does not run here"}, status=410)
            try:
                return await handle(request, live)
            except Gone:
                return web.json_response({"error": "the browser has ended"}, status=410)
            except Exception:
                log.exception("a call to a browser failed", session=live.id, path=request.path)
                return web.json_response({"error": "the worker of this browser failed"}, status=500)

        return guarded

    async def _cdp(self, request: web.Request, live: Live) -> web.StreamResponse:
        try:
            return await _Socket(live, request.query.get("page")).serve(request)
        except CommandFailed as failure:
            return web.json_response({"error": failure.message}, status=404)

    async def _watch(self, request: web.Request, live: Live) -> web.StreamResponse:
        asked = request.query
        act = asked.get("act") == "1" and not live.configuration.view_only
        return await Viewer(live, act, float(asked.get("rate", FASTEST)), asked.get("page")).serve(request)

    async def _steps(self, request: web.Request, live: Live) -> web.StreamResponse:
        ws = web.WebSocketResponse(heartbeat=_PING_SECONDS)
        told: asyncio.Queue[Draft | None] = asyncio.Queue(_MOST_STEPS_BEHIND)

        def hear(draft: Draft | None) -> None:
            if told.full():
                told.get_nowait()
            told.put_nowait(draft)

        def end(reason: str) -> None:
            hear(None)

        live.steps.add(hear)
        live.viewers.add(end)
        reading: asyncio.Task[None] | None = None
        try:
            await ws.prepare(request)
            reading = asyncio.create_task(_until_closed(ws))
            reading.add_done_callback(lambda _: hear(None))
            while (draft := await told.get()) is not None:
                await ws.send_str(orjson.dumps({"type": draft.type, **draft.data}).decode())
            if not ws.closed:
                await ws.close(code=WSCloseCode.GOING_AWAY, message=b"session ended")
        except ConnectionError:
            pass  # who listened has gone
        finally:
            live.steps.discard(hear)
            live.viewers.discard(end)
            if reading is not None:
                reading.cancel()
        return ws

    async def _upload(self, request: web.Request, live: Live) -> web.StreamResponse:
        live.timers.connected()
        try:
            size = await receive(live, request.query["name"], request.content.iter_chunked(_PART))
        except OSError as error:
            return web.json_response({"error": f"the file cannot be written: {error.strerror or error}"}, status=507)
        finally:
            live.timers.disconnected()
        return web.json_response({"size": size})

    async def _call(self, request: web.Request, live: Live) -> web.StreamResponse:
        asked: dict[str, Any] = orjson.loads(await request.read())
        do = asked["do"]
        counts = do not in QUIET
        if counts:
            live.timers.connected()
        try:
            call = live.calls.get(do) or CALLS.get(do) or CONTROL.get(do) or TOOLS.get(do)
            if call is None:
                raise WrongCall(f"this session has no {do}", 404)
            result = await call(live, asked)
        except WrongCall as wrong:
            return web.json_response({"error": str(wrong)}, status=wrong.status)
        except CommandFailed as failure:
            return web.json_response({"error": failure.message}, status=400)
        finally:
            if counts:
                live.timers.disconnected()
        if isinstance(result, bytes):
            return web.Response(body=result, content_type="application/octet-stream")
        return web.Response(body=orjson.dumps(result), content_type="application/json")


async def _until_closed(ws: web.WebSocketResponse) -> None:
    """Nothing is asked here."""
    async for _ in ws:
        pass


@asynccontextmanager
async def listening(listener: Listener, path: Path, public: str | None = None) -> AsyncGenerator[str]:
    """Returns the address: of the socket at `path`, or of the host, and port, where other machines reach this one (`public`)."""
    runner = web.AppRunner(listener.app(), handle_signals=False, shutdown_timeout=1.0)
    await runner.setup()
    assert runner.server is not None
    try:
        if public is not None:
            url = urlsplit(f"//{public}")
            site = web.TCPSite(runner, url.hostname, url.port or 0)
            await site.start()
            host, port = url.hostname or "", runner.addresses[0][1]  # by its name, which may mean another address to this machine itself
            yield f"{TCP}[{host}]:{port}" if ":" in host else f"{TCP}{host}:{port}"
            return
        await web.UnixSite(runner, path).start()
        await asyncio.to_thread(path.chmod, 0o600)
        address = f"{UNIX}{path}"
        async with taking_over(handover_path(address) or "", runner.server):
            yield address
    finally:
        await runner.cleanup()
