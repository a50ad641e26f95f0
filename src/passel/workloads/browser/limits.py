"""What one browser may take of its machine. Memory and disk are looked at now and then, since nothing else can bound them everywhere;
processes and files have limits of the kernel's.

Memory is what a browser's processes have to themselves: shared pages of the program are not counted, which would be counted nine times.
"""

import asyncio
import contextlib
import os
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from passel.workloads.browser.session import Live

MIB = 1024 * 1024
_LOOK_SECONDS, _DISK_SECONDS = 1.0, 10.0


@dataclass(frozen=True, slots=True)
class Limits:
    """In bytes; 0 is without end."""

    memory: int
    disk: int

    def part(self) -> Callable[[Live], AbstractAsyncContextManager[None]]:
        """Of sessions (`passel.workloads.browser.session.Part`)."""

        @asynccontextmanager
        async def part(live: Live) -> AsyncGenerator[None]:
            watching = asyncio.create_task(self._watch(live))
            try:
                yield
            finally:
                watching.cancel()

        return part

    async def _watch(self, live: Live) -> None:
        looks = 0
        every = round(_DISK_SECONDS / _LOOK_SECONDS)
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            looks += 1
            if self.memory and memory_of(live.chromium.pid) > self.memory:
                live.fail(f"it took more memory than the {self.memory // MIB} MiB that a browser may have")
            if self.disk and looks % every == 0 and await asyncio.to_thread(disk_of, live.chromium.directory) > self.disk:
                live.fail(f"it took more disk than the {self.disk // MIB} MiB that a browser may have")


def memory_of(pid: int) -> int:
    """Bytes that a process and those that it began have to themselves. One that has ended has none."""
    return sum(_own_memory(one) for one in _family(pid))


def _family(pid: int) -> Iterator[int]:
    yield pid
    with contextlib.suppress(OSError):
        for task in os.listdir(f"/proc/{pid}/task"):  # noqa: PTH208 - once a second for each browser
            with contextlib.suppress(OSError):
                for child in Path(f"/proc/{pid}/task/{task}/children").read_text().split():
                    yield from _family(int(child))


def _own_memory(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith(("RssAnon:", "RssShmem:")))


def disk_of(directory: Path) -> int:
    """Bytes of the files below it; links are not followed."""
    found = 0
    for root, _, names in os.walk(directory):
        for name in names:
            with contextlib.suppress(OSError):
                found += os.lstat(f"{root}/{name}").st_blocks * 512
    return found
