"""Taking in the items of a batch: checked one after the other, kept until the second pass builds rows from them.

Many items are kept in a temporary file, so their number costs no memory and nothing is waited for inside the
transaction that writes them. Secrets are sealed before they touch it.
"""

import asyncio
import errno
import hashlib
import tempfile
from collections.abc import AsyncIterable, Generator, Iterator, Sequence
from contextlib import contextmanager
from typing import Generic

from passel.core.errors import Unavailable, Unprocessable
from passel.services.planning import Planner, R

_IN_MEMORY = 4 * 1024 * 1024


class Intake(Generic[R]):
    """`count` items so far; `digest` recognises the same request (SHA-256 of its items in their order, in
    hexadecimal)."""

    def __init__(self, planner: Planner[R]) -> None:
        self._planner = planner
        self._spool = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY, prefix="passel-batch-")  # noqa: SIM115 - closed by `close`
        self._digest = hashlib.sha256()
        self.count = 0

    async def take_all(self, groups: AsyncIterable[Sequence[R]]) -> None:
        """Take items in as they come. Raises what `take` raises, and `Unprocessable` when there are none."""
        async for group in groups:
            await self.take(group)
            await asyncio.sleep(0)  # other requests have their turn between groups
        if self.count == 0:
            raise Unprocessable("items must hold at least one item", field="items")

    async def take(self, items: Sequence[R]) -> None:
        """Raises what the planner's `learn` raises, and `Unavailable` when the disk has no room."""
        for item in items:
            await self._planner.learn(self.count, item)
            line = self._planner.pack(item)
            self._digest.update(self._planner.identity(item, line))
            with _disk_may_be_full():
                self._spool.write(line)
            self.count += 1

    def items(self) -> Iterator[R]:
        """Everything once more, in order."""
        self._spool.seek(0)
        return map(self._planner.unpack, self._spool)

    @property
    def digest(self) -> str:
        return self._digest.hexdigest()

    def close(self) -> None:
        self._spool.close()

    def __enter__(self) -> "Intake[R]":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@contextmanager
def _disk_may_be_full() -> Generator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise
        raise Unavailable("the server's disk has no room to take the batch in") from error
