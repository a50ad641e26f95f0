"""`passel serve`, `api`, `worker`, `migrate`: the processes of a server."""

import asyncio
import os
import sys
import tomllib
from pathlib import Path
from typing import Annotated, Any

import typer
import uvloop
from pydantic import ValidationError

from passel.cli.output import CommandError, fail, print_json
from passel.compose import logs
from passel.compose.process import database_url, embedded, prepare_data_dir
from passel.compose.reference import settings_epilog
from passel.compose.settings import Settings, env_name

Host = Annotated[str | None, typer.Option(help="Address that the API listens on.", show_default="127.0.0.1")]
Port = Annotated[int | None, typer.Option(help="Port that the API listens on; 0 takes any free one.", show_default="8000")]
DataDir = Annotated[Path | None, typer.Option(help="Where the database, files, models and keys lie.", show_default="per user")]


def load_settings(**given: Any) -> Settings:
    try:
        settings = Settings(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        wrong = [f"{env_name(str(one['loc'][0]).lower())}: {one['msg']}" for one in error.errors() if one["loc"]]
        raise ValueError("; ".join(wrong) or str(error)) from error
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{os.environ.get('PASSEL_CONFIG') or 'passel.toml'} is not valid TOML: {error}") from error
    logs.configure(settings)
    return settings


def register(app: typer.Typer) -> None:
    epilog = settings_epilog()
    app.command(epilog=epilog)(serve)
    app.command(epilog=epilog)(api)
    app.command(epilog=epilog)(worker)
    app.command()(migrate)


def serve(
    host: Host = None,
    port: Port = None,
    data_dir: DataDir = None,
    workers: Annotated[int | None, typer.Option(help="Worker processes.", show_default="1")] = None,
    json_output: Annotated[bool, typer.Option("--json", help="Announce the URL and the key as one JSON line.")] = False,
) -> None:
    """Run everything: PostgreSQL (unless DATABASE_URL is set), the API and workers. Stop it with SIGTERM or Ctrl-C."""
    from passel.compose.serve import AlreadyServing, Started
    from passel.compose.serve import serve as run

    settings = load_settings(host=host, port=port, data_dir=data_dir, workers=workers)

    def announce(started: Started) -> None:
        secret = started.key.secret if started.key else None
        if json_output:
            import orjson

            line = {"url": started.url, "api_key": secret, "data_dir": str(started.data_dir)}
            print(orjson.dumps(line).decode(), flush=True)
            return
        print(f"Passel listens on {started.url}  (data in {started.data_dir})")
        if secret:
            print(f"API key, shown only now:  {secret}")
        print(f"\n  export PASSEL_URL={started.url}" + (f" PASSEL_API_KEY={secret}" if secret else ""), flush=True)

    try:
        uvloop.run(run(settings, announce))
    except AlreadyServing as error:
        fail(str(error))
        raise typer.Exit(3) from error


def api(host: Host = None, port: Port = None, data_dir: DataDir = None) -> None:
    """Run the API alone. The database must be there, with its schema (`passel migrate`)."""
    from passel.compose.api import run_api

    settings = load_settings(host=host, port=port, data_dir=data_dir)
    uvloop.run(run_api(settings, lambda url: print(f"listening {url}", flush=True)))


def worker(
    data_dir: DataDir = None,
    kinds: Annotated[
        str | None, typer.Option(help="The kinds of work to do, separated by commas.", show_default="all that can be done here")
    ] = None,
    suspects: Annotated[bool, typer.Option("--suspects", hidden=True)] = False,
) -> None:
    """Run one worker. As many as you like may run, on as many machines."""
    from passel.compose.kinds import KINDS, chosen
    from passel.compose.worker import quarantine_command, run_worker

    settings = load_settings(data_dir=data_dir)
    served = chosen(KINDS, [name.strip() for name in (kinds or "").split(",") if name.strip()])
    quarantine = None if suspects else quarantine_command(list(served))
    uvloop.run(run_worker(settings, served, quarantine=quarantine, suspects=suspects, ready=lambda: print("ready", flush=True)))


def migrate(data_dir: DataDir = None, json_output: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Bring the database to this version's schema. Also makes the first organisation and its key on an empty one."""
    from passel.compose.serve import first_key
    from passel.store.schema import migrate as run

    settings = load_settings(data_dir=data_dir)
    prepare_data_dir(settings)
    server = embedded(settings)
    running = server is not None and server.postmaster() is not None
    if server and not running:
        server.start()

    async def go() -> tuple[str, str | None]:
        revision = await run(database_url(settings))
        key = await first_key(settings)
        return revision, key.secret if key else None

    try:
        revision, secret = asyncio.run(go())
    except OSError as error:
        raise CommandError(f"the database does not answer: {error}") from error
    finally:
        if server and not running:
            server.stop()
    if json_output:
        print_json({"revision": revision, "api_key": secret})
        return
    print(f"schema {revision}")
    if secret:
        print(f"API key, shown only now:  {secret}", file=sys.stdout)
