"""Following streams for as long as it takes: over restarts of the server, each event once."""

import threading
from collections.abc import Iterator
from typing import Any

from passel.cli.client import Client
from passel.cli.output import CommandError
from passel.cli.patience import Outage


def follow(client: Client, path: str, after: str | None = None, **params: Any) -> Iterator[Any]:
    """Events of a stream from behind the id `after`, as the server writes them; None now and then while there are none.
    While nothing answers it says so once and comes back with the last id that it has seen. Ends when the server ends the
    stream."""
    outage = Outage()
    while True:
        with outage.outlasted(), client.events(path, after, **params) as events:
            for event in events:
                outage.over()
                if event is not None:
                    after = event["id"]
                yield event
            return


class BatchFeed(threading.Thread):
    """Follows a batch beside whatever shows it. `counts` are those that were told last."""

    def __init__(self, client: Client, batch_id: str) -> None:
        super().__init__(daemon=True)
        self._client, self._path = client, f"/v1/session-batches/{batch_id}/stream"
        self._changed = threading.Event()
        self._error: CommandError | None = None
        self.counts: dict[str, int] = {}
        self.ended = False

    def run(self) -> None:
        try:
            for event in follow(self._client, self._path):
                if event is not None:
                    self.counts = event["counts"]
                    self._changed.set()
        except CommandError as error:
            self._error = error
        self.ended = True
        self._changed.set()

    def wait(self, seconds: float) -> bool:
        """Whether something was told within so many seconds. Raises what ended the stream."""
        told = self._changed.wait(seconds)
        self._changed.clear()
        if self._error is not None:
            raise self._error
        return told
