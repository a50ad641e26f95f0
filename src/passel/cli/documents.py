"""`passel documents`: what the method `tool` searches."""

from pathlib import Path
from typing import Annotated

import typer

from passel.cli.client import DEFAULT_URL, Client, Key, Url
from passel.cli.output import CommandError, print_page

documents = typer.Typer(no_args_is_help=True, help="Documents that claims are held against: load, list, show, delete.")


def register(app: typer.Typer) -> None:
    app.add_typer(documents, name="documents")


@documents.callback()
def group() -> None: ...


@documents.command("load")
def load(
    files: Annotated[list[Path], typer.Argument(help="Files of text, Markdown or HTML, in UTF-8.")],
    link: Annotated[str | None, typer.Option("--link", help="Where the text is from; of one file only.")] = None,
    title: Annotated[str | None, typer.Option("--title", help="Title; of one file only. Default: the file's name.")] = None,
    date: Annotated[str | None, typer.Option("--date", help="Date of the text, such as 2026-11-27.")] = None,
    url: Url = DEFAULT_URL,
    key: Key = "",
) -> None:
    """Load documents, each from a file."""
    if len(files) > 1 and (link or title):
        raise CommandError("--link and --title are of one file: load the files one by one")
    client = Client(url, key)
    told = {name: value for name, value in (("title", title), ("url", link), ("date", date)) if value is not None}
    for file in files:
        try:
            data = file.read_bytes()
        except OSError as error:
            raise CommandError(f"{file} cannot be read: {error.strerror}") from error
        made = client.post_form("/v1/documents", file.name, data, told)
        print(f"{made['id']}  {made['title']}: {made['passages']} passage(s)")


@documents.command("list")
def list_documents(
    limit: Annotated[int, typer.Option(min=1, max=100, help="How many.")] = 20,
    offset: Annotated[int, typer.Option(min=0, help="How many to leave out.")] = 0,
    json_output: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    url: Url = DEFAULT_URL,
    key: Key = "",
) -> None:
    """List documents, newest first."""
    found = Client(url, key).get("/v1/documents", limit=limit, offset=offset)
    columns = ["id", "title", "date", "characters", "url"]
    print_page(found, columns, lambda one: [one[name] for name in columns], as_json=json_output)


@documents.command("show")
def show(id: Annotated[str, typer.Argument(help="Id of a document.")], url: Url = DEFAULT_URL, key: Key = "") -> None:
    """Print the text of a document, in the passages that are searched."""
    print(Client(url, key).get(f"/v1/documents/{id}")["text"])


@documents.command("delete")
def delete(ids: Annotated[list[str], typer.Argument(help="Ids of documents.")], url: Url = DEFAULT_URL, key: Key = "") -> None:
    """Delete documents."""
    client = Client(url, key)
    for id in ids:
        client.delete(f"/v1/documents/{id}")
        print(id)
