"""`passel files`: images and texts that messages refer to."""

from pathlib import Path
from typing import Annotated

import typer

from passel.cli.client import DEFAULT_URL, Client, Key, Url
from passel.cli.output import CommandError, print_json, print_table

files = typer.Typer(no_args_is_help=True, help="Files that messages refer to: upload.")


def register(app: typer.Typer) -> None:
    app.add_typer(files, name="files")


@files.callback()
def group() -> None: ...


@files.command("upload")
def upload(
    paths: Annotated[list[Path], typer.Argument(help="Images (png, jpeg, gif, webp) or texts in UTF-8.")],
    json_output: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    url: Url = DEFAULT_URL,
    key: Key = "",
) -> None:
    """Upload files and print the ids that blocks name: {"type": "image", "file_id": "..."}."""
    missing = [str(path) for path in paths if not path.is_file()]
    if missing:
        raise CommandError(f"there is no file {missing[0]}")
    client = Client(url, key)
    stored = [client.post_file(path) for path in paths]
    if json_output:
        print_json(stored)
    else:
        print_table(["file", "bytes", "name"], [[f["id"], f["size_bytes"], f["filename"]] for f in stored])
