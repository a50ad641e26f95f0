"""`passel models`: local models that a package registry carries."""

from typing import Annotated

import typer

from passel.cli.output import note, print_table
from passel.cli.server import DataDir, load_settings

app = typer.Typer(no_args_is_help=True, help="Local models: pull, list.")


@app.command("pull")
def pull(name: Annotated[str, typer.Argument(help="smollm2")], data_dir: DataDir = None) -> None:
    """Fetch a local model and check its hash."""
    from passel.models import local

    settings = load_settings(data_dir=data_dir)
    note(f"fetching {name} ...")
    print(local.pull(name, settings.models_dir))


@app.command("list")
def list_models(data_dir: DataDir = None) -> None:
    """List the models that can be pulled, and which are here."""
    from passel.models.local import PACKAGED

    directory = load_settings(data_dir=data_dir).models_dir
    rows = [[name, m.licence, m.requirement, "yes" if (directory / f"{name}.gguf").is_file() else "no"] for name, m in PACKAGED.items()]
    print_table(["model", "licence", "package", "here"], rows)
