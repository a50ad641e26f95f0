"""Live progress of a batch, from its stream: a bar for any size, and a matrix of tasks x options where it fits the
terminal.

Watching outlasts the server: while nothing answers it says so once and asks on, for as long as it takes.
"""

import shlex
import time
from collections import Counter, deque
from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import islice
from math import ceil
from pathlib import Path
from typing import Any

from rich.console import Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from passel.cli import output
from passel.cli.bill import cost
from passel.cli.client import Client
from passel.cli.following import BatchFeed, follow
from passel.cli.matrix import matrix, tasks_of
from passel.cli.output import CommandError, note, one_line
from passel.cli.patience import until_answered
from passel.core.states import Counts, aggregate

ENDED = {"completed", "failed", "partial_failed"}
_MATRIX_ITEMS = 1000
_READ_FOR_REASONS = 20_000
_PAUSE_SECONDS = 0.5
_REDRAW_SECONDS = 1.0
_REASONS_SECONDS = 15.0
_ANSWER_SECONDS = 30.0  # a server that takes longer for one row counts as away
_PACE_SECONDS = 60.0
_LINES_AROUND_MATRIX = 5  # its header, the line that counts what is not shown, the bar's two, the cursor's


def how_to_go_on(batch_id: str, target: Path | None = None) -> str:
    return f"Go on with:  passel batch watch {batch_id}" + (f" -o {shlex.quote(str(target))}" if target else "")


@contextmanager
def left_running(advice: str) -> Generator[None]:
    """Ctrl-C or an error ends the command, not the batch: say how to come back to it. Exit code 130, as shells have it."""
    try:
        yield
    except KeyboardInterrupt:
        note(f"\nThe batch goes on without you. {advice}")
        raise SystemExit(130) from None
    except CommandError:
        note(f"The batch goes on without you. {advice}")
        raise


def watch_batch(client: Client, batch_id: str, *, quiet: bool = False) -> Any:
    """Show progress until the batch has ended, then return it."""
    if quiet:
        return _wait(client, batch_id)
    return _watch_live(client, batch_id) if output.stderr.is_terminal else _watch_in_lines(client, batch_id)


def _batch(client: Client, batch_id: str) -> Any:
    path = f"/v1/session-batches/{batch_id}"
    return until_answered(lambda: client.get(path, tries=1, timeout=_ANSWER_SECONDS, include_sessions=False))


def _wait(client: Client, batch_id: str) -> Any:
    while (batch := _batch(client, batch_id))["status"] not in ENDED:
        for _ in follow(client, f"/v1/session-batches/{batch_id}/stream"):
            pass
    return batch


def _watch_in_lines(client: Client, batch_id: str) -> Any:
    """Without a terminal: a line whenever the counts have changed, and now and then why items wait."""
    last, said, reasons, feed = None, "", Every(_REASONS_SECONDS), BatchFeed(client, batch_id)
    feed.start()
    while True:
        feed.wait(_REASONS_SECONDS)
        if feed.counts and feed.counts != last:
            last = feed.counts
            note(f"{batch_id} {aggregate(Counts(**last))}: " + ", ".join(f"{n} {name}" for name, n in last.items()))
        if feed.ended:
            return _wait(client, batch_id)
        if reasons.due() and (why := why_waiting(_waiting(client, _batch(client, batch_id)), datetime.now(UTC))) and why != said:
            said = why
            note(why)
        time.sleep(_PAUSE_SECONDS)


def _watch_live(client: Client, batch_id: str) -> Any:
    started, pace, reasons, waiting = time.monotonic(), Pace(), Every(_REASONS_SECONDS), list[Any]()
    feed, batch, rows = BatchFeed(client, batch_id), _batch(client, batch_id), list[Any]()
    feed.start()
    told = True
    with Live(console=output.stderr, refresh_per_second=8, transient=False) as live:
        while True:
            asked = time.monotonic()
            if told:
                batch = _batch(client, batch_id)
                rows = _rows(client, batch)
            if rows:
                waiting = rows
            elif reasons.due():
                waiting = _waiting(client, batch)
            ended, seconds = batch["status"] in ENDED, time.monotonic() - started
            why = "" if ended else why_waiting(waiting, datetime.now(UTC))
            room = None if ended else max(1, output.stderr.height - _LINES_AROUND_MATRIX - len(why.splitlines()))
            left = pace.seconds_left(seconds, _done(batch), batch["size"])
            live.update(_picture(batch, rows, room, why, seconds, left))
            if ended:
                return batch
            # a server that takes its time for the rows is not asked for them all the time
            time.sleep(max(_PAUSE_SECONDS, 3 * (time.monotonic() - asked)))
            told = feed.wait(_REDRAW_SECONDS) or feed.ended


