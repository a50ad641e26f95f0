"""Inspect AI: the same turn as a sample of an evaluation, with its log in a scratch directory.

Each round is a process of its own, which warms up first (see `inspect_app/measure.py` for what is measured). Two of
its settings serve it best and are not the defaults: 20 connections and samples at once (with 200 it took about a
third longer for the same samples), and no second log for live viewers (`log_realtime`; with it, a third fewer samples
a second).

Durable in part: finished samples reach the log in tens, so a killed evaluation loses the last few. Nothing goes on by
itself; `inspect eval-retry` keeps what the log has, and runs the rest from the start.
"""

import tempfile
from pathlib import Path

from benchmarks.peers.environment import clean_environment, measured_seconds, python_of

APP = Path(__file__).parent / "inspect_app"
REQUIREMENTS = APP / "requirements.txt"

AT_ONCE = 20

WHAT = "Inspect AI"
DURABLE = "in part"
NOTES = f"{AT_ONCE} at once; finished samples are kept in tens, goes on by hand"


def prepare() -> None:
    python_of("inspect", REQUIREMENTS)


def turns(model_url: str, sessions: int, tag: str) -> float:
    """Samples a second of one `eval`, with the writing of its log."""
    python = python_of("inspect", REQUIREMENTS)
    asked = ["--url", f"{model_url}/v1", "--sessions", str(sessions), "--concurrency", str(AT_ONCE), "--tag", tag]
    with tempfile.TemporaryDirectory() as scratch:
        return sessions / measured_seconds([python, str(APP / "measure.py"), *asked], clean_environment(Path(scratch)))
