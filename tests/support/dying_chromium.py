"""A Chromium that dies when a test wants it to: a program that stands before the real one.

    deaths/<order>-<when>    one for each browser that is to die, taken by the next one that starts: at its `start`, with the n-th command
                             that it is sent, or with the first of a name (`Browser.close`)

Without one of these the real program takes its place and nothing else happens.
"""

import stat
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

_PROGRAM = """#!{python} -IS
import os, select, signal, subprocess, sys

CHROMIUM, DEATHS = {chromium!r}, {deaths!r}


def taken():
    for name in sorted(os.listdir(DEATHS)):
        try:
            os.unlink(f"{{DEATHS}}/{{name}}")
            return name.partition("-")[2]
        except FileNotFoundError:
            pass  # another browser's


def die(browser=None):
    if browser is not None:
        browser.kill()
    os.kill(os.getpid(), signal.SIGKILL)


when = taken()
if when is None:
    os.execv(CHROMIUM, [CHROMIUM, *sys.argv[1:]])
if when == "start":
    die()
theirs, ours = os.pipe()


def connect():
    os.dup2(theirs, 3)
    os.close(ours)


browser = subprocess.Popen([CHROMIUM, *sys.argv[1:]], preexec_fn=connect, close_fds=False)
os.close(theirs)
number, rest = 0, b""
while browser.poll() is None:
    if not select.select([3], [], [], 0.05)[0]:
        continue
    if not (read := os.read(3, 65536)):
        break
    *commands, rest = (rest + read).split(b"\\0")
    for command in commands:
        number += 1
        if when == str(number) or f'"{{when}}"'.encode() in command:
            die(browser)
        os.write(ours, command + b"\\0")
os.close(ours)
sys.exit(browser.wait())
"""


@dataclass(frozen=True)
class Deaths:
    """`program` is what is taken for Chromium."""

    directory: Path
    program: Path

    @staticmethod
    def at(place: Path, chromium: str) -> "Deaths":
        """In a directory that other accounts may enter."""
        deaths, program = place / "deaths", place / "dying_chromium"
        deaths.mkdir()
        deaths.chmod(0o777)
        program.write_text(_PROGRAM.format(python=_python(), chromium=chromium, deaths=str(deaths)))
        program.chmod(stat.S_IRUSR | stat.S_IXUSR | stat.S_IRGRP | stat.S_IXGRP | stat.S_IROTH | stat.S_IXOTH)
        return Deaths(deaths, program)

    def plan(self, *when: str) -> None:
        for order, one in enumerate(when):
            (self.directory / f"{order:03}-{one}").touch()

    @property
    def left(self) -> list[str]:
        """Those that no browser has died yet."""
        return sorted(path.name for path in self.directory.iterdir())


def _python() -> Path:
    """One that other accounts may run too."""
    for path in (Path(sys.executable).resolve(), Path("/usr/local/bin/python3"), Path("/usr/bin/python3")):
        if path.exists() and all(above.stat().st_mode & stat.S_IXOTH for above in (path, *path.parents)):
            return path
    pytest.skip("no Python here that other accounts may run")
