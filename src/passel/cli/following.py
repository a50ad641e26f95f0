"""Following streams for as long as it takes: over restarts of the server, each event once."""

import threading
import time
from collections.abc import Generator
from typing import Any

from passel.cli.client import Client
from passel.cli.output import CommandError
from passel.cli.patience import Outage

_PAUSE = 1.0


def follow(client: Client, path: str, after: str | None = None, **params: Any) -> Generator[Any]:
    """The `data` of a stream's events from behind the id `after`; None now and then while there are none, and where the
    stream of an organisation begins. While nothing answers it says so once and comes back with the last id that it has
    seen. Ends when the server says that there will never be more."""
    outage = Outage()
    while True:
        with outage.outlasted(), client.events(path, after, **params) as events:
            if events is None:
                return
            heard = False
            for event in events:
                heard = True
                outage.over()
                after = event.id or after
                yield event.data
            if not heard:
                time.sleep(_PAUSE)


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
