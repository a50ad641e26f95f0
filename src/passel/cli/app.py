"""The `passel` command. Each command lives in a module of its own, which is imported when it is asked for: what a
command needs may take half a second to import, and `passel --version` or a completion should not wait for it."""

import sys
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from passel import __version__
from passel.cli.output import CommandError, WrongUse, fail

# The module of each command, in the order in which help lists them.
_MODULES = {
    "serve": "server",
    "api": "server",
    "worker": "server",
    "migrate": "server",
    "deploy": "deploy",
    "run": "run",
    "demo": "demo",
    "doctor": "doctor",
    "agents": "agents",
    "batch": "batches",
    "session": "sessions",
    "events": "events",
    "tools": "tools",
    "browsers": "browsers",
    "verify": "verify",
    "facts": "facts",
    "documents": "documents",
    "files": "files",
    "webhooks": "webhooks",
    "keys": "accounts",
    "credentials": "accounts",
    "settings": "settings",
    "models": "models",
}


class Commands(TyperGroup):
    """Commands by name; their modules are imported on demand."""

    def list_commands(self, ctx: Any) -> list[str]:
        return [*_MODULES, *(name for name in self.commands if name not in _MODULES)]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name in _MODULES and cmd_name not in self.commands:
            self.commands.update(_commands_of(_MODULES[cmd_name]))
        return self.commands.get(cmd_name)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        # to look at a command's options typer imports all of pydantic; a flag that ends the program comes before that
        return super().parse_args(ctx, ["--version"] if args == ["version"] else args)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        known = self.list_commands(ctx)
        if args[0] not in known:
            for name in known:  # what a misspelt name is compared with
                self.get_command(ctx, name)
        return super().resolve_command(ctx, args)


def _commands_of(module: str) -> dict[str, Any]:
    group = typer.Typer(rich_markup_mode=None)
    import_module(f"passel.cli.{module}").register(group)
    return dict(typer.main.get_group(group).commands)


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Batches of durable sessions, on your own machines.",
)


@app.command()
def version() -> None:
    """Print the version."""
    print(__version__)


def _print_version(wanted: bool) -> None:
    if wanted:
        version()
        raise typer.Exit


@app.callback()
def passel(
    version: Annotated[bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")] = False,
) -> None: ...


def main() -> None:
    try:
        app()
    except BrokenPipeError:
        sys.exit(0)
    except Exception as error:
        code = _exit_code(error)
        if code is None:
            raise
        fail(str(error))
        sys.exit(code)


def _exit_code(error: Exception) -> int | None:
    """1 for what could not be done, 2 for wrong use; None for what nobody expected, which keeps its traceback."""
    from passel.core.errors import PasselError
    from passel.models.local import LocalModelError
    from passel.store.postgres import PostgresError

    if isinstance(error, WrongUse):
        return 2
    return 1 if isinstance(error, CommandError | PasselError | PostgresError | LocalModelError) else None
