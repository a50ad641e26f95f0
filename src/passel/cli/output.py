"""How commands speak: tables and JSON to stdout, notes and errors to stderr.

What a model, a user or a provider wrote is data: it is never read as markup, and loses its control characters before
it reaches a terminal, which would obey them. JSON and CSV carry it as it is.
"""

import re
import sys
from collections.abc import Callable
from datetime import datetime
from typing import Any

import orjson

# whole escape sequences first (CSI, then OSC up to its end), then whatever control character is left
_CONTROLS = re.compile("\x1b\\[[0-?]*[ -/]*[@-~]|\x1b\\][^\x07\x1b\n]*(?:\x07|\x1b\\\\)|[\x00-\x08\x0b-\x1f\x7f-\x9f]")
# what JSON need not escape, and what some terminals obey or some readers of lines take for the end of one
_UNSAFE_IN_JSON = re.compile("[\x7f-\x9f\u2028\u2029]")


class CommandError(Exception):
    """What a command could not do, and what to do about it. Exit code 1."""


class WrongUse(CommandError):
    """A setting or an argument is wrong. Exit code 2."""


def plain(text: str) -> str:
    """`text` without control characters; line breaks and tabs stay."""
    return _CONTROLS.sub("", text)


def one_line(text: str) -> str:
    return plain(" ".join(text.splitlines()).replace("\t", " "))


def fail(message: str) -> None:
    print(f"passel: {plain(message)}", file=sys.stderr, flush=True)


def note(message: str) -> None:
    print(plain(message), file=sys.stderr, flush=True)


def print_json(value: Any) -> None:
    print(_escape(orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()))


def json_line(value: Any) -> str:
    return _escape(orjson.dumps(value).decode())


def _escape(json: str) -> str:
    return _UNSAFE_IN_JSON.sub(lambda found: f"\\u{ord(found[0]):04x}", json)


def print_table(columns: list[str], rows: list[list[Any]]) -> None:
    """Ids come out whole, to be copied or searched: a line that is too long is the terminal's to break."""
    from rich.cells import cell_len

    lines = [columns, *([_cell(value) for value in row] for row in rows)]
    widths = [max(cell_len(line[at]) for line in lines) for at in range(len(columns))]
    for line in lines:
        print("  ".join(cell + " " * (width - cell_len(cell)) for cell, width in zip(line, widths, strict=True)).rstrip())


def print_page(found: Any, columns: list[str], row: Callable[[Any], list[Any]], *, as_json: bool) -> None:
    """A page of a list that is read by offset, and how to see the next one."""
    if as_json:
        print_json(found)
        return
    print_table(columns, [row(one) for one in found["data"]])
    page = found["pagination"]
    if page["hasMore"]:
        note(f"{page['total']} in all: go on with --offset {page['offset'] + page['limit']}")


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return value.strftime("%Y-%m-%d %H:%M:%S") if isinstance(value, datetime) else one_line(str(value))


def __getattr__(name: str) -> Any:
    """`stdout` and `stderr` as consoles, made when they are first wanted: most commands never need one."""
    if name not in ("stdout", "stderr"):
        raise AttributeError(name)
    from rich.console import Console

    stream = getattr(sys, name)
    # a pipe has no width to keep to
    console = Console(stderr=name == "stderr", highlight=False, width=None if stream.isatty() else 1000)
    globals()[name] = console
    return console
