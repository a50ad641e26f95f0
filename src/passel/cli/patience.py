"""Outlasting a server that does not answer: it is said once, and tried again for as long as it takes."""

import contextlib
import time
from collections.abc import Callable, Generator
from typing import TypeVar

from passel.cli.client import Away
from passel.cli.output import note

_AWAY_SECONDS = 1.0

T = TypeVar("T")


class Outage:
    """Whether the server is away just now, and since when."""

    def __init__(self) -> None:
        self._since: float | None = None

    @contextlib.contextmanager
    def outlasted(self) -> Generator[None]:
        """Swallows `Away` after a pause; the caller tries again."""
        try:
            yield
        except Away as error:
            if self._since is None:
                self._since = time.monotonic()
                note(f"{error}\nTrying again until it answers. Ctrl-C ends this command, not the work.")
            time.sleep(_AWAY_SECONDS)

    def over(self) -> None:
        """The server has answered."""
        if self._since is not None:
            note(f"The server answers again, after {time.monotonic() - self._since:.0f} s.")
            self._since = None


def until_answered(ask: Callable[[], T]) -> T:
    """Ask again for as long as nothing answers."""
    outage = Outage()
    while True:
        with outage.outlasted():
            answer = ask()
            outage.over()
            return answer
