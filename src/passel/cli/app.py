"""The `passel` command: groups of commands, one file each."""

import sys

import typer

from passel import __version__
from passel.cli import accounts, batches, demo, deploy, doctor, models, run, server, sessions
from passel.cli.output import CommandError, fail
from passel.core.errors import PasselError
from passel.models.local import LocalModelError
from passel.store.postgres import PostgresError

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Batches of durable sessions, on your own machines.",
)
server.register(app)
deploy.register(app)
run.register(app)
demo.register(app)
doctor.register(app)
app.add_typer(batches.app, name="batch")
app.add_typer(sessions.app, name="session")
app.add_typer(accounts.keys, name="keys")
app.add_typer(accounts.credentials, name="credentials")
app.add_typer(models.app, name="models")


@app.command()
def version() -> None:
    """Print the version."""
    print(__version__)


def main() -> None:
    try:
        app()
    except (CommandError, PasselError, PostgresError, LocalModelError) as error:
        fail(str(error))
        sys.exit(1)
    except (FileNotFoundError, ValueError) as error:
        # settings that do not parse say which one themselves
        fail(str(error))
        sys.exit(2)
    except BrokenPipeError:
        sys.exit(0)
