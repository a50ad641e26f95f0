"""`passel serve`: one parent that keeps the database, the API and the workers running.

    take the data directory -> can the API listen? -> PostgreSQL -> schema -> first key -> API and workers as children
    SIGTERM: workers and API stop, then the database, which outlives everything that writes to it

A child that dies is started again, with a growing pause if it dies at once. Only an API that ends before it has ever
listened is not: what keeps it from listening is for the user to mend. The database is looked after too: when its
process is gone it is started again, and everybody reconnects.
"""

import asyncio
import contextlib
import errno
import fcntl
import os
import signal
import socket
import sys
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Protocol
from urllib.parse import urlsplit

import asyncpg
import structlog

from passel.compose.process import database_url, die_with_parent, embedded, open_deps, prepare_data_dir
from passel.compose.settings import Settings
from passel.services import accounts
from passel.services.accounts import NewKey
from passel.store.database import is_passing
from passel.store.postgres import EmbeddedPostgres
from passel.store.schema import migrate

log = structlog.get_logger()

_STOP_SECONDS = 30.0
_PORT_SECONDS = 15.0  # longer than the API of a killed `passel serve` takes to end


class CannotServe(Exception):
    """What keeps a server from starting, and what to do about it."""


class AlreadyServing(CannotServe):
    """Another `passel serve` has this data directory."""


class NoDatabase(CannotServe):
    """The database does not let us in, or is not there."""


class Announcer(Protocol):
    """Tells the user."""

    def key_made(self, key: NewKey) -> None:
        """The first key was made, on an empty database. Nobody can tell it again."""
        ...

    def ready(self, url: str) -> None:
        """The API takes requests and a worker is ready."""
        ...


@contextlib.contextmanager
def take_data_dir(settings: Settings) -> Generator[bool]:
    """Hold the data directory for this process; the kernel lets go of it even after SIGKILL. Yields whether the last
    holder ended without letting go: its children may live for some seconds yet."""
    prepare_data_dir(settings)
    path = settings.data_dir / "serve.lock"
    with path.open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            lock.seek(0)
            holder = lock.read().strip() or "unknown"
            raise AlreadyServing(
                f"`passel serve` runs already on {settings.data_dir} (pid {holder}): stop it, or choose another --data-dir"
            ) from error
        was_killed = lock.tell() > 0
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        try:
            yield was_killed
        finally:
            lock.truncate(0)


async def require_address(settings: Settings, patience: float = 0) -> None:
    """Raises `CannotServe` when the API could not listen where the settings say, after `patience` seconds if the port
    is merely in use: before anything is made that would have to be told."""
    loop = asyncio.get_running_loop()
    deadline, told = loop.time() + patience, False
    while True:
        try:
            server = await loop.create_server(asyncio.Protocol, settings.host, settings.port)
        except OSError as error:
            if error.errno != errno.EADDRINUSE or loop.time() >= deadline:
                raise CannotServe(_why_not_listen(settings, error)) from error
            if not told:
                told = True
                log.warning("the last server was killed and its port is in use still: waiting for it", port=settings.port, seconds=patience)
            await asyncio.sleep(0.2)
        else:
            server.close()
            return


def _why_not_listen(settings: Settings, error: OSError) -> str:
    host, port = settings.host, settings.port
    if error.errno == errno.EADDRINUSE:
        return f"port {port} of {host} is in use: choose another with --port (0 takes any free one), or stop what listens there"
    if error.errno == errno.EADDRNOTAVAIL or isinstance(error, socket.gaierror):
        return f"--host {host} is no address of this machine: 127.0.0.1 is for this machine only, 0.0.0.0 for all its networks"
    if error.errno == errno.EACCES:
        return f"port {port} is not open to this user: choose one above 1023 with --port"
    return f"the API cannot listen on {host}, port {port}: {error.strerror or error}"


@contextlib.contextmanager
def reaching_database(settings: Settings) -> Generator[None]:
    """Raises `NoDatabase` in place of what connecting raises."""
    try:
        yield
    except Exception as error:
        if not (is_passing(error) or isinstance(error, asyncpg.PostgresError | asyncpg.InterfaceError)):
            raise
        reason = str(error).splitlines()[0] if str(error) else "it took too long" if isinstance(error, TimeoutError) else repr(error)
        raise NoDatabase(f"no database answers at {_database_place(settings)}: {reason}") from error


def _database_place(settings: Settings) -> str:
    """Without the password."""
    if not settings.database_url:
        return f"the server in {settings.data_dir / 'postgres'}"
    with contextlib.suppress(ValueError):
        url = urlsplit(settings.database_url)
        if url.hostname:
            return f"DATABASE_URL ({url.hostname}:{url.port or 5432}{url.path})"
    return "DATABASE_URL"


