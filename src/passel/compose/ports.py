"""Ports of this installation on this machine, which its browsers never reach: each API process leaves a note of its own."""

import contextlib
import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

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
    ports = {settings.port}
    with contextlib.suppress(ValueError):
        if settings.database_url:
            ports.add(urlsplit(settings.database_url).port or _DATABASE_PORT)
    with contextlib.suppress(OSError):
        for note in (settings.data_dir / "ports").iterdir():
            with contextlib.suppress(OSError, ValueError):
                ports.add(int(note.read_text()))
    return frozenset(ports)
