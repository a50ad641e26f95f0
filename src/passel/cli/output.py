"""How commands speak: tables and JSON to stdout, notes and errors to stderr."""

from datetime import datetime
from typing import Any

import orjson
from rich.console import Console
from rich.table import Table

stdout = Console(highlight=False)
stderr = Console(stderr=True, highlight=False)


class CommandError(Exception):
    """What a command could not do, and what to do about it."""


def fail(message: str) -> None:
    stderr.print(f"passel: {message}", markup=False, soft_wrap=True)


def note(message: str) -> None:
    stderr.print(message, markup=False, soft_wrap=True)


def print_json(value: Any) -> None:
    print(orjson.dumps(value, option=orjson.OPT_INDENT_2).decode())


def print_table(columns: list[str], rows: list[list[Any]]) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, no_wrap=True)
    for row in rows:
        table.add_row(*(_cell(cell) for cell in row))
    # ids must come out whole, to be copied or searched: a line that is too long is the terminal's to break
    stdout.print(table, soft_wrap=True, crop=False, width=10_000 if not stdout.is_terminal else max(stdout.width, 200))


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return value.strftime("%Y-%m-%d %H:%M:%S") if isinstance(value, datetime) else str(value)