@dataclass
class _Child:
    """One process that is kept alive, while `go_on` agrees. One that dies before it was ready is started again after a
    growing pause; one that was ready at once, since others wait for what it had in its hands."""

    name: str
    command: list[str]
    environment: dict[str, str]
    on_line: Callable[[str], None] | None = None
    go_on: Callable[[], bool] = lambda: True
    given_up: bool = False
    process: asyncio.subprocess.Process | None = None
    stopping: bool = False
    _failures: int = field(default=0, repr=False)
    _was_ready: bool = field(default=False, repr=False)

    async def keep(self) -> None:
        while not self.stopping:
            self._was_ready = False
            try:
                await self._run_once()
            except (OSError, ValueError) as error:  # no process could be made, or a line of its output is endless
                log.error("a process could not be run", process=self.name, error=str(error))
                self.kill()
            if self.stopping:
                return
            if not self.go_on():
                self.given_up = True
                return
            code = self.process.returncode if self.process else None
            self._failures = 0 if self._was_ready else self._failures + 1
            pause = min(0.1 * 2**self._failures, 10.0)
            log.warning("a process ended and is started again", process=self.name, code=code, pause=pause)
            await asyncio.sleep(pause)

    async def _run_once(self) -> None:
        self.process = await asyncio.create_subprocess_exec(
            *self.command,
            env=self.environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            start_new_session=True,  # Ctrl-C reaches the parent only, which stops things in order
            preexec_fn=die_with_parent,
        )
        if self.stopping:  # said while it was being made
            self.process.terminate()
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            said = line.decode().strip()
            self._was_ready = self._was_ready or said.startswith(("ready", "listening "))
            if self.on_line:
                self.on_line(said)
        await self.process.wait()

    def stop(self) -> None:
        self.stopping = True
        if self.process and self.process.returncode is None:
            self.process.terminate()

    def kill(self) -> None:
        if self.process and self.process.returncode is None:
            self.process.kill()


async def serve(settings: Settings, announcer: Announcer) -> None:
    """Run everything until SIGTERM or SIGINT. Raises `CannotServe`."""
    with take_data_dir(settings) as was_killed:
        await require_address(settings, _PORT_SECONDS if was_killed else 0)
        server = embedded(settings)
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        if server:
            await asyncio.to_thread(server.start)
        try:
            with reaching_database(settings):
                await migrate(database_url(settings))
                key = await first_key(settings)
            if key:
                announcer.key_made(key)
            await _run_children(settings, server, announcer, stop)
        finally:
            if server:
                await asyncio.to_thread(server.stop)


async def first_key(settings: Settings) -> NewKey | None:
    deps = await open_deps(settings, name="passel serve", connections=2)
    try:
        return await accounts.ensure_first_key(deps, settings.api_key.get_secret_value() if settings.api_key else None)
    finally:
        await deps.db.close()


async def _run_children(settings: Settings, server: EmbeddedPostgres | None, announcer: Announcer, stop: asyncio.Event) -> None:
    environment = {**os.environ, **settings.environment(), "PASSEL_SUPERVISED": "1"}
    readiness = _Readiness(announcer, needs_worker=settings.workers > 0)

    def on_line(line: str) -> None:
        if line.startswith("listening ") and readiness.url is None:
            url = line.removeprefix("listening ")
            # a restarted API must come back at the same port, also when any free one was asked for
            api.environment["PASSEL_PORT"] = url.rsplit(":", 1)[1]
            readiness.api_listens(url)

    def go_on() -> bool:
        if readiness.url is None:
            stop.set()
        return readiness.url is not None

    program = [sys.executable, "-m", "passel"]
    api = _Child("api", [*program, "api"], environment, on_line, go_on)
    workers = [_Child(f"worker {n}", [*program, "worker"], environment, readiness.worker_says) for n in range(1, settings.workers + 1)]
    children = [api, *workers]
    keeping = [asyncio.create_task(child.keep()) for child in children]
    if server:
        keeping.append(asyncio.create_task(_keep_database(server, stop)))
    await stop.wait()
    for child in children:
        child.stop()
    _, late = await asyncio.wait(keeping, timeout=_STOP_SECONDS + settings.drain_seconds)
    for child in children:
        child.kill()
    if late:
        await asyncio.wait(late, timeout=5)
    if api.given_up:
        raise CannotServe("the API ended before it listened: its last words are above")


@dataclass
class _Readiness:
    """Tells the user once, when the API takes requests and a worker can do the work."""

    announcer: Announcer
    needs_worker: bool
    url: str | None = None
    _told: bool = False

    def api_listens(self, url: str) -> None:
        self.url = url
        self._tell()

    def worker_says(self, line: str) -> None:
        if line == "ready":
            self.needs_worker = False
            self._tell()

    def _tell(self) -> None:
        if self.url is not None and not self.needs_worker and not self._told:
            self._told = True
            self.announcer.ready(self.url)


async def _keep_database(server: EmbeddedPostgres, stop: asyncio.Event) -> None:
    while not stop.is_set():
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), 0.5)
        if not stop.is_set() and server.postmaster() is None:
            log.warning("the database has ended and is started again")
            try:
                await asyncio.to_thread(server.start)
            except Exception as error:
                log.error("the database does not start", error=str(error))
