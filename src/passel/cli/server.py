"""`passel serve`, `api`, `worker`, `migrate`: the processes of a server."""

import os
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from passel.cli.output import CommandError, WrongUse, fail, json_line, note, print_json

if TYPE_CHECKING:
    from passel.compose.settings import Settings
    from passel.services.accounts import NewKey

Host = Annotated[str | None, typer.Option(help="Address that the API listens on.", show_default="127.0.0.1")]
Port = Annotated[int | None, typer.Option(help="Port that the API listens on; 0 takes any free one.", show_default="8000")]
DataDir = Annotated[Path | None, typer.Option(help="Where the database, files, models and keys lie.", show_default="per user")]


def load_settings(**given: Any) -> "Settings":
    """Raises `WrongUse` with the setting's name."""
    from pydantic import ValidationError

    from passel.compose import logs
    from passel.compose.settings import Settings, UnknownSetting, env_name, strange_variables

    try:
        settings = Settings(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        wrong = [f"{env_name(str(one['loc'][0]).lower())}: {one['msg']}" for one in error.errors() if one["loc"]]
        raise WrongUse("; ".join(wrong) or str(error)) from error
    except tomllib.TOMLDecodeError as error:
        raise WrongUse(f"{os.environ.get('PASSEL_CONFIG') or 'passel.toml'} is not valid TOML: {error}") from error
    except (FileNotFoundError, UnknownSetting) as error:
        raise WrongUse(str(error)) from error
    if not _is_supervised():  # else `passel serve` has said it
        for sentence in strange_variables():
            note(f"warning: {sentence}")
    logs.configure(settings)
    return settings


def _is_supervised() -> bool:
    return "PASSEL_SUPERVISED" in os.environ


class _WithSettings(TyperCommand):
    """Help that ends with every setting, which is put together when it is asked for."""

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        from passel.compose.reference import settings_epilog

        self.epilog = settings_epilog()
        super().format_epilog(ctx, formatter)


def register(app: typer.Typer) -> None:
    app.command(cls=_WithSettings)(serve)
    app.command(cls=_WithSettings)(api)
    app.command(cls=_WithSettings)(worker)
    app.command()(migrate)


class _Announcer:
    """For people: the key as soon as it is made, then the rest. For scripts: one JSON line, when requests are taken."""

    def __init__(self, settings: "Settings", as_json: bool) -> None:
        self._settings, self._as_json = settings, as_json
        self._key: NewKey | None = None
        self._told = False

    def key_made(self, key: "NewKey") -> None:
        self._key = key
        if not self._as_json:
            print_first_key(key, self._settings)

    def ready(self, url: str) -> None:
        self._told = True
        directory = self._settings.data_dir
        if self._as_json:
            line = {"url": url, "api_key": self._key.secret if self._key else None, "data_dir": str(directory)}
            print(json_line(line), flush=True)
        else:
            secret = f" PASSEL_API_KEY={self._key.secret}" if self._key and not self._settings.api_key else ""
            print(f"Passel listens on {url}  (data in {directory})\n\n  export PASSEL_URL={url}{secret}\n", flush=True)
            own = "" if self._settings.database_url else f"; PostgreSQL's is {directory / 'postgres' / 'server.log'}"
            note(f"The log comes here, on stderr{own}. Ctrl-C stops everything.")
        if not self._settings.workers:
            note(
                "warning: no worker runs here (--workers 0), so batches wait in the queue until one does. Start it with:  "
                f"passel worker --data-dir {directory}"
            )

    def ended(self) -> None:
        """A key that no JSON line has told is told now, since nobody can tell it again."""
        if self._as_json and self._key and not self._told and not self._settings.api_key:
            note(f"API key, shown only now:  {self._key.secret}")


def print_first_key(key: "NewKey", settings: "Settings") -> None:
    if settings.api_key:
        print(
            "The first API key is the one that PASSEL_API_KEY holds. Another server that is started with it has the same key: "
            "unset it to get a new one.",
            flush=True,
        )
    else:
        print(f"API key, shown only now:  {key.secret}", flush=True)


def serve(
    host: Host = None,
    port: Port = None,
    data_dir: DataDir = None,
    workers: Annotated[
        int | None, typer.Option(help="Worker processes. With 0, run `passel worker` apart, or nothing is worked off.", show_default="1")
    ] = None,
    json_output: Annotated[bool, typer.Option("--json", help="Announce the URL and the key as one JSON line.")] = False,
) -> None:
    """Run everything: PostgreSQL (unless DATABASE_URL is set), the API and workers. Stop it with SIGTERM or Ctrl-C."""
    import uvloop

    from passel.compose.serve import AlreadyServing, CannotServe
    from passel.compose.serve import serve as run

    settings = load_settings(host=host, port=port, data_dir=data_dir, workers=workers)
    announcer = _Announcer(settings, json_output)
    try:
        uvloop.run(run(settings, announcer))
    except CannotServe as error:
        fail(str(error))
        raise typer.Exit(3 if isinstance(error, AlreadyServing) else 1) from error
    finally:
        announcer.ended()


def api(host: Host = None, port: Port = None, data_dir: DataDir = None) -> None:
    """Run the API alone. The database must be there, with its schema (`passel migrate`)."""
    import uvloop

    from passel.compose.process import hold_collector

    hold_collector()
    from passel.compose.api import run_api
    from passel.compose.serve import CannotServe, require_address

    settings = load_settings(host=host, port=port, data_dir=data_dir)

    async def run() -> None:
        if not _is_supervised():
            await require_address(settings)
        await run_api(settings, lambda url: print(f"listening {url}", flush=True))

    try:
        uvloop.run(run())
    except CannotServe as error:
        raise CommandError(str(error)) from error


def worker(
    data_dir: DataDir = None,
    kinds: Annotated[
        str | None, typer.Option(help="The kinds of work to do, separated by commas.", show_default="all that can be done here")
    ] = None,
    suspects: Annotated[bool, typer.Option("--suspects", hidden=True)] = False,
) -> None:
    """Run one worker. As many as you like may run, on as many machines."""
    import uvloop

    from passel.compose.process import hold_collector

    hold_collector()
    from passel.compose.kinds import KINDS, chosen
    from passel.compose.worker import quarantine_command, run_worker

    settings = load_settings(data_dir=data_dir)
    served = chosen(KINDS, [name.strip() for name in (kinds or "").split(",") if name.strip()], settings)
    quarantine = None if suspects else quarantine_command(list(served))
    uvloop.run(run_worker(settings, served, quarantine=quarantine, suspects=suspects, ready=lambda: print("ready", flush=True)))


def migrate(data_dir: DataDir = None, json_output: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Bring the database to this version's schema. Also makes the first organisation and its key on an empty one."""
    import asyncio

    from passel.compose.process import database_url, embedded, prepare_data_dir
    from passel.compose.serve import NoDatabase, first_key, reaching_database
    from passel.store.schema import migrate as run

    settings = load_settings(data_dir=data_dir)
    prepare_data_dir(settings)
    server = embedded(settings)
    running = server is not None and server.postmaster() is not None
    if server and not running:
        server.start()

    async def go() -> "tuple[str, NewKey | None]":
        with reaching_database(settings):
            return await run(database_url(settings)), await first_key(settings)

    try:
        revision, key = asyncio.run(go())
    except NoDatabase as error:
        raise CommandError(str(error)) from error
    finally:
        if server and not running:
            server.stop()
    if json_output:
        print_json({"revision": revision, "api_key": key.secret if key else None})
        return
    print(f"schema {revision}")
    if key:
        print_first_key(key, settings)
