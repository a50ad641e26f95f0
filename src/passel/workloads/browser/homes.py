"""Where browsers of a worker keep their files, and what becomes of it when the worker is dead.

A home is somebody's as long as a file in it is locked. The worker holds that lock and its keeper does too, so the kernel lets go of it when
neither lives, however they went. What a home tells of its browsers is enough to end those that are left: each is a session of processes
(setsid), whose first one was written down before it became a browser.

    home    owner           locked, and says in which life of the machine, or of the container, it was made
            listen          the worker's socket
            b…              directories of browsers
            b….session      the first process of each, when it began, and the account of all of them
            b….keep         its directory stays when it has ended
"""

import contextlib
import fcntl
import json
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import structlog

from passel.workloads.browser import keeper

log = structlog.get_logger()

_PREFIX, _OWNER = "pb", "owner"
_END_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Home:
    """`held` is the open file whose lock says that it is somebody's; a keeper is given it too."""

    path: Path
    held: int

    def close(self) -> None:
        """It goes, with all that is in it."""
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self.held)


def make(place: Path | None) -> Home:
    """A directory that others may pass through: browsers of a root's server run as somebody else. Its path is short, since Chromium puts
    sockets below it (D33). Raises `OSError`."""
    while True:
        path = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=place))
        path.chmod(0o711)
        held = os.open(path / _OWNER, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        fcntl.flock(held, fcntl.LOCK_EX)
        os.write(held, _life().encode())
        if _is_there(path, held):
            return Home(path, held)
        os.close(held)  # a sweep came between


def sweep(place: Path | None) -> None:
    """End and remove what dead workers of this account have left at `place`. Blocks."""
    for path in Path(place or tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):
            _sweep(path)


def end_processes(home: Path) -> bool:
    """Those of a home whose keeper is dead. False where some do not end. Blocks."""
    deadline = time.monotonic() + _END_SECONDS
    while left := [pid for record in home.glob("*.session") for pid in _left_of(record)]:
        if time.monotonic() > deadline:
            return False
        for pid in left:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.01)
    for record in home.glob("*.session"):
        record.unlink(missing_ok=True)
    return True


def _sweep(path: Path) -> None:
    """Raises `OSError` where it is not one of ours."""
    if path.is_symlink() or path.stat().st_uid != os.getuid():
        return
    held = os.open(path / _OWNER, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not _is_there(path, held):
            return
        of_this_life = os.read(held, 1000).decode() == _life()
        if of_this_life and not end_processes(path):
            log.warning("processes of a dead worker's browsers do not end", directory=str(path))
            return
        shutil.rmtree(path, ignore_errors=True)
        log.info("a dead worker's browsers were removed", directory=str(path))
    finally:
        os.close(held)


def _is_there(path: Path, held: int) -> bool:
    try:
        return os.path.samestat((path / _OWNER).lstat(), os.fstat(held))
    except FileNotFoundError:
        return False


def _left_of(record: Path) -> Iterator[int]:
    """Processes of a browser: of its account those of its session, and those that name its directory, since its crash handlers make
    sessions of their own."""
    try:
        told = json.loads(record.read_text())
    except (OSError, ValueError):
        return  # it is written before there is a browser
    directory, session = str(record.with_suffix("")).encode(), _session(told)
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            stat = keeper.Stat.of(process)
            if stat.state == "Z" or keeper.account(process) != told["uid"]:
                continue
            if stat.session == session or directory in (process / "cmdline").read_bytes():
                yield int(process.name)


def _session(told: dict[str, int]) -> int | None:
    """None where its number is another process's by now: it is not given again while a session has it."""
    with contextlib.suppress(OSError):
        if keeper.Stat.of(Path(f"/proc/{told['pid']}")).started != told["started"]:
            return None
    return told["pid"]


def _life() -> str:
    """The machine's since it was started, and that of what our process numbers are counted in: a container's ends with it."""
    told = ""
    with contextlib.suppress(OSError):
        told = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        told += f" {keeper.Stat.of(Path('/proc/1')).started}"
    return told