class Every:
    """Due at first, and then whenever so many seconds have passed."""

    def __init__(self, seconds: float) -> None:
        self._seconds, self._last = seconds, -seconds

    def due(self) -> bool:
        now = time.monotonic()
        if now - self._last < self._seconds:
            return False
        self._last = now
        return True


class Pace:
    """How fast items have ended of late, as far as this command has seen it."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque()

    def seconds_left(self, now: float, done: int, size: int) -> float | None:
        """None while nothing has ended, and when nothing is left."""
        self._seen.append((now, done))
        while len(self._seen) > 2 and now - self._seen[0][0] > _PACE_SECONDS:
            self._seen.popleft()
        then, before = self._seen[0]
        return (size - done) * (now - then) / (done - before) if before < done < size else None


def _done(batch: Any) -> int:
    return batch["counts"]["completed"] + batch["counts"]["failed"]


def _rows(client: Client, batch: Any) -> list[Any]:
    """The lines of the results, where the batch is small enough for a matrix."""
    return until_answered(lambda: results_of(client, batch["batch_id"])) if batch["size"] <= _MATRIX_ITEMS else []


def results_of(client: Client, batch_id: str, most: int | None = None) -> list[Any]:
    with client.lines(f"/v1/session-batches/{batch_id}/results") as results:
        return list(islice(results, most))


def _waiting(client: Client, batch: Any) -> list[Any]:
    """Those of a batch's first items that wait for something, as far as the server tells."""
    if not batch["counts"]["running"] + batch["counts"]["queued"]:
        return []

    def read() -> list[Any]:
        with client.lines(f"/v1/session-batches/{batch['batch_id']}/results") as results:
            return [row for row in islice(results, _READ_FOR_REASONS) if row.get("waiting")]

    return until_answered(read)


def why_waiting(rows: list[Any], now: datetime) -> str:
    """`3 wait: the provider answers 429, next try in 12 s`; each reason once, the most frequent first."""
    waits = [row["waiting"] for row in rows if row.get("waiting")]
    reasons = Counter(one_line(wait["reason"]) for wait in waits)
    said: list[str] = []
    for reason, count in reasons.most_common(3):
        tries = [wait["until"] for wait in waits if one_line(wait["reason"]) == reason and wait.get("until")]
        said.append(f"{count} wait: {reason}{_next_try(min(tries, default=''), now)}")
    return "\n".join(said)


def _next_try(until: str, now: datetime) -> str:
    seconds = (datetime.fromisoformat(until) - now).total_seconds() if until else 0
    return f", next try in {ceil(seconds)} s" if seconds > 0 else ""


def _picture(batch: Any, rows: list[Any], room: int | None, why: str, seconds: float, left: float | None) -> Group:
    """`room` is how many tasks fit; None for all, in the order of the input."""
    parts: list[Any] = []
    if rows:
        names = tasks_of(rows)
        hidden = 0 if room is None else len(names) - room
        parts.append(matrix(rows, room if hidden > 0 else None))
        if hidden > 0:
            parts.append(Text(f"... and {hidden} more tasks", style="dim"))
    if why:
        parts.append(Text(why, style="yellow", no_wrap=True, overflow="ellipsis"))
    return Group(*parts, _bar(batch, seconds, left))


def _bar(batch: Any, seconds: float, left: float | None) -> Group:
    """Two lines, which fit 80 columns but for long bills."""
    counts, usage = batch["counts"], batch["usage"]
    bar = Table.grid(padding=(0, 2))
    bar.add_row(
        Text(batch["batch_id"], style="bold", no_wrap=True),
        ProgressBar(total=max(1, batch["size"]), completed=_done(batch), width=20),
        Text(f"{_done(batch)}/{batch['size']}", no_wrap=True),
    )
    facts = Text(f"{counts['failed']} failed", style="red" if counts["failed"] else "dim", no_wrap=True, overflow="ellipsis")
    time_left = f", about {_duration(left)} left" if left is not None else ""
    tokens = usage["input_tokens"] + usage["output_tokens"]
    facts.append(f"  {counts['running']} running  {_duration(seconds)}{time_left}  {tokens} tokens  {cost(usage)}", style="default not dim")
    return Group(bar, facts)


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
