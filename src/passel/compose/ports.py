"""Ports of this installation on this machine, which its browsers never reach: each API process leaves a note of its own."""

import contextlib
import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from passel.compose.settings import Settings

_DATABASE_PORT = 5432


@contextmanager
def noted(settings: Settings) -> Generator[Path]:
    """Where a process notes its port once it listens; the note goes with it."""
    path = settings.data_dir / "ports" / str(os.getpid())
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


def own_ports(settings: Settings) -> frozenset[int]:
    """Those that are noted, also by processes that are dead by now, and those that the settings name."""
    ports = {settings.port, *_of_database(settings.database_url or "")}
    with contextlib.suppress(OSError):
        for note in (settings.data_dir / "ports").iterdir():
            with contextlib.suppress(OSError, ValueError):
                ports.add(int(note.read_text()))
    return frozenset(ports)


def _of_database(url: str) -> set[int]:
    """A URL may name several servers, each with a port or without, or say it after the question mark."""
    if not url:
        return set()
    parts = urlsplit(url)
    named = [host.rpartition(":")[2] for host in parts.netloc.rpartition("@")[2].split(",")]
    named += [port for ports in parse_qs(parts.query).get("port", []) for port in ports.split(",")]
    return {_DATABASE_PORT} | {int(port) for port in named if port.isdecimal()}
