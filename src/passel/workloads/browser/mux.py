"""Many clients of one browser, over its one pipe.

Each client has a browser session of its own (`Target.attachToBrowserTarget`), so what one client attaches to, creates and
disposes of is its own, and goes with it. To the browser all of them are one client: ids of commands are given out here and given
back, and a session's messages go to the client that owns it.

    client              multiplexer                                    browser
    {id 7, method}  ->  {id 1042, method, sessionId: the client's}  ->
    {id 7, result}  <-  {id 1042, result, sessionId: the client's}  <-

Our own parts (live view, recorder, OS control, tools) are clients like any other.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import orjson

from passel.workloads.browser.pipe import Pipe

Message = dict[str, Any]
Sink = Callable[[Message], None]


class Gone(Exception):
    """The browser is not there any more."""


class CommandFailed(Exception):
    """The browser refused a command. `code` is that of JSON-RPC."""

    def __init__(self, method: str, code: int, message: str) -> None:
        super().__init__(f"{method}: {message}")
        self.code, self.message = code, message


def settle(method: str, answer: "asyncio.Future[Any]", message: Message) -> None:
    """What a command came to."""
    if answer.done():
        return
    if "error" in message:
        answer.set_exception(CommandFailed(method, message["error"].get("code", 0), message["error"].get("message", "")))
    else:
        answer.set_result(message.get("result", {}))


class _Asked(NamedTuple):
    """Whose command it is, and the id that it has there."""

    client: "Client"
    id: Any


class Client:
    """One client. What the browser has for it goes to `sink`, in order; `gone` is told when there is no browser any more."""

    def __init__(self, mux: "Multiplexer", session_id: str, sink: Sink, gone: Callable[[], None]) -> None:
        self._mux, self.session_id, self._sink, self.gone = mux, session_id, sink, gone
        self.sessions = {session_id}
        self.left = False

    def owns(self, session_id: str) -> bool:
        return session_id in self.sessions

    def send(self, id: Any, method: str, params: Any, session_id: str | None) -> None:
        """A command, for a session of the client's own, or for the browser."""
        self._mux.send(self, id, method, params, session_id or self.session_id)

    def told(self, message: Message) -> None:
        if message.get("sessionId") == self.session_id:
            del message["sessionId"]
        self._sink(message)

    async def attach(self, target_id: str) -> str:
        """The session of a target, for a client that speaks to that alone. Raises `CommandFailed`."""
        answer = await self._mux.call_in(self.session_id, "Target.attachToTarget", {"targetId": target_id, "flatten": True})
        self._mux.own(self, answer["sessionId"])
        return answer["sessionId"]

    async def leave(self) -> None:
        await self._mux.leave(self)


class Multiplexer:
    """Of one browser. `lost` is told once when it has gone."""

    def __init__(self, lost: Callable[[], None]) -> None:
        self._lost = lost
        self._pipe = Pipe(self._received, self._closed)
        self._next = 0
        self._asked: dict[int, _Asked] = {}
        self._own: dict[int, tuple[str, asyncio.Future[Any]]] = {}
        self._owners: dict[str, Client] = {}
        self._targets: dict[str, str] = {}
        self._taps: list[tuple[str, Sink]] = []
        self._gone = False

    async def open(self, reads: int, writes: int) -> None:
        await self._pipe.open(reads, writes)

    async def call(self, method: str, params: Mapping[str, Any] | None = None) -> Any:
        """A command of the multiplexer's own, to the browser. Raises `CommandFailed` and `Gone`."""
        return await self._call({"method": method, "params": params or {}})

    async def call_in(self, session_id: str, method: str, params: Mapping[str, Any]) -> Any:
        """In a session. Raises `CommandFailed` and `Gone`."""
        return await self._call({"method": method, "params": params, "sessionId": session_id})

    async def _call(self, message: Message) -> Any:
        if self._gone:
            raise Gone
        self._next += 1
        answer = asyncio.get_running_loop().create_future()
        self._own[self._next] = message["method"], answer
        self._write({"id": self._next, **message})
        return await answer

    async def join(self, sink: Sink, gone: Callable[[], None] = lambda: None) -> Client:
        """A new client. Raises `Gone`."""
        answer = await self.call("Target.attachToBrowserTarget")
        client = Client(self, answer["sessionId"], sink, gone)
        self._owners[client.session_id] = client
        return client

    async def leave(self, client: Client) -> None:
        """What the client had attached to, and contexts that are disposed on detach, go with it."""
        client.left = True
        for session_id in client.sessions:
            self._owners.pop(session_id, None)
            self._targets.pop(session_id, None)
        if not self._gone:
            try:
                await self.call("Target.detachFromTarget", {"sessionId": client.session_id})
            except (CommandFailed, Gone):
                return

    def send(self, client: Client, id: Any, method: str, params: Any, session_id: str) -> None:
        self._next += 1
        self._asked[self._next] = _Asked(client, id)
        message: Message = {"id": self._next, "method": method, "sessionId": session_id}
        if params is not None:
            message["params"] = params
        self._write(message)

    async def has_room(self) -> None:
        await self._pipe.has_room()

    def close(self) -> None:
        self._pipe.close()

    def _write(self, message: Message) -> None:
        self._pipe.send(orjson.dumps(message))

    def _received(self, data: bytes) -> None:
        message: Message = orjson.loads(data)
        if "id" in message:
            self._answered(message)
        else:
            self._happened(message)

    def _answered(self, message: Message) -> None:
        number = message["id"]
        if (own := self._own.pop(number, None)) is not None:
            settle(*own, message)
            return
        asked = self._asked.pop(number, None)
        if asked is None or asked.client.left:
            return
        result = message.get("result")
        if result and (attached := result.get("sessionId")) is not None:
            self.own(asked.client, attached)
        message["id"] = asked.id
        asked.client.told(message)

    def _happened(self, message: Message) -> None:
        session_id = message.get("sessionId")
        if session_id is None:
            return
        client = self._owners.get(session_id)
        if client is None:
            return
        method = message["method"]
        for prefix, heard in self._taps:
            if method.startswith(prefix):
                heard(message)
        if method == "Target.attachedToTarget":
            attached = message["params"]
            self.own(client, attached["sessionId"])
            self._targets[attached["sessionId"]] = attached["targetInfo"]["targetId"]
        elif method == "Target.detachedFromTarget":
            gone = message["params"]["sessionId"]
            self._owners.pop(gone, None)
            self._targets.pop(gone, None)
            client.sessions.discard(gone)
        client.told(message)

    def own(self, client: Client, session_id: str) -> None:
        client.sessions.add(session_id)
        self._owners[session_id] = client

    def tap(self, prefix: str, heard: Sink) -> None:
        """Hear of all events whose names begin so, whichever client they are for; one may come more than once."""
        self._taps.append((prefix, heard))

    def say(self, target_id: str, method: str, params: Mapping[str, Any]) -> None:
        """An event of our own, to each session that clients have with a target."""
        for session_id, target in list(self._targets.items()):
            if target == target_id and (client := self._owners.get(session_id)) is not None:
                client.told({"method": method, "params": dict(params), "sessionId": session_id})

    def target_of(self, session_id: str) -> str | None:
        return self._targets.get(session_id)

    def _closed(self) -> None:
        self._gone = True
        for client in set(self._owners.values()):
            client.gone()
        for _, answer in self._own.values():
            if not answer.done():
                answer.set_exception(Gone())
        self._own.clear()
        self._asked.clear()
        self._lost()
