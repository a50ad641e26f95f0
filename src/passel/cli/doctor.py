"""`passel doctor`: what this host can and cannot do, and how to mend it.

What `passel serve` will do is done, not judged from outside: a throw-away database is made and started beside the data
directory, as the account that `serve` would use, and the API's address is bound for a moment.
"""

import asyncio
import contextlib
import fcntl
import importlib.util
import os
import platform
import resource
import secrets
import shutil
import socket
import sys
import time
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import asyncpg
import typer

from passel.cli.output import print_json, stdout
from passel.cli.server import DataDir, load_settings
from passel.compose.kinds import KINDS, lacks_films
from passel.compose.settings import Settings
from passel.models.local import PACKAGED
from passel.store.postgres import EmbeddedPostgres, PostgresError
from passel.store.postgres_account import nearest_existing
from passel.workloads.browser.chromium import MOST_TASKS
from passel.workloads.browser.chromium import find as find_chromium
from passel.workloads.browser.limits import MIB, memory_from_outside
from passel.workloads.browser.namespaces import what_opens
from passel.workloads.browser.trial import try_start


@dataclass(frozen=True, slots=True)
class Finding:
    """`level`: ok, note (something optional is missing) or problem."""

    level: str
    what: str
    mend: str = ""


def register(app: typer.Typer) -> None:
    app.command()(doctor)


