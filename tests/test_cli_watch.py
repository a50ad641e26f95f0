"""Watching a batch: through outages, on a terminal, and with the results in a file that is whole."""

import fcntl
import io
import json
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from rich.console import Console

from passel.cli.bill import cost
from passel.cli.matrix import matrix, tasks_of
from passel.cli.watch import Pace, why_waiting
from tests.support.installation import KEY, Installation, PlayedModel, item, scratch_dir, wait_for_batch
from tests.test_cli import passel_command

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


def row(index: int, status: str, task: str, llm: str | None = "a", **fields: Any) -> dict[str, Any]:
    usage = {"output_tokens": 7, "total_cost_usd": "0.01"}
    times = {"started_at": NOW.isoformat(), "finished_at": (NOW + timedelta(seconds=2)).isoformat()}
    return {"index": index, "status": status, "metadata": {"task": task}, "llm_id": llm, "usage": usage, "error": None, **times, **fields}


def drawn(table: Any, width: int = 200) -> list[str]:
    console = Console(width=width, file=io.StringIO())
    console.print(table)
    return console.file.getvalue().splitlines()


def test_an_outage_is_outlasted_and_the_results_are_whole(model: PlayedModel, tmp_path: Path) -> None:
    with scratch_dir() as directory:
        passel = Installation(directory, 1, {"PASSEL_DRAIN_SECONDS": "0.5", "PASSEL_TAKEOVER_AFTER": "2"}).start()
        agent = passel.deploy(model.url, ["wait-1"])
        made = passel.client.post("/v1/session-batches", {"items": [item(agent, f"outage {n}") for n in range(6)], "max_concurrency": 1})
        target = tmp_path / "out.jsonl"
        target.write_text("results of an earlier run\n")
        watching = subprocess.Popen(
            [sys.executable, "-m", "passel", "batch", "watch", made["batch_id"], "-o", str(target)],
            env={**passel.environment(), "PASSEL_URL": passel.url, "PASSEL_API_KEY": KEY},
            stderr=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert watching.stderr is not None
        lines = iter(watching.stderr.readline, "")
        said = [next(line for line in lines if "running:" in line)]
        assert not target.exists() and (tmp_path / "out.jsonl.old").read_text() == "results of an earlier run\n"
        assert passel.stop() == 0
        said += [next(line for line in lines if "Trying again" in line)]
        passel.start()
        out, rest = watching.communicate(timeout=60)
        assert watching.returncode == 0 and "answers again" in rest and "Traceback" not in rest, rest
        assert [json.loads(line)["status"] for line in target.read_text().splitlines()] == ["completed"] * 6
        assert "6 completed" in out and sorted(p.name for p in tmp_path.iterdir()) == ["out.jsonl", "out.jsonl.old"]
        assert passel.stop() == 0


def test_a_terminal_shows_the_bar_below_as_many_tasks_as_fit(passel: Installation, agent: str) -> None:
    items = [item(agent, f"seen {n}", llm_id="wait-0.3", metadata={"task": f"seen [{n}]"}) for n in range(40)]
    made = passel.client.post("/v1/session-batches", {"items": items, "max_concurrency": 2})
    shown = on_a_terminal(passel, 15, 80, "batch", "watch", made["batch_id"])
    frame = next(f for f in shown.split("more tasks") if "▶" in f)
    assert frame.count("seen [") <= 2 * 10 and re.search(r"\.\.\. and \d+ more tasks", shown) and "about" in shown and "40/40" in shown
    assert made["batch_id"] in shown and "seen [39]" in shown, "names in brackets are names, and the last picture shows all of them"


def on_a_terminal(passel: Installation, rows: int, columns: int, *arguments: str) -> str:
    """What the command writes to a terminal of that size, without its escape sequences."""
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    environment = {**passel.environment(), "PASSEL_URL": passel.url, "TERM": "xterm"}
    process = subprocess.Popen([sys.executable, "-m", "passel", *arguments], env=environment, stdout=follower, stderr=follower)
    os.close(follower)
    written = b""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and select.select([leader], [], [], 60)[0]:
        try:
            chunk = os.read(leader, 65536)
        except OSError:
            break  # Linux: the other end is closed
        if not chunk:
            break
        written += chunk
    os.close(leader)
    assert process.wait(30) == 0, written
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", written.decode())


def test_the_matrix_is_printed_also_where_nothing_was_watched(passel: Installation, agent: str) -> None:
    odd = "odd [/b] name"
    items = [item(agent, "x", llm_id=llm, metadata={"task": odd}) for llm in ("echo", "status-400")]
    made = passel.client.post("/v1/session-batches", {"items": items})
    wait_for_batch(passel.client, made["batch_id"])
    table = passel_command(passel, "batch", "results", made["batch_id"], "--table").stdout.splitlines()
    assert table[0].split() == ["task", "echo", "status-400"]
    assert table[1].startswith(odd) and "✓" in table[1] and "✗" in table[1] and "HTTP 400: upstream says" in table[1]


def test_a_wrong_key_in_the_middle_says_how_to_go_on(passel: Installation, agent: str, tmp_path: Path) -> None:
    """An error that is no outage ends the command, with the way back."""
    made = json.loads(passel_command(passel, "keys", "create", "short-lived", "--org", "default", "--json").stdout)
    batch = passel.client.post("/v1/session-batches", {"items": [item(agent, "long", llm_id="wait-30")]})
    command = [sys.executable, "-m", "passel", "batch", "watch", batch["batch_id"], "-o", str(tmp_path / "a b.csv")]
    environment = {**passel.environment(), "PASSEL_URL": passel.url, "PASSEL_API_KEY": made["api_key"]}
    watching = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert watching.stderr is not None and "running" in watching.stderr.readline()
    assert passel_command(passel, "keys", "revoke", made["id"], "--org", "default").returncode == 0
    _, told = watching.communicate(timeout=30)
    passel.client.post(f"/v1/session-batches/{batch['batch_id']}/cancel")
    assert watching.returncode == 1 and f"passel batch watch {batch['batch_id']} -o '{tmp_path}/a b.csv'" in told


def test_failed_and_running_tasks_come_first_where_not_all_fit() -> None:
    states = ["completed", "queued", "running", "failed", "completed"]
    rows = [row(n, state, f"t{n}") for n, state in enumerate(states)]
    assert [line.split()[0] for line in drawn(matrix(rows, 3))[1:]] == ["t3", "t2", "t1"]
    assert [line.split()[0] for line in drawn(matrix(rows))[1:]] == [f"t{n}" for n in range(5)]


def test_two_results_of_one_name_are_two_rows() -> None:
    assert list(tasks_of([row(0, "completed", "a"), row(1, "failed", "a"), row(2, "queued", "a", "b")])) == ["a", "a (2)"]


def test_what_a_model_wrote_cannot_draw_on_the_terminal() -> None:
    rows = [row(0, "failed", "t\x1b[31m\x07", error="\x1b]0;title\x07[red]no\x9b2J [/b]")]
    assert drawn(matrix(rows))[1].split() == ["t", "✗", "[red]no2J", "[/b]"]


def test_names_are_whole_where_reasons_are_cut() -> None:
    rows = [row(0, "failed", "a-name-of-24-characters-", llm, error="e" * 200) for llm in ("a", "b")]
    lines = drawn(matrix(rows), 80)
    assert lines[1].startswith("a-name-of-24-characters-") and all(len(line) <= 80 for line in lines)


def test_why_items_wait() -> None:
    def waits(seconds: int) -> dict[str, str]:
        return {"reason": "the provider answers 429", "until": (NOW + timedelta(seconds=seconds)).isoformat()}

    rows = [row(0, "running", "a", waiting=waits(30)), row(1, "running", "b", waiting=waits(12)), row(2, "running", "c", waiting=None)]
    assert why_waiting(rows, NOW) == "2 wait: the provider answers 429, next try in 12 s"
    assert why_waiting(rows, NOW + timedelta(minutes=5)) == "2 wait: the provider answers 429"
    assert why_waiting([row(0, "running", "a"), row(1, "queued", "b", waiting={"reason": "no worker"})], NOW) == "1 wait: no worker"
    assert "waits: the provider answers 429" in drawn(matrix(rows))[1]
    assert why_waiting([row(0, "running", "a")], NOW) == ""


def test_time_left_is_told_by_what_ended_of_late() -> None:
    pace = Pace()
    assert pace.seconds_left(0, 10, 100) is None  # what ended before says nothing of the speed
    assert pace.seconds_left(10, 20, 100) == 80
    assert pace.seconds_left(20, 100, 100) is None
    slower = Pace()
    for second in range(0, 200, 10):
        slower.seconds_left(second, second if second < 100 else 100 + (second - 100) // 10, 1000)
    assert 8000 < (slower.seconds_left(200, 110, 1000) or 0) < 9500


def test_a_bill_without_prices_is_unknown() -> None:
    assert cost({"total_cost_usd": "0", "unpriced_calls": 0}) == "$0"
    assert cost({"total_cost_usd": "0", "unpriced_calls": 2}) == "unknown (2 unpriced calls)"
    assert cost({"total_cost_usd": "0.5", "unpriced_calls": 1}) == "$0.5 + 1 unpriced call"


def test_results_that_cannot_be_written_are_known_before_anything_is_submitted(passel: Installation, agent: str, tmp_path: Path) -> None:
    tasks = tmp_path / "t.jsonl"
    tasks.write_text('{"prompt": "x"}\n')
    (tmp_path / "dir.csv").mkdir()
    for target, said in (("out.txt", ".jsonl or .csv"), ("none/out.csv", "no directory"), ("dir.csv", "is a directory")):
        done = passel_command(passel, "run", str(tasks), "--agent", agent, "-o", str(tmp_path / target))
        assert done.returncode == 1 and said in done.stderr, done.stderr


def test_nothing_but_the_data_with_quiet(passel: Installation, agent: str, tmp_path: Path) -> None:
    tasks = tmp_path / "t.jsonl"
    tasks.write_text('{"prompt": "x"}\n')
    done = passel_command(passel, "run", str(tasks), "--agent", agent, "--quiet", "--json")
    assert done.stderr == "" and json.loads(done.stdout)["status"] == "completed"
    batch = json.loads(done.stdout)["batch_id"]
    watched = passel_command(passel, "batch", "watch", batch, "-q")
    assert watched.stderr == "" and "cost      unknown (1 unpriced call)" in watched.stdout
    assert len((tmp_path / "t.results.jsonl").read_text().splitlines()) == 1
