"""Files of a session on its machine: what its browser downloads is kept, what is uploaded lies where pages are given it from.

The directories belong to the browser's account, which may do with them what it likes; so a file is opened by its name alone, in a
directory that was opened before, and nothing that is a link is followed: a server that runs as root would open anything.
"""

import asyncio
import contextlib
import os
import stat
import time
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine, Generator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import structlog

from passel.core.browser import events
from passel.core.browser.shelf import Kept, Shelf
from passel.core.text import clean
from passel.workloads.browser.mux import CommandFailed, Gone, Message
from passel.workloads.browser.session import Live

log = structlog.get_logger()

_END_SECONDS = 30.0
_LONGEST_URL = 4096


class Unfit(Exception):
    """A file that is not taken; the message says why."""


@dataclass(slots=True)
class _Begun:
    url: str
    origin: str
    page: str
    name: str
    at: float
    received: int = 0


@dataclass(slots=True, eq=False)
class Downloads:
    """Of one session. `most` are the bytes that it may keep in all."""

    live: Live
    shelf: Shelf
    most: int
    _begun: dict[str, _Begun] = field(default_factory=dict[str, _Begun])
    _keeping: set[asyncio.Task[None]] = field(default_factory=set[asyncio.Task[None]])
    _kept: int = 0

    def told(self, message: Message) -> None:
        """Of every download, whoever made the page that began it: clients name files and set events as they like."""
        params = message["params"]
        if message["method"] == "Browser.downloadWillBegin":
            if params["guid"] not in self._begun:
                tab = self.live.tabs.find(params.get("frameId", "")) or self.live.tabs.front
                page, origin = (tab.id, tab.url) if tab else ("", "")
                self._begun[params["guid"]] = _Begun(params["url"], origin, page, params["suggestedFilename"], time.monotonic())
        elif params["state"] == "completed" and (begun := self._begun.pop(params["guid"], None)) is not None:
            self._go_on(self._keep(params, begun))
        elif params["state"] == "canceled":
            self._begun.pop(params["guid"], None)
        elif (begun := self._begun.get(params["guid"])) is not None:
            begun.received = int(params["receivedBytes"])
            if self._kept + sum(one.received for one in self._begun.values()) > self.most:
                del self._begun[params["guid"]]
                self.live.notes.add(events.download_failed(clean(begun.name), self._too_much()))
                self._go_on(self._cancel(params["guid"], begun.page))

    async def finish(self) -> None:
        if self._keeping:
            await asyncio.wait(self._keeping, timeout=_END_SECONDS)
        for begun in self._begun.values():
            self.live.notes.add(events.download_failed(clean(begun.name), "the session ended before it was complete"))

    def _go_on(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._keeping.add(task)
        task.add_done_callback(self._keeping.discard)

    def _too_much(self) -> str:
        return f"a session keeps at most {self.most} bytes of downloads"

    async def _cancel(self, guid: str, page: str) -> None:
        """It would fill the disk. The default context is the one that is not named."""
        driver = self.live.tabs.driver
        with contextlib.suppress(Gone):
            for context in [*await self._contexts(page), {}]:
                with contextlib.suppress(CommandFailed):
                    await driver.call("Browser.cancelDownload", {"guid": guid, **context})
                    break

    async def _contexts(self, page: str) -> list[dict[str, str]]:
        with contextlib.suppress(CommandFailed):
            told = (await self.live.tabs.driver.call("Target.getTargetInfo", {"targetId": page}))["targetInfo"]
            return [{"browserContextId": told["browserContextId"]}]
        return []

    async def _keep(self, params: Mapping[str, Any], begun: _Begun) -> None:
        took = time.monotonic() - begun.at
        name = clean(begun.name)
        try:
            kept = await self._store(params, begun)
        except (OSError, Unfit) as error:
            self.live.notes.add(events.download_failed(name, clean(getattr(error, "strerror", None) or str(error))))
            return
        except Exception as error:
            log.warning("a download is lost", session=self.live.id, exc_info=error)
            self.live.notes.add(events.download_failed(name, clean(str(error))))
            return
        url, origin = clean(begun.url)[:_LONGEST_URL], clean(begun.origin)[:_LONGEST_URL]
        self.live.notes.add(events.downloaded(kept.id, url, origin, name, kept.name, round(took * 1000), kept.size))
        if self.live.configuration.p2p_download:
            told = {
                "localDownloadId": params["guid"],
                "suggestedFilename": begun.name,
                "url": begun.url,
                "originUrl": begun.origin,
                "size": kept.size,
                "duration": round(took * 1000),
                "p2pDownloadUrl": f"/v1/sessions/{self.live.id}/downloads/{kept.id}/fetch",
            }
            self.live.chromium.mux.say(begun.page, "Anchor.downloadReady", told)

    async def _store(self, params: Mapping[str, Any], begun: _Begun) -> Kept:
        """Whether the file has its own name or that of the download is a client's choice (D34)."""
        names = [Path(params["filePath"]).name] if params.get("filePath") else [params["guid"], Path(begun.name).name]
        with _opened(self.live.chromium.directory / "downloads", names) as (path, size):
            if self._kept + size > self.most:
                raise Unfit(self._too_much())
            self._kept += size
            return await self.shelf.keep(self.live.org_id, self.live.id, begun.name, path)


@contextlib.contextmanager
def _opened(directory: Path, names: list[str]) -> Generator[tuple[Path, int]]:
    """The first of the names that there is, by a path that stays what it is; the browser's own copy is gone afterwards. Raises
    `OSError` and `Unfit`."""
    inside = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fd, name = _open(inside, names)
        try:
            found = os.fstat(fd)
            if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1:
                raise Unfit("it is no file of its own")
            yield Path(f"/proc/self/fd/{fd}"), found.st_size
        finally:
            _remove(inside, name, fd)
            os.close(fd)
    finally:
        os.close(inside)


def _open(inside: int, names: list[str]) -> tuple[int, str]:
    for name in names:
        with contextlib.suppress(FileNotFoundError):
            return os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=inside), name
    raise Unfit("the browser has not left it where downloads are")


