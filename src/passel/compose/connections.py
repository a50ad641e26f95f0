"""Connections of the API's clients."""

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from passel.faces.kit.sse import BREAK_OFF


class Connection(HttpToolsProtocol):
    """A response can break it off. Closing waits until what was written has been sent, and a client that takes nothing would
    keep its connection, and what was written to it, for ever."""

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = {BREAK_OFF: {"now": self.transport.abort}}