def doctor(data_dir: DataDir = None, json_output: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Check this host. Exit code 1 when something would keep Passel from running."""
    settings = load_settings(data_dir=data_dir)
    findings = [
        _python(),
        _data_dir(settings),
        *([_database(settings)] if settings.database_url or _usable(settings.data_dir) else []),
        _address(settings),
        _files(),
        *([_local_models(settings)] if _usable(settings.data_dir) else []),
        _verifications(settings),
        _browsers(settings),
        *([_browser_limits(settings)] if KINDS["browser"].missing(settings) is None else []),
        _keys(settings),
        _private(settings),
    ]
    if json_output:
        print_json([{"level": f.level, "what": f.what, "mend": f.mend} for f in findings])
    else:
        marks = {"ok": "[green]ok     [/]", "note": "[yellow]note   [/]", "problem": "[red]problem[/]"}
        for finding in findings:
            stdout.print(f"{marks[finding.level]}  {finding.what}", soft_wrap=True)
            if finding.mend:
                stdout.print(f"         -> {finding.mend}", soft_wrap=True, markup=False)
    raise typer.Exit(1 if any(f.level == "problem" for f in findings) else 0)


def _python() -> Finding:
    return Finding("ok", f"Python {platform.python_version()} on {platform.system()} {platform.machine()}, {os.cpu_count()} cores")


def _data_dir(settings: Settings) -> Finding:
    path = settings.data_dir
    if not _usable(path):
        return Finding("problem", f"the data directory {path} cannot be written", "choose another with --data-dir or PASSEL_DATA_DIR")
    free = shutil.disk_usage(nearest_existing(path)).free / 2**30
    if free <= 2:
        return Finding("problem", f"data directory {path}: {free:.0f} GiB free", "make room: the database stops writing on a full disk")
    return Finding("ok", f"data directory {path}: {free:.0f} GiB free")


def _usable(path: Path) -> bool:
    place = nearest_existing(path)
    return place.is_dir() and os.access(place, os.W_OK | os.X_OK)


def _database(settings: Settings) -> Finding:
    if settings.database_url:
        return _external(settings.database_url)
    if sys.platform == "win32":
        return Finding("problem", "the embedded PostgreSQL needs a POSIX system", "set DATABASE_URL")
    try:
        return _embedded(EmbeddedPostgres(settings.data_dir / "postgres"))
    except PostgresError as error:
        return Finding("problem", "the embedded PostgreSQL does not start", str(error))
    except Exception as error:
        return Finding("problem", f"the embedded PostgreSQL cannot be tried: {error or type(error).__name__}", "choose another --data-dir")


def _embedded(server: EmbeddedPostgres) -> Finding:
    if server.postmaster() is not None:
        return Finding("ok", f"embedded PostgreSQL {_version(server.url)} is running and answers")
    begun = time.monotonic()
    with _throw_away(server) as trial:
        version, made_by = _version(trial.start()), server.version()
        if made_by not in (None, version):
            return Finding(
                "problem", f"the database was made by PostgreSQL {made_by}, but {version} is installed", "install that one again"
            )
        return Finding("ok", f"embedded PostgreSQL {version} starts and answers as {trial.account()} ({time.monotonic() - begun:.1f} s)")


@contextlib.contextmanager
def _throw_away(server: EmbeddedPostgres) -> Generator[EmbeddedPostgres]:
    """A database with the same parents and the same account as the one in question, and a path no longer than its own."""
    account = server.account()
    name = f"doc-{secrets.token_hex(2)}"
    directory = nearest_existing(server.directory.parent) / name
    trial = EmbeddedPostgres(directory, run_as=account.wish if account else None, patience=0)
    try:
        yield trial
    finally:
        trial.stop()
        shutil.rmtree(directory, ignore_errors=True)
        directory.with_name(f"{name}.lock").unlink(missing_ok=True)


def _version(url: str) -> int:
    async def ask() -> Any:
        connection = await asyncpg.connect(url, timeout=5)
        try:
            await connection.fetchval("select 1")
            return connection.get_server_version().major
        finally:
            await connection.close()

    return asyncio.run(ask())


def _external(url: str) -> Finding:
    try:
        major = _version(url)
    except Exception as error:
        return Finding(
            "problem", f"DATABASE_URL does not answer: {error or type(error).__name__}", "check the address, the user and the password"
        )
    if major < 15:
        return Finding("problem", f"DATABASE_URL is PostgreSQL {major}", "Passel needs 15 or newer")
    return Finding("ok", f"DATABASE_URL is PostgreSQL {major}")


def _address(settings: Settings) -> Finding:
    """Whether the API can listen where it is told to; while it does, it cannot be tried."""
    where = f"{settings.host}:{settings.port}"
    if _serving(settings.data_dir):
        return Finding("ok", "`passel serve` is running on this data directory")
    try:
        for family, kind, protocol, _, address in socket.getaddrinfo(
            settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        ):
            with socket.socket(family, kind, protocol) as listener:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                listener.bind(address)
    except OSError as error:
        return Finding(
            "problem", f"the API cannot listen on {where}: {error.strerror}", "choose another --host or --port for `passel serve`"
        )
    return Finding("ok", f"the API can listen on {where}")


def _serving(data_dir: Path) -> bool:
    with contextlib.suppress(FileNotFoundError, NotADirectoryError, PermissionError), (data_dir / "serve.lock").open() as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return True
    return False


def _files() -> Finding:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 10_000:
        return Finding(
            "note",
            f"at most {hard} open files: a worker can hold about {hard - 100} model calls",
            "raise it with `ulimit -Hn`, or lower PASSEL_CONCURRENCY",
        )
    return Finding("ok", f"open files: {'no limit' if hard == resource.RLIM_INFINITY else hard}")


def _local_models(settings: Settings) -> Finding:
    if importlib.util.find_spec("xllamacpp") is None:
        return Finding("note", "no local models", "pip install 'passel[local]'")
    here = [name for name in PACKAGED if (settings.models_dir / f"{name}.gguf").is_file()]
    if not here:
        return Finding("note", "xllamacpp is installed, no model is here", "passel models pull smollm2")
    return Finding("ok", f"local models: {', '.join(here)}")


def _browsers(settings: Settings) -> Finding:
    lack = KINDS["browser"].missing(settings)
    executable = find_chromium(settings.chromium)
    if lack is None and executable is not None:
        if (why := try_start(executable, settings.browser_dir)) is None:
            films = lacks_films()
            recorded = "" if films is None else f"; they are not recorded: {films}"
            return Finding("ok" if films is None else "note", f"browser sessions run in {executable}, in its own sandbox{recorded}")
        opens = what_opens()
        mend = f"its sandbox needs user namespaces, which are shut here: {opens}" if opens else "see docs/guides/browser-isolation.md"
        return Finding("note", f"no browser sessions: {executable} does not start: {why}", mend)
    assert lack is not None
    return Finding("note", "no browser sessions: " + lack.partition(": ")[0], lack.partition(": ")[2])


def _browser_limits(settings: Settings) -> Finding:
    """Which limits hold here, and by what."""
    memory, disk = (f"{most} MiB" if most else "any" for most in (settings.browser_memory_mib, settings.browser_disk_mib))
    tasks = f"{MOST_TASKS} processes and threads by the kernel" if os.getuid() == 0 else "processes without end, since it runs as this user"
    what = f"one browser may take {memory} of memory and {disk} of disk, looked at while it runs, and {tasks}"
    if (outside := memory_from_outside()) is not None:
        return Finding("ok", f"{what}; all of this machine's together {outside // MIB} MiB, from outside")
    mend = "a page takes more for up to two seconds: bound the worker with a container's memory limit or a unit's MemoryMax"
    return Finding("note", f"{what}; nothing bounds the memory of all together", mend)


def _verifications(settings: Settings) -> Finding:
    lack = KINDS["verification"].missing(settings)
    return (
        Finding("ok", "claims can be verified; facts are scanned in memory, which needs no extension of PostgreSQL")
        if lack is None
        else Finding("note", "no verifications: " + lack.partition(": ")[0], lack.partition(": ")[2])
    )


def _keys(settings: Settings) -> Finding:
    if settings.server_keys:
        return Finding("ok", f"server keys for {', '.join(settings.server_keys)}")
    return Finding(
        "note", "no provider key on the server", "set OPENAI_API_KEY or ANTHROPIC_API_KEY, store credentials, or use local models"
    )


def _private(settings: Settings) -> Finding:
    allowed = "may" if settings.private_urls_allowed else "may not"
    return Finding("ok", f"the API listens on {settings.host}; a manifest's base_url {allowed} lead to private addresses")
