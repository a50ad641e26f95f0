"""Recordings: what the page in front showed, as a film.

While a session lives its pictures are only written down, to a spool on the worker's disk; so a recording costs next to nothing, and is
there whatever becomes of the browser, or of the worker: who comes for a session whose worker was killed finds its spool, on the same
machine. Spools are made into pieces of film as they grow, on half of the cores at most, at low priority; what is left of a session at its
end is done in one go, so that of sessions that end together the first has its film first.

A recording ends before the disk is full, and leaves room for its film to be kept beside its pieces. Where the disk is full all the same, what
was recorded is not lost: films are smaller than what they are made of, which goes first.

    session's directory    <number>.spool          being written, or waiting to be made into
                           <number>-<time>.mp4     pieces, with the milliseconds at which each begins, which are joined into
                           recording.mp4           what is kept, and goes with the directory
"""

import asyncio
import contextlib
import errno
import io
import os
import shutil
import threading
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import structlog

from passel.core.browser import events
from passel.core.browser.configuration import Configuration
from passel.core.browser.shelf import Shelf
from passel.core.context import Task
from passel.core.events import Draft
from passel.core.ids import OrgId, SessionId
from passel.core.text import clean
from passel.workloads.browser import video
from passel.workloads.browser.camera import Frame
from passel.workloads.browser.session import Live
from passel.workloads.browser.video import Picture

log = structlog.get_logger()

_PIECE_BYTES = 2 * 1024 * 1024
_MOST_WAITING = 64 * 1024 * 1024
_MOST_IN_MEMORY = 256 * 1024 * 1024
_SPARE_BYTES, _SPARE_PART = 256 * 1024 * 1024, 20
_LEFT_SECONDS = 24 * 3600.0
_FIRST_SECONDS = 1.0
_NICE, _MOST_AT_ONCE = 10, 4
NAME = "recording.mp4"


