"""Live progress of a batch: a bar for any size, a table of tasks x options where it fits the terminal."""

import time
from collections.abc import Generator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from rich.console import Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from passel.cli.client import Client
from passel.cli.output import note, stderr

ENDED = {"completed", "failed", "partial_failed"}
_MARKS = {"queued": ("·", "dim"), "running": ("▶", "yellow"), "completed": ("✓", "green"), "failed": ("✗", "red")}
_TABLE_ITEMS = 400
_POLL_SECONDS = 0.5


@contextmanager
def left_running(advice: str) -> Generator[None]:
    """Ctrl-C ends the command, not the batch: say how to come back to it. Exit code 130, as shells have it."""
    try:
        yield
    except KeyboardInterrupt:
        note(f"\nThe batch goes on without you. {advice}")
        raise SystemExit(130) from None


def watch_batch(client: Client, batch_id: str, *, table: bool = False) -> Any:
    """Show progress until the batch has ended; returns the batch. Ctrl-C leaves the batch running and says so."""
    started = time.monotonic()
    with left_running(f"Watch it again:  passel batch watch {batch_id}"):
        if not stderr.is_terminal:
            return _watch_quietly(client, batch_id)
        with Live(console=stderr, refresh_per_second=8, transient=False) as live:
            while True:
                batch = client.get(f"/v1/session-batches/{batch_id}", include_sessions=False)
                rows = _rows(client, batch_id) if table and batch["size"] <= _TABLE_ITEMS else None
                live.update(_picture(batch, rows, time.monotonic() - started))
                if batch["status"] in ENDED:
                    return batch
                time.sleep(_POLL_SECONDS)


def _watch_quietly(client: Client, batch_id: str) -> Any:
    """Without a terminal: a line whenever the counts have changed."""
    last = None
    while True:
        batch = client.get(f"/v1/session-batches/{batch_id}", include_sessions=False)
        if batch["counts"] != last:
            last = batch["counts"]
            note(f"{batch_id} {batch['status']}: " + ", ".join(f"{n} {name}" for name, n in last.items()))
        if batch["status"] in ENDED:
            return batch
        time.sleep(_POLL_SECONDS)


def _rows(client: Client, batch_id: str) -> list[Any]:
    with client.lines(f"/v1/session-batches/{batch_id}/results") as results:
        return list(results)


def _picture(batch: Any, rows: list[Any] | None, seconds: float) -> Group:
    counts, usage = batch["counts"], batch["usage"]
    done = counts["completed"] + counts["failed"]
    head = Table.grid(padding=(0, 2))
    head.add_row(
        Text(batch["batch_id"], style="bold"),
        ProgressBar(total=max(1, batch["size"]), completed=done, width=30),
        f"{done}/{batch['size']}",
        f"{counts['running']} running",
        Text(f"{counts['failed']} failed", style="red" if counts["failed"] else "dim"),
        f"{usage['input_tokens'] + usage['output_tokens']} tokens",
        f"${usage['total_cost_usd']}",
        f"{seconds:.0f} s",
    )
    return Group(matrix(rows), head) if rows else Group(head)


def matrix(rows: list[Any]) -> Table:
    """Tasks down, LLM options across; each cell with its state, tokens, cost and time."""
    options = list(dict.fromkeys(row["llm_id"] or "default" for row in rows))
    tasks = list(dict.fromkeys(_task(row) for row in rows))
    cells = {(_task(row), row["llm_id"] or "default"): row for row in rows}
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    table.add_column("task", overflow="ellipsis", max_width=24, no_wrap=True)
    for option in options:
        table.add_column(option, no_wrap=True)
    for task in tasks:
        table.add_row(task, *(_cell(cells.get((task, option))) for option in options))
    return table


def _task(row: Any) -> str:
    return row["metadata"].get("task") or f"#{row['index']}"


def _cell(row: Any) -> Text:
    if row is None:
        return Text("")
    mark, style = _MARKS[row["status"]]
    cell = Text(mark, style=style)
    if row["status"] == "completed":
        usage = row["usage"]
        took = seconds_between(row["started_at"], row["finished_at"])
        cost = usage["total_cost_usd"]
        cell.append(
            f" {usage['output_tokens']:>4} tok  {'$' + cost if cost is not None else 'no price':<8} {took:>5.1f} s", style="default"
        )
    elif row["status"] == "failed":
        cell.append(f" {(row['error'] or '')[:40]}", style="default")
    return cell


def seconds_between(start: str, end: str) -> float:
    return (datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds()
