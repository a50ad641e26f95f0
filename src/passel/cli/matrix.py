"""The matrix of a batch: tasks down, LLM options across, each cell with its state, tokens, cost and time."""

from collections import Counter
from datetime import datetime
from typing import Any

from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

from passel.cli.output import one_line

_MARKS = {"queued": ("·", "dim"), "running": ("▶", "yellow"), "completed": ("✓", "green"), "failed": ("✗", "red")}
# where not all fit: what went wrong first, then what runs, then the rest
_URGENCY = {"failed": 0, "running": 1, "queued": 2, "completed": 3}
_LONGEST_NAME = 24
_LONGEST_REASON = 60


def matrix(rows: list[Any], most: int | None = None) -> Table:
    """Of results. With `most`, only so many tasks: the failed and the running ones first."""
    options = list(dict.fromkeys(_option(row) for row in rows))
    tasks = tasks_of(rows)
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    # where the terminal is narrow, reasons are cut and names are not
    widest = min(_LONGEST_NAME, max(cell_len(one_line(task)) for task in ["task", *tasks]))
    table.add_column("task", overflow="ellipsis", width=widest, no_wrap=True)
    for option in options:
        table.add_column(_single_line(one_line(option)))
    for task in sorted(tasks, key=lambda task: _urgency(tasks[task]))[:most] if most is not None else tasks:
        table.add_row(Text(one_line(task)), *(_cell(tasks[task].get(option)) for option in options))
    return table


def tasks_of(rows: list[Any]) -> dict[str, dict[str, Any]]:
    """The rows by task and option. A name that a batch has twice for one option gets a number."""
    seen: Counter[tuple[str, str]] = Counter()
    tasks: dict[str, dict[str, Any]] = {}
    for row in rows:
        name, option = row["metadata"].get("task") or f"#{row['index']}", _option(row)
        seen[name, option] += 1
        count = seen[name, option]
        tasks.setdefault(name if count == 1 else f"{name} ({count})", {})[option] = row
    return tasks


def _option(row: Any) -> str:
    return row["llm_id"] or "default"


def _urgency(cells: dict[str, Any]) -> int:
    return min(_URGENCY[row["status"]] for row in cells.values())


def _single_line(text: str, style: str = "") -> Text:
    """One line in a column that may shrink."""
    return Text(text, style=style, no_wrap=True, overflow="ellipsis")


def _cell(row: Any) -> Text:
    if row is None:
        return Text("")
    cell = _single_line(*_MARKS[row["status"]])
    if row["status"] == "completed":
        usage = row["usage"]
        price = "no price" if usage["total_cost_usd"] is None else f"${usage['total_cost_usd']}"
        cell.append(f" {usage['output_tokens']:>4} tok  {price:<8} {_took(row):>5.1f} s", style="default")
    elif row["status"] == "failed":
        cell.append(f" {one_line(row['error'] or '')[:_LONGEST_REASON]}", style="default")
    elif row.get("waiting"):
        cell.append(f" waits: {one_line(row['waiting']['reason'])[:_LONGEST_REASON]}", style="default")
    return cell


def _took(row: Any) -> float:
    started, finished = row["started_at"], row["finished_at"]
    return (datetime.fromisoformat(finished) - datetime.fromisoformat(started)).total_seconds() if started and finished else 0.0
