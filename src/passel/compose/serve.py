"""`passel serve`: one parent that keeps the database, the API and the workers running.

    take the data directory -> PostgreSQL -> schema -> first key -> API and workers as child processes
    SIGTERM: workers and API stop, then the database, which outlives everything that writes to it

A child that dies is started again, with a growing pause if it dies at once. The database is looked after too: when
its process is gone it is started again, and everybody reconnects.
"""

import asyncio
import contextlib
import fcntl
import os
import signal
import sys
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from passel.compose.process import database_url, die_with_parent, embedded, open_deps, prepare_data_dir
from passel.compose.settings import Settings
from passel.services import accounts
from passel.services.accounts import NewKey
from passel.store.postgres import EmbeddedPostgres
from passel.store.schema import migrate

log = structlog.get_logger()

_STOP_SECONDS = 30.0


class AlreadyServing(Exception):
    """Another `passel serve` has this data directory."""


@dataclass(frozen=True, slots=True)
class Started:
    """What the user is told. `key` is there only when it was made now."""

    url: str
    key: NewKey | None
    data_dir: Path


@contextlib.contextmanager
def take_data_dir(settings: Settings) -> Generator[None]:
    """Hold the data directory for this process; the kernel lets go of it even after SIGKILL."""
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
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


@dataclass
class _Child:
    """One process that is kept alive."""

    name: str
    command: list[str]
    environment: dict[str, str]
    on_line: Callable[[str], None] | None = None
    process: asyncio.subprocess.Process | None = None
    stopping: bool = False
    _failures: int = field(default=0, repr=False)

    async def keep(self) -> None:
        loop = asyncio.get_running_loop()
        while not self.stopping:
            started = loop.time()
            try:
                await self._run_once()
            except (OSError, ValueError) as error:  # no process could be made, or a line of its output is endless
                log.error("a process could not be run", process=self.name, error=str(error))
                self.kill()
            if self.stopping:
                return
            code = self.process.returncode if self.process else None
            self._failures = self._failures + 1 if loop.time() - started < 10 else 0
            pause = min(0.2 * 2**self._failures, 10.0)
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
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            if self.on_line:
                self.on_line(line.decode().strip())
        await self.process.wait()

    def stop(self) -> None:
        self.stopping = True
        if self.process and self.process.returncode is None:
            self.process.terminate()

    def kill(self) -> None:
        if self.process and self.process.returncode is None:
            self.process.kill()


async def serve(settings: Settings, announce: Callable[[Started], None]) -> None:
    """Run everything until SIGTERM or SIGINT. Raises `AlreadyServing` when the data directory is taken."""
    with take_data_dir(settings):
        server = embedded(settings)
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        if server:
            await asyncio.to_thread(server.start)
        try:
            await migrate(database_url(settings))
            key = await first_key(settings)
            await _run_children(settings, server, key, announce, stop)
        finally:
            if server:
                await asyncio.to_thread(server.stop)


async def first_key(settings: Settings) -> NewKey | None:
    deps = await open_deps(settings, name="passel serve", connections=2)
    try:
        return await accounts.ensure_first_key(deps, settings.api_key.get_secret_value() if settings.api_key else None)
    finally:
        await deps.db.close()


async def _run_children(
    settings: Settings, server: EmbeddedPostgres | None, key: NewKey | None, announce: Callable[[Started], None], stop: asyncio.Event
) -> None:
    environment = {**os.environ, **settings.environment(), "PASSEL_SUPERVISED": "1"}
    told = asyncio.Event()

    def on_line(line: str) -> None:
        if line.startswith("listening ") and not told.is_set():
            told.set()
            url = line.removeprefix("listening ")
            # a restarted API must come back at the same port, also when any free one was asked for
            api.environment["PASSEL_PORT"] = url.rsplit(":", 1)[1]
            announce(Started(url, key, settings.data_dir))

    program = [sys.executable, "-m", "passel"]
    api = _Child("api", [*program, "api"], environment, on_line)
    children = [api, *(_Child(f"worker {n}", [*program, "worker"], environment) for n in range(1, settings.workers + 1))]
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
