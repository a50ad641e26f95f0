"""An environment of its own for each peer, made once and kept in `.venv-peers/`, and the running of programs in it."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

HOME = Path(__file__).parents[2] / ".venv-peers"
INSTALL_SECONDS = 900
MEASURE_SECONDS = 300

# What a peer must not inherit: keys, tracing, a proxy between it and loopback, and the modules of this environment.
_NOT_INHERITED_ENDINGS = ("_API_KEY", "_PROXY")
_NOT_INHERITED_BEGINNINGS = ("PASSEL_", "LANGSMITH_", "LANGCHAIN_", "LANGGRAPH_", "INSPECT_", "OTEL_", "OPENAI_", "PYTHON")


class PeerError(Exception):
    """A peer cannot be installed, started or measured here. The message goes into its row."""


def python_of(peer: str, requirements: Path) -> str:
    """The interpreter of the peer's environment, which is made when it is not there or was made of other versions."""
    home, wanted = HOME / peer, requirements.read_text()
    marker, python = home / "installed.txt", str(home / "bin" / "python")
    if not marker.exists() or marker.read_text() != wanted:
        print(f"making {home.relative_to(HOME.parent)} (a minute or two)", file=sys.stderr)
        HOME.mkdir(exist_ok=True)
        (HOME / ".gitignore").write_text("*\n")
        run([sys.executable, "-m", "venv", "--clear", str(home)], INSTALL_SECONDS)
        run([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", str(requirements)], INSTALL_SECONDS)
        marker.write_text(wanted)
    return python


def versions(requirements: Path) -> dict[str, str]:
    lines = (line.partition("==") for line in requirements.read_text().split())
    return {name.partition("[")[0]: version for name, _, version in lines}


def clean_environment(scratch: Path, **own: str) -> dict[str, str]:
    """The variables of a peer's program: only what is harmless of ours, and its own data in the scratch directory."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.upper().endswith(_NOT_INHERITED_ENDINGS) and not name.startswith(_NOT_INHERITED_BEGINNINGS)
    }
    places = {name: str(scratch) for name in ("XDG_DATA_HOME", "XDG_CACHE_HOME", "XDG_STATE_HOME", "XDG_RUNTIME_DIR")}
    return {**inherited, **places, **own}


def measured_seconds(command: Sequence[str], environment: dict[str, str]) -> float:
    """What a measuring program says in the JSON line that it ends with."""
    return json.loads(run(command, MEASURE_SECONDS, environment).splitlines()[-1])["seconds"]


def run(command: Sequence[str], seconds: float, environment: dict[str, str] | None = None) -> str:
    try:
        ended = subprocess.run(command, capture_output=True, text=True, timeout=seconds, env=environment)
    except subprocess.TimeoutExpired as error:
        raise PeerError(f"no end within {seconds:.0f} s: {command[0]}") from error
    if ended.returncode:
        raise PeerError(last_line(ended.stderr) or f"{command[0]} ended with {ended.returncode}")
    return ended.stdout


def last_line(text: str) -> str:
    return next((line.strip()[:200] for line in reversed(text.splitlines()) if line.strip()), "")
