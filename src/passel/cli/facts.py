"""`passel facts`: what the method `semantic` compares claims with."""

import csv
import io
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import typer

from passel.cli.client import DEFAULT_URL, Client, Key, Url
from passel.cli.output import CommandError, note, print_json, print_page

facts = typer.Typer(no_args_is_help=True, help="Facts that claims are compared with: load, list, delete.")

_AT_ONCE = 1000


def register(app: typer.Typer) -> None:
    app.add_typer(facts, name="facts")


@facts.callback()
def group() -> None: ...


@facts.command("load")
def load(
    file: Annotated[Path, typer.Argument(help="A CSV file with a column text, and with polarity (true or false), source and date.")],
    json_output: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    url: Url = DEFAULT_URL,
    key: Key = "",
) -> None:
    """Load facts. A text that is there already takes over the rest of its row, so a load that broke off is repeated."""
    client = Client(url, key)
    total = created = updated = 0
    for first, part in _parts(file):
        try:
            loaded = client.post_csv("/v1/facts", file.name, part)
        except CommandError as error:
            raise CommandError(f"{file}, rows from {first}: {error}; {total} were loaded before") from error
        total, created, updated = total + loaded["total"], created + loaded["created"], updated + loaded["updated"]
        note(f"{total} loaded")
    if json_output:
        print_json({"total": total, "created": created, "updated": updated})
    else:
        print(f"{created} new facts, {updated} that were there already")


def _parts(file: Path) -> Iterator[tuple[int, bytes]]:
    """The file in files of a thousand rows, each with the header and with the number of its first row."""
    try:
        with file.open(encoding="utf-8-sig", newline="") as text:
            rows = csv.reader(text, strict=True)
            header = next(rows, None)
            if header is None:
                raise CommandError(f"{file} is empty")
            first = 1
            while part := list(islice(rows, _AT_ONCE)):
                out = io.StringIO()
                csv.writer(out).writerows([header, *part])
                yield first, out.getvalue().encode()
                first += len(part)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise CommandError(f"{file} cannot be read as CSV in UTF-8: {error}") from error


@facts.command("list")
def list_facts(
    limit: Annotated[int, typer.Option(min=1, max=100, help="How many.")] = 20,
    offset: Annotated[int, typer.Option(min=0, help="How many to leave out.")] = 0,
    json_output: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    url: Url = DEFAULT_URL,
    key: Key = "",
) -> None:
    """List facts, newest first."""
    found = Client(url, key).get("/v1/facts", limit=limit, offset=offset)
    print_page(found, ["id", "is", "text", "source", "date"], _row, as_json=json_output)


def _row(one: Any) -> list[Any]:
    return [one["id"], "true" if one["polarity"] else "false", one["text"], one["source"], one["date"]]


@facts.command("delete")
def delete(
    ids: Annotated[list[str], typer.Argument(help="Ids of facts.")],
    url: Url = DEFAULT_URL,
    key: Key = "",
) -> None:
    """Delete facts."""
    client = Client(url, key)
    for id in ids:
        client.delete(f"/v1/facts/{id}")
        print(id)
