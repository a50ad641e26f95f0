"""Starting Chromium: where it is, as which account, with which flags; and ending it without leaving anything."""

import asyncio
import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from passel.workloads.browser import homes, namespaces
from passel.workloads.browser import keeper as program
from passel.workloads.browser.finishing import finish
from passel.workloads.browser.homes import Home
from passel.workloads.browser.mux import CommandFailed, Gone, Multiplexer

_NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome", "chrome")
_BEHIND_WRAPPERS = ("/usr/lib/chromium/chromium", "/usr/lib/chromium-browser/chromium-browser")
"""What Debian's and Ubuntu's wrappers start: they take long, and add flags of their own."""

_END_SECONDS = 5.0
_FLAGS = (
    "--headless=new",
    "--test-type=webdriver",  # no bar about flags, which would take room of the page; ChromeDriver starts all browsers so
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-default-apps",
    "--disable-gpu",
    "--disable-quic",
    "--disable-breakpad",
    "--disable-crash-reporter",
    "--metrics-recording-only",
    "--password-store=basic",
    "--use-mock-keychain",
    "--disable-dev-shm-usage",
    "--disable-features=Translate,MediaRouter,OptimizationHints,AcceptCHFrame,DialMediaRouteProvider",
    "--disable-ipc-flooding-protection",
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",  # no name is looked up but by the way out
    "--lang=en-US",
    "--remote-debugging-pipe",
)


class CannotStart(Exception):
    """A browser did not start; the message says why."""


def find(wanted: str | None = None) -> str | None:
    """The program, by its path or by the usual names; None where there is none."""
    if wanted:
        return wanted if os.access(wanted, os.X_OK) else None
    for path in _BEHIND_WRAPPERS:
        if os.access(path, os.X_OK):
            return path
    return next((found for name in _NAMES if (found := shutil.which(name))), None)


_FIRST_UID, _UIDS = 2_100_000_000, 1000
MOST_TASKS = 4096
"""Processes and threads of a browser that has an account of its own. One with a page has about two hundred."""


Prepare = Callable[[Path], Awaitable[Mapping[str, Any]]]
"""Puts into the directory of a browser what is there before it starts, and returns the preferences of its profile."""


class Accounts:
    """As whom browsers run: where we are root, as somebody of their own each, who owns nothing else. No two workers of a machine have the
    same: what is left of a browser is found by its account, and ended. A block of them is held by a name that the kernel gives once, and
    takes back when neither the worker nor its keeper lives."""

    def __init__(self) -> None:
        self._held: socket.socket | None = None
        self._first = 0
        if os.getuid() == 0:
            self._held, self._first = _hold_accounts()

    @property
    def held(self) -> tuple[int, ...]:
        """What the keeper holds too."""
        return () if self._held is None else (self._held.fileno(),)

    def uid(self, slot: int) -> int:
        """Raises `CannotStart` where there are no more."""
        if self._held is None:
            return os.getuid()
        if slot >= _UIDS:
            raise CannotStart(f"one worker runs at most {_UIDS} browsers")
        return self._first + slot

    @property
    def limits(self) -> dict[str, int]:
        """What can be bounded by account."""
        return {} if self._held is None else {"RLIMIT_NPROC": MOST_TASKS}

    def close(self) -> None:
        if self._held is not None:
            self._held.close()