@dataclass(slots=True, eq=False)
class Recorder:
    """Of one session. `rate` is how many pictures a second are wanted at most, `encode` makes a spool into a piece."""

    live: Live
    directory: Path
    rate: float
    encode: Callable[[Path, tuple[int, int]], "asyncio.Future[None]"]
    problem: str | None = None
    told: bool = False
    """Whether the ledger knows already of the problem."""
    missed: bool = False
    _began: float = field(default_factory=time.monotonic)
    _paused_at: float | None = None
    _paused: float = 0.0
    _spool: BinaryIO | None = None
    _path: Path | None = None
    _bytes: int = 0
    _number: int = 0
    _waiting: int = 0
    _films: int = 0
    _last: Frame | None = None
    _some: asyncio.Event = field(default_factory=asyncio.Event)
    _stop: Callable[[], None] | None = None
    _encoding: set["asyncio.Future[None]"] = field(default_factory=set["asyncio.Future[None]"])

    def begin(self) -> None:
        """Raises `OSError`."""
        self.directory.mkdir(mode=0o700, parents=True)
        self._stop = self.live.camera.watch(self._seen, self.rate)

    def pause(self) -> None:
        """What is shown from now on is left out."""
        if self._paused_at is None and self._stop is not None:
            self._stands_still()
            self._paused_at = time.monotonic()

    def resume(self) -> None:
        if self._paused_at is not None:
            self._paused += time.monotonic() - self._paused_at
            self._paused_at = None
            if self._last is not None:
                self._write(self._last.jpeg)

    def end(self) -> None:
        """Nothing is written any more."""
        if self._stop is not None:
            self._stop()
            self._stop = None
            self._stands_still()
            if self._spool is not None:
                self._spool.close()

    async def first(self) -> None:
        """Also the shortest session has shown something."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0 if self.live.over.done() and self.live.over.result() == events.CRASH else _FIRST_SECONDS):
                await self._some.wait()

    async def pieces(self) -> None:
        """Until what was written is film, but for its end."""
        while self._encoding:
            await asyncio.wait(self._encoding)

    async def called(self, live: Live, asked: Mapping[str, Any]) -> Any:
        """A call of the API's: `to` is pause or resume."""
        self.pause() if asked["to"] == "pause" else self.resume()
        return {"status": "recording" if self._paused_at is None else "paused"}

    @property
    def seconds(self) -> float:
        """What the film takes so far."""
        return (self._paused_at or time.monotonic()) - self._began - self._paused

    def _seen(self, frame: Frame) -> None:
        self._last = frame
        self._some.set()
        if self._paused_at is None:
            self._write(frame.jpeg)

    def _stands_still(self) -> None:
        if self._paused_at is None and self._last is not None:
            self._write(b"")

    def _write(self, jpeg: bytes) -> None:
        if self._waiting > _MOST_WAITING:
            self.missed = True
            return
        if self.problem is not None:
            return
        try:
            if not self._has_room():
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            if self._spool is None:
                self._number += 1
                self._path = self.directory / f"{self._number:06}.spool"
                self._spool = self._path.open("wb", buffering=0)
                if not jpeg and self._last is not None:
                    jpeg = self._last.jpeg
            self._bytes += video.write(self._spool, Picture(int(self.seconds * 1000), 0, 0, jpeg))
        except OSError as error:
            self.problem, self.told = f"nothing after {self.seconds:.1f} s: {clean(error.strerror or str(error))}", True
            log.warning("a recording cannot be written", session=self.live.id, error=self.problem)
            self.live.notes.add(events.recording_failed(self.problem))
        if self._bytes > _PIECE_BYTES:
            self._turn()

    def _has_room(self) -> bool:
        """For this and its film. A part of the disk is left to others, and never more than it takes to be of use to them."""
        disk = os.statvfs(self.directory)
        spare = min(_SPARE_BYTES, disk.f_blocks * disk.f_frsize // _SPARE_PART)
        return disk.f_bavail * disk.f_frsize > spare + 2 * self._films + self._bytes + self._waiting

    def _turn(self) -> None:
        """To another spool; this one is made into film."""
        if self._spool is None or self._path is None:
            return
        spool, size = self._path, self._bytes
        self._spool.close()
        self._spool, self._path, self._bytes = None, None, 0
        self._waiting += size
        configured = self.live.configuration
        piece = self.encode(spool, (configured.width, configured.height))
        self._encoding.add(piece)

        def encoded(done: "asyncio.Future[None]") -> None:
            self._encoding.discard(done)
            self._waiting -= size
            self._films = sum(film.stat().st_size for film in self.directory.glob("*.mp4"))
            if not done.cancelled() and (error := done.exception()) is not None:  # it is tried again at the end
                log.warning("a piece of a recording was not made", session=self.live.id, error=str(error))

        piece.add_done_callback(encoded)


class Recordings:
    """Of a worker. `home` is a directory that outlives it, `rate` how many pictures a second there are at most. `missing` is what keeps
    films from being made here, if anything does."""

    def __init__(self, home: Path, shelf: Shelf, rate: float, missing: str | None = None) -> None:
        self._home, self._shelf, self._rate, self._missing = home, shelf, rate, missing
        self._threads = ThreadPoolExecutor(max(1, min(_MOST_AT_ONCE, (os.cpu_count() or 1) // 2)), "films", initializer=_be_nice)

    def sweep(self) -> None:
        """Spools that nobody has come for in a day. Blocks. Raises `OSError`."""
        self._home.mkdir(mode=0o700, parents=True, exist_ok=True)
        for directory in self._home.glob("*"):
            with contextlib.suppress(OSError):
                if time.time() - directory.stat().st_mtime > _LEFT_SECONDS:
                    shutil.rmtree(directory, ignore_errors=True)

    def close(self) -> None:
        self._threads.shutdown(wait=True, cancel_futures=True)

    @asynccontextmanager
    async def part(self, live: Live) -> AsyncGenerator[None]:
        """Of a session (`passel.workloads.browser.session.Part`)."""
        if not live.configuration.recording:
            yield
            return
        if self._missing is not None:
            live.notes.add(events.recording_failed(self._missing))
            yield
            return
        recorder = Recorder(live, self._home / live.id, self._rate, self._encode)
        try:
            recorder.begin()
        except OSError as error:
            live.notes.add(events.recording_failed(clean(error.strerror or str(error))))
            yield
            return
        live.calls["recording"] = recorder.called
        try:
            yield
            await recorder.first()
            recorder.end()
            making = asyncio.create_task(self._make_film_of(recorder))
            live.afterwards.append(lambda: self._finish(recorder, making))
        except BaseException:
            recorder.end()
            shutil.rmtree(recorder.directory, ignore_errors=True)
            raise

    def _encode(self, spool: Path, size: tuple[int, int]) -> "asyncio.Future[None]":
        return asyncio.get_running_loop().run_in_executor(self._threads, _make, spool, size)

    async def _make_film_of(self, recorder: Recorder) -> "_Made":
        """All that is left to do is one piece of work: films of sessions that end together are made one after the other, and not all at
        once at the end."""
        await recorder.pieces()
        configured = recorder.live.configuration
        return await self._make_film(recorder.directory, (configured.width, configured.height))

    def _make_film(self, directory: Path, size: tuple[int, int]) -> "asyncio.Future[_Made]":
        return asyncio.get_running_loop().run_in_executor(self._threads, _make_film, directory, size)

    async def _finish(self, recorder: Recorder, making: "asyncio.Task[_Made]") -> None:
        live = recorder.live
        if recorder.missed and recorder.problem is None:
            recorder.problem = "pictures were left out: they came faster than films could be made of them"
        for draft in await self._keep(live.org_id, live.id, recorder.directory, making, recorder.problem):
            if draft.type != events.RECORDING_FAILED or not recorder.told:
                live.notes.add(draft)

    async def salvage(self, task: Task, configuration: Configuration) -> list[Draft]:
        """What is left of a session whose worker was killed, if that was on this machine. Returns what the ledger is told."""
        found, own = self._home / task.session_id, self._home / f"{task.session_id}.salvaged"
        with contextlib.suppress(OSError):  # who began this before, and was killed too, has left it under the other name
            found.rename(own)
        if not own.is_dir():
            lost = configuration.recording and self._missing is None
            return [events.recording_failed("what was recorded is not on this machine, or gone")] if lost else []
        return await self._keep(task.org_id, task.session_id, own, self._make_film(own, (configuration.width, configuration.height)), None)

    async def _keep(
        self, org_id: OrgId, session_id: SessionId, directory: Path, making: "Awaitable[_Made]", problem: str | None
    ) -> list[Draft]:
        """The film that is made, and nothing of what it was made of."""
        told: list[Draft] = []
        try:
            seconds, lacks = await making
            if seconds is not None:
                kept = await self._shelf.keep(org_id, session_id, NAME, directory / NAME)
                told.append(events.recorded(kept.id, kept.size, seconds))
            problem = problem or lacks or (None if told else "nothing was shown")
        except Exception as error:  # whatever it is, the session ends as it would have
            log.warning("a recording is lost", session=session_id, exc_info=error)
            problem = problem or _said(error)
        finally:
            await asyncio.to_thread(shutil.rmtree, directory, ignore_errors=True)
        return [*told, events.recording_failed(problem)] if problem is not None else told


class _Made(NamedTuple):
    """`seconds` that the film takes, None where there is none; `problem` says what is missing of it."""

    seconds: float | None
    problem: str | None


def _make_film(directory: Path, size: tuple[int, int]) -> _Made:
    """Of what is left of spools, and of pieces."""
    problem = None
    for spool in sorted(directory.glob("*.spool")):
        try:
            _make(spool, size)
        except Exception as error:  # the others are of use without it
            problem = _said(error)
    return _Made(_join(directory, directory / NAME), problem)


def _said(error: Exception) -> str:
    return clean(getattr(error, "strerror", None) or str(error))


def _be_nice() -> None:
    os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)


def _make(spool: Path, size: tuple[int, int]) -> None:
    """A piece is whole or not there. It is smaller than its spool, which makes room for it where there is none."""
    made = io.BytesIO()
    at = video.encode(spool, made, size)
    if at is None:
        spool.unlink()
        return
    part = spool.with_suffix(".part")
    try:
        part.write_bytes(made.getbuffer())
    except OSError:
        part.unlink(missing_ok=True)
        spool.unlink()
        part.write_bytes(made.getbuffer())
    part.rename(spool.with_name(f"{spool.stem}-{at}.mp4"))
    spool.unlink(missing_ok=True)


def _join(directory: Path, film: Path) -> float | None:
    """Returns how many seconds the film takes; None where there is none. Its pieces make room for it where there is none."""
    pieces = [video.Piece(piece, int(piece.stem.partition("-")[2])) for piece in sorted(directory.glob("*-*.mp4"))]
    if not pieces:
        return None
    try:
        video.join(pieces, film)
    except OSError:
        film.unlink(missing_ok=True)
        if sum(piece.film.stat().st_size for piece in pieces) > _MOST_IN_MEMORY:
            raise
        whole = io.BytesIO()
        video.join(pieces, whole)
        for piece in pieces:
            piece.film.unlink()
        film.write_bytes(whole.getbuffer())
    return video.seconds(film)
