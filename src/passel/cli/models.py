"""`passel models`: local models that a package registry carries."""

from typing import Annotated

import typer

from passel.cli.output import note, print_table
from passel.cli.server import DataDir, load_settings

models = typer.Typer(no_args_is_help=True, help="Local models: pull, list.")


def register(app: typer.Typer) -> None:
    app.add_typer(models, name="models")


@models.command("pull")
def pull(name: Annotated[str, typer.Argument(help="smollm2")], data_dir: DataDir = None) -> None:
    """Fetch a local model and check its hash. Every server of this user finds it, unless its data directory has models."""
    from passel.models import local

    settings = load_settings(data_dir=data_dir)
    note(f"fetching {name} to {settings.pulled_models_dir} ...")
    print(local.pull(name, settings.pulled_models_dir))


@models.command("list")
def list_models(data_dir: DataDir = None) -> None:
    """List the models that can be pulled, and which are where a server would look for them."""
    from passel.models.local import PACKAGED

    directory = load_settings(data_dir=data_dir).models_dir
    rows = [[name, m.licence, m.requirement, "yes" if (directory / f"{name}.gguf").is_file() else "no"] for name, m in PACKAGED.items()]
    print_table(["model", "licence", "package", "here"], rows)
    note(f"in {directory}")