def _hold_accounts() -> tuple[socket.socket, int]:
    for block in range((2**32 - _FIRST_UID) // _UIDS - 1):
        held = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            held.bind(f"\0passel-browser-accounts-{block}")
        except OSError:
            held.close()
        else:
            return held, _FIRST_UID + block * _UIDS
    raise CannotStart("no accounts are left for browsers")


class Ended(NamedTuple):
    """How a browser's process ended: its exit code, or less than 0 for a signal; and the last of what it said on its error stream."""

    status: int
    errors: str

    def __str__(self) -> str:
        return f"signal {-self.status}" if self.status < 0 else f"exit code {self.status}"

    @property
    def last_line(self) -> str:
        """Of what it died of; it tells of its stack after that."""
        lines = [line for line in self.errors.splitlines() if "FATAL" in line] or self.errors.splitlines()
        return lines[-1].strip()[:300] if lines else ""


@dataclass(slots=True)
class Chromium:
    """A browser that runs. `directory` is its own, with profile, downloads and uploads in it, and goes with it."""

    id: str
    directory: Path
    pid: int
    mux: Multiplexer
    ended: "asyncio.Future[Ended]" = field(repr=False)
    kill: Callable[[], None] = field(repr=False)

    def keep(self) -> None:
        """Its directory stays when it has ended, until `remove`. It goes all the same when the worker is gone. Raises `OSError`."""
        self._mark.touch()

    async def remove(self) -> None:
        """Its directory, also where it was kept until now."""
        await asyncio.to_thread(shutil.rmtree, self.directory, ignore_errors=True)
        self._mark.unlink(missing_ok=True)

    @property
    def _mark(self) -> Path:
        return Path(f"{self.directory}.keep")

    def broke(self) -> CannotStart:
        """Why it could not start, of one that has ended. What it said itself is of use where it ended by itself."""
        ended = self.ended.result()
        said = ended.last_line if ended.status > 0 else ""
        return CannotStart(f"the browser ended while it started ({ended}{': ' if said else ''}{said})")

    async def close(self) -> None:
        """End it as a user would, so that cookies are kept; by force where that takes too long."""
        with contextlib.suppress(Gone, CommandFailed, TimeoutError):
            async with asyncio.timeout(_END_SECONDS):
                await self.mux.call("Browser.close")
                await asyncio.shield(self.ended)
        await self.end()

    async def end(self) -> None:
        """By force, with all that belongs to it."""
        if not self.ended.done():
            self.kill()
        await asyncio.shield(self.ended)
        self.mux.close()
        if not self._mark.exists():  # a keeper that was killed has not removed it
            await self.remove()


class Keeper:
    """The process that keeps this worker's browsers (`passel.workloads.browser.keeper`), as the worker sees it."""

    def __init__(self, executable: str, home: Home, accounts: Accounts) -> None:
        self._executable, self._home, self._accounts = executable, home, accounts
        self._waiting: dict[str, asyncio.Future[int]] = {}
        self._ended: dict[str, asyncio.Future[Ended]] = {}
        self._slots: set[int] = set()
        self._unsent: deque[tuple[bytes, tuple[int, ...]]] = deque()
        self._gone = True
        self._opening = asyncio.Lock()

    async def open(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        os.set_inheritable(theirs.fileno(), True)
        command = [sys.executable, "-I", "-S", program.__file__, str(theirs.fileno()), str(self._home.path)]
        self._process = subprocess.Popen(  # noqa: ASYNC220 - returns when the program has begun
            command,
            pass_fds=(theirs.fileno(), self._home.held, *self._accounts.held),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )
        theirs.close()
        ours.setblocking(False)
        self._socket, self._gone = ours, False
        asyncio.get_running_loop().add_reader(ours.fileno(), self._read)

    async def close(self) -> None:
        """Ends all browsers with it."""
        self._lose()
        await asyncio.to_thread(self._process.wait)

    async def start(
        self,
        id: str,
        flags: Sequence[str],
        prepare: Prepare,
        limits: Mapping[str, int],
        lost: Callable[[], None],
        *,
        streams_only: bool = False,
    ) -> Chromium:
        """`limits` by the names of `resource`. No UDP leaves it where the machine lets us see to that; with `streams_only` it does not start where
        not. `lost` is told when the browser has gone. Raises
        `CannotStart`."""
        slot = next(n for n in range(len(self._slots) + 1) if n not in self._slots)
        self._slots.add(slot)
        uid = self._accounts.uid(slot)
        directory = Path(tempfile.mkdtemp(prefix="b", dir=self._home.path))
        try:
            preferences = await prepare(directory)
            await finish(asyncio.to_thread(_furnish, directory, preferences, None if os.getuid() else uid))
            await self._be_there()
        except BaseException:
            self._slots.discard(slot)
            shutil.rmtree(directory, ignore_errors=True)
            raise
        commands, send = os.pipe()
        receive, answers = os.pipe()
        errors = os.open(directory / "errors", os.O_WRONLY | os.O_CREAT, 0o600)
        loop = asyncio.get_running_loop()
        self._waiting[id], ended = loop.create_future(), loop.create_future()
        self._ended[id] = ended
        asked = {
            "start": id,
            "argv": [self._executable, *_FLAGS, f"--user-data-dir={directory}/profile", *flags, "about:blank"],
            "env": {"HOME": str(directory), "TMPDIR": str(directory / "tmp"), "PATH": os.environ.get("PATH", ""), "LANG": "C.UTF-8"},
            "uid": uid,
            "gid": uid if os.getuid() == 0 else os.getgid(),
            "directory": str(directory),
            "limits": {**limits, **self._accounts.limits},
            "streams_only": streams_only,
            "lowered": namespaces.what_opens() is None,
        }
        self._tell(asked, commands, answers, errors)
        ended.add_done_callback(lambda _: self._slots.discard(slot))
        mux = Multiplexer(lost)
        try:
            pid = await self._waiting[id]
        except BaseException as error:
            os.close(receive)
            os.close(send)
            if isinstance(error, CannotStart):
                shutil.rmtree(directory, ignore_errors=True)
            else:
                self._kill(id)  # nobody waits for it any more
            raise
        try:
            await mux.open(receive, send)
        except BaseException:
            self._kill(id)
            mux.close()
            raise
        return Chromium(id, directory, pid, mux, ended, lambda: self._kill(id))

    async def _be_there(self) -> None:
        """Make another one where it has gone."""
        async with self._opening:
            if self._gone:
                await finish(asyncio.to_thread(self._process.wait))
                await finish(asyncio.to_thread(homes.end_processes, self._home.path))
                await self.open()

    def _kill(self, id: str) -> None:
        self._tell({"kill": id})

    def _tell(self, asked: Mapping[str, Any], *fds: int) -> None:
        """In order. What there is no room for waits: the keeper of many browsers may be busy. File descriptors go with it."""
        if self._gone:
            _close(fds)  # and its browsers have gone with it
            return
        self._unsent.append((json.dumps(asked).encode(), fds))
        if len(self._unsent) == 1:
            self._send()

    def _send(self) -> None:
        loop = asyncio.get_running_loop()
        while self._unsent:
            data, fds = self._unsent[0]
            try:
                socket.send_fds(self._socket, [data], fds)
            except BlockingIOError:
                loop.add_writer(self._socket.fileno(), self._send)
                return
            except OSError:
                self._lose()
                return
            self._unsent.popleft()
            _close(fds)
        loop.remove_writer(self._socket.fileno())

    def _lose(self) -> None:
        """The keeper has gone, and its browsers with it. Another one is made with the next start."""
        if self._gone:
            return
        self._gone = True
        for forget in (asyncio.get_running_loop().remove_reader, asyncio.get_running_loop().remove_writer):
            forget(self._socket.fileno())
        self._socket.close()
        while self._unsent:
            _close(self._unsent.popleft()[1])
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(CannotStart("the process that starts browsers has ended"))
        for ended in self._ended.values():
            ended.set_result(Ended(-signal.SIGKILL, ""))
        self._waiting.clear()
        self._ended.clear()

    def _read(self) -> None:
        try:
            data = self._socket.recv(64 * 1024)
        except BlockingIOError:
            return
        except ConnectionError:
            data = b""
        if not data:
            self._lose()
            return
        told = json.loads(data)
        if "started" in told or "refused" in told:
            waiting = self._waiting.pop(told.get("started") or told["refused"])
            if "refused" in told:
                self._ended.pop(told["refused"]).set_result(Ended(0, ""))
            if waiting.done():
                return
            if "refused" in told:
                waiting.set_exception(CannotStart(told["error"]))
            else:
                waiting.set_result(told["pid"])
        elif (ended := self._ended.pop(told["ended"], None)) is not None:
            ended.set_result(Ended(told["status"], told["errors"]))


def _close(fds: Iterable[int]) -> None:
    for fd in fds:
        os.close(fd)


def _furnish(directory: Path, preferences: Mapping[str, Any], owner: int | None) -> None:
    for name in ("profile", "profile/Default", "downloads", "uploads", "tmp"):
        (directory / name).mkdir(mode=0o700, exist_ok=True)
    path = directory / "profile/Default/Preferences"
    path.unlink(missing_ok=True)
    if preferences:
        path.write_text(json.dumps(preferences))
    if owner is not None:
        for path in (directory, *directory.rglob("*")):
            os.chown(path, owner, owner)


@asynccontextmanager
async def keeping(executable: str, place: Path | None) -> AsyncGenerator[tuple[Keeper, Home]]:
    """Browsers of a worker, whose files are at `place` while they run. What dead workers have left there is cleared away first. Raises
    `OSError` and `CannotStart`."""
    await asyncio.to_thread(homes.sweep, place)
    accounts = Accounts()
    home = homes.make(place)
    keeper = Keeper(executable, home, accounts)
    try:
        await keeper.open()
        try:
            yield keeper, home
        finally:
            await keeper.close()
    finally:
        await asyncio.to_thread(homes.end_processes, home.path)  # a keeper that was killed has ended none
        home.close()
        accounts.close()