def _remove(inside: int, name: str, fd: int) -> None:
    """Unless a later download has taken the name."""
    with contextlib.suppress(OSError):
        if os.path.samestat(os.stat(name, dir_fd=inside, follow_symlinks=False), os.fstat(fd)):
            os.unlink(name, dir_fd=inside)


def downloads(shelf: Shelf, most: int) -> Any:
    """A part of sessions (`passel.workloads.browser.session.Part`)."""

    @asynccontextmanager
    async def part(live: Live) -> AsyncGenerator[None]:
        keeping = Downloads(live, shelf, most)
        live.chromium.mux.tap("Browser.download", keeping.told)
        try:
            yield
        finally:
            await keeping.finish()

    return part


async def receive(live: Live, name: str, parts: AsyncIterator[bytes]) -> int:
    """An uploaded file, whose name is one that `passel.core.browser.guard` takes for an uploaded one. One of the same name is replaced.
    Returns its size. Raises `OSError`."""
    size = 0
    inside = os.open(live.chromium.directory / "uploads", os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        owner = os.fstat(inside)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name, dir_fd=inside)
        fd = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600, dir_fd=inside)
        try:
            if os.getuid() == 0:
                os.fchown(fd, owner.st_uid, owner.st_gid)
            async for part in parts:
                size += await asyncio.to_thread(_write_all, fd, part)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(name, dir_fd=inside)
            raise
        finally:
            os.close(fd)
    finally:
        os.close(inside)
    live.notes.add(events.uploaded(name, size))
    return size


def _write_all(fd: int, data: bytes) -> int:
    left = memoryview(data)
    while left:
        left = left[os.write(fd, left) :]
    return len(data)
