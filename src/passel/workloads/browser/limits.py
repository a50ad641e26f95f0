"""What one browser may take of its machine. Memory and disk are looked at now and then, since nothing else can bound them everywhere.

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
_NEAR_SECONDS, _FAR_SECONDS, _DISK_SECONDS = 0.25, 2.0, 10.0
_LOOKS_A_FAMILY = 3
_NO_LIMIT = 2**60  # what the first cgroups say where there is none is some such number


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
        """A browser that is far from its limit is looked at less often."""
        memory, disk_due = Memory(live.chromium.pid), 0.0
        loop = asyncio.get_running_loop()
        pause = _NEAR_SECONDS
        while True:
            await asyncio.sleep(pause)
            if self.memory:
                taken = memory.taken()
                pause = max(_NEAR_SECONDS, _FAR_SECONDS * (1 - 2 * taken / self.memory))
                if taken > self.memory:
                    live.fail(f"it took more memory than the {self.memory // MIB} MiB that a browser may have")
            if self.disk and loop.time() > disk_due:
                disk_due = loop.time() + _DISK_SECONDS
                if await asyncio.to_thread(disk_of, live.chromium.directory) > self.disk:
                    live.fail(f"it took more disk than the {self.disk // MIB} MiB that a browser may have")


class Memory:
    """Of a process and those that it began, which are looked for now and then: to look for them takes longer than to ask them. What their
    first threads have begun is seen at once: new pages come from there."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._family: list[int] = []
        self._looks = 0

    def taken(self) -> int:
        """Bytes that they have to themselves. Memory that they share with each other is counted once."""
        if self._looks % _LOOKS_A_FAMILY == 0:
            self._family = list(family(self._pid))
        else:
            self._family = list(dict.fromkeys(one for pid in self._family for one in (pid, *_forked(pid))))
        self._looks += 1
        own, shared = 0, 0
        for pid in self._family:
            anonymous, with_others = _memory(pid)
            own, shared = own + anonymous, max(shared, with_others)
        return own + shared


def _forked(pid: int) -> list[int]:
    """What the first thread of a process has begun."""
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def family(pid: int) -> Iterator[int]:
    """A process and those that it began, and so on."""
    yield pid
    with contextlib.suppress(OSError):
        for task in os.listdir(f"/proc/{pid}/task"):  # noqa: PTH208 - of many browsers, and often
            with contextlib.suppress(OSError):
                for child in Path(f"/proc/{pid}/task/{task}/children").read_text().split():
                    yield from family(int(child))


def _memory(pid: int) -> tuple[int, int]:
    """Bytes of its own, and shared. Of a process that has ended none."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0, 0
    found = {line.partition(":")[0]: int(line.split()[1]) * 1024 for line in lines if line.startswith(("RssAnon:", "RssShmem:"))}
    return found.get("RssAnon", 0), found.get("RssShmem", 0)


def disk_of(directory: Path) -> int:
    """Bytes of the files below it; links are not followed."""
    found = 0
    for root, _, names in os.walk(directory):
        for name in names:
            with contextlib.suppress(OSError):
                found += os.lstat(f"{root}/{name}").st_blocks * 512
    return found


def memory_from_outside(cgroups: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")) -> int | None:
    """Bytes that this process and all that it begins may take, by the tightest limit of a container, a unit or the like; None where there
    is none."""
    found: list[int] = []
    with contextlib.suppress(OSError):
        for line in own.read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers not in ("", "memory"):
                continue
            root, name = (cgroups, "memory.max") if not controllers else (cgroups / controllers, "memory.limit_in_bytes")
            here = Path(path.lstrip("/"))
            found += [limit for each in (here, *here.parents) if (limit := _limit(root / each / name)) is not None]
    return min(found, default=None)


def _limit(file: Path) -> int | None:
    try:
        text = file.read_text().strip()
    except OSError:
        return None
    return int(text) if text.isdecimal() and int(text) < _NO_LIMIT else None
