"""LangGraph's dev server: the same turn as a graph of one node, through its HTTP API.

Each round has a server of its own, started, warmed up, measured and stopped. That serves it best: its in-memory store
is a list which is searched from end to end for each run, so a server that has kept thousands of runs is slower.

It has 10 jobs (`--n-jobs-per-worker`, also its default) and 50 clients. The queue sleeps for half a second whenever it
finds nothing to do, so it is at its best with a few times more clients than jobs: with 50 jobs for 50 clients it made
about a third of the turns, with 200 clients about two thirds. Logs are at `warning`, as Passel's are.

Not durable: the store is memory, written to files every 10 s. A server that is killed and started again on the same
files has lost the runs it acknowledged since, the finished ones with them.
"""

import contextlib
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2

from benchmarks.peers.environment import PeerError, clean_environment, last_line, measured_seconds, python_of

APP = Path(__file__).parent / "langgraph_app"
REQUIREMENTS = APP / "requirements.txt"
JOBS, CLIENTS, WARM_UP = 10, 50, 50
START_SECONDS = 60

WHAT = "LangGraph dev server"
DURABLE = "no"
NOTES = f"{JOBS} jobs, {CLIENTS} clients; in memory, written to files every 10 s"


def prepare() -> None:
    python_of("langgraph", REQUIREMENTS)


def turns(model_url: str, sessions: int, tag: str) -> float:
    """Turns a second from the first request to the last answer. Not in it: the server's start, and its warm-up."""
    python = python_of("langgraph", REQUIREMENTS)
    with tempfile.TemporaryDirectory() as scratch, _server(python, Path(scratch), model_url) as url:

        def drive(count: int, text: str) -> float:
            asked = ["--url", url, "--sessions", str(count), "--clients", str(CLIENTS), "--tag", text]
            return measured_seconds([python, str(APP / "drive.py"), *asked], clean_environment(Path(scratch)))

        drive(WARM_UP, f"{tag} warm-up")
        return sessions / drive(sessions, tag)


@contextlib.contextmanager
def _server(python: str, scratch: Path, model_url: str) -> Iterator[str]:
    """A server in a copy of the app: it finds the graph from its working directory, and keeps its files there."""
    place = shutil.copytree(APP, scratch / "app", ignore=shutil.ignore_patterns("__pycache__"))
    port, log = _free_port(), scratch / "server.log"
    options = ["--no-browser", "--no-reload", "--host", "127.0.0.1", "--port", str(port), "--n-jobs-per-worker", str(JOBS)]
    environment = clean_environment(
        scratch,
        PEER_MODEL_URL=f"{model_url}/v1",
        LANGSMITH_TRACING="false",
        LANGGRAPH_CLI_NO_ANALYTICS="1",
        LANGGRAPH_NO_VERSION_CHECK="1",
        LOG_LEVEL="WARNING",
    )
    with log.open("w") as output:
        command = [str(Path(python).parent / "langgraph"), "dev", *options]
        process = subprocess.Popen(command, cwd=place, env=environment, stdout=output, stderr=subprocess.STDOUT, start_new_session=True)
    try:
        _wait_until_ready(process, url := f"http://127.0.0.1:{port}", log)
        yield url
    finally:
        _stop(process)


def _wait_until_ready(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(httpx2.TransportError):
            if httpx2.get(f"{url}/ok", timeout=5, trust_env=False).status_code == 200:
                return
        time.sleep(0.1)
    raise PeerError(f"the server did not start: {last_line(log.read_text())}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
