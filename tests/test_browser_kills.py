"""Workers, keepers, browsers and the API are killed, alone and together: what lives goes on, what died says so, and nothing is left."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import psutil
import pytest

from passel.faces.anchor import ids
from passel.workloads.browser import homes
from passel.workloads.browser.chromium import find
from tests.support.installation import Installation, installed, scratch_dir, wait_until
from tests.test_chaos import rows

CONFIGURATION = {"session": {"recording": {"active": False}}, "browser": {"headless": {"active": True}}}
needs_chromium = pytest.mark.skipif(find() is None, reason="no Chromium: `make test` installs Debian's where it may")


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    """Where browsers of these tests keep their files."""
    with scratch_dir() as directory:
        directory.chmod(0o711)
        yield directory


@pytest.fixture(scope="module")
def serving(place: Path) -> Iterator[Installation]:
    """Two workers."""
    settings = {"PASSEL_BROWSERS": "3", "PASSEL_BROWSER_STARTS": "1", "PASSEL_BROWSER_DIR": str(place), "PASSEL_TAKEOVER_AFTER": "2"}
    with installed(2, settings) as installation:
        yield installation
    assert list(place.iterdir()) == [], "workers that end leave nothing"


def begin(http: httpx2.Client, configuration: Any = CONFIGURATION) -> str:
    made = http.post("/v1/sessions", json=configuration)
    assert made.status_code == 200, made.text
    return made.json()["data"]["id"]


def read(http: httpx2.Client, session_id: str) -> Any:
    return http.get(f"/v1/sessions/{session_id}").json()["data"]


def home_of(serving: Installation, session_id: str) -> Path:
    """Where the files of its worker's browsers are."""
    [row] = rows(serving, "select result ->> 'address' as address from message where session_id = $1", ids.session_id(session_id))
    return Path(row["address"].removeprefix("unix:")).parent


def keeper_of(home: Path) -> psutil.Process:
    [keeper] = [one for one in psutil.process_iter(["cmdline"]) if (one.info["cmdline"] or [""])[-1] == str(home)]
    return keeper


def processes_in(home: Path) -> list[psutil.Process]:
    """Those of its browsers; the first ones come first."""
    found = [one for one in psutil.process_iter(["cmdline"]) if any(f"{home}/b" in part for part in one.info["cmdline"] or ())]
    return sorted(found, key=lambda process: any(part.startswith("--type=") for part in process.info["cmdline"]))


def freeze(processes: list[psutil.Process]) -> None:
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(signal.SIGSTOP)


def lives(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.Error):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


def none_live(processes: list[psutil.Process]) -> bool:
    return not any(lives(process) for process in processes)


def end_all(http: httpx2.Client, place: Path) -> None:
    http.delete("/v1/sessions/all")
    wait_until(lambda: not list(place.glob("pb*/b*")))


@needs_chromium
def test_what_a_worker_left_that_was_killed_with_its_keeper(serving: Installation, http: httpx2.Client, place: Path) -> None:
    """Some processes of its browser are frozen, so that they notice nothing: the worst that can be left."""
    made: dict[Path, str] = {}
    while len(made) < 2:
        made.setdefault(home_of(serving, id := begin(http)), id)
    (home, lost), (their_home, other) = made.items()
    left, theirs = processes_in(home), processes_in(their_home)
    assert home.parent == place and (home / "listen").exists()
    frozen = [process for process in left if any(part.startswith("--type=") for part in process.info["cmdline"])]
    assert len(frozen) >= 3
    freeze(frozen)
    keeper = keeper_of(home)
    worker = keeper.parent()
    assert worker is not None
    for process in (keeper, worker):
        process.kill()
    wait_until(lambda: not home.exists() and none_live(left), 30)
    wait_until(lambda: read(http, lost)["status"] == "failed")
    assert read(http, lost)["end_reason"] == "worker_lost"
    assert all(lives(process) for process in theirs), "those of a live worker are left alone"
    assert http.get(f"/v1/sessions/{other}/pages").json()["data"]["count"] == 1
    end_all(http, place)


@needs_chromium
def test_a_keeper_that_dies_leaves_nothing_to_its_worker(serving: Installation, http: httpx2.Client, place: Path) -> None:
    id = begin(http)
    home = home_of(serving, id)
    browser = processes_in(home)
    freeze(browser[1:])
    keeper_of(home).kill()
    wait_until(lambda: read(http, id)["status"] == "failed")
    assert not list(home.glob("b*/")), "its directory is gone with it"
    while home_of(serving, begin(http)) != home:
        pass
    wait_until(lambda: none_live(browser))
    end_all(http, place)


_HOLDER = """
import sys, time
from pathlib import Path
from passel.faces.anchor import ids
from passel.workloads.browser import homes
home = homes.make(Path(sys.argv[1]))
print(home.path, flush=True)
time.sleep(600)
"""


def test_a_sweep_takes_only_what_is_nobodys(tmp_path: Path) -> None:
    """Of a live process, of somebody else, of programs that we do not know, and of a process that has a number again."""
    holder = subprocess.Popen([sys.executable, "-c", _HOLDER, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    bystander = subprocess.Popen(["sleep", "600"], start_new_session=True)
    try:
        assert holder.stdout is not None
        held = Path(holder.stdout.readline().strip())
        (unknown := tmp_path / "pbx").mkdir()
        (tmp_path / "pblink").symlink_to(held)
        record = {"pid": bystander.pid, "started": 1, "uid": os.getuid()}
        (held / "b1.session").write_text(json.dumps(record))
        homes.sweep(tmp_path)
        assert held.is_dir() and unknown.is_dir()
        holder.kill()
        holder.wait()
        if os.getuid() == 0:
            shutil.copytree(held, theirs := tmp_path / "pbtheirs")
            os.chown(theirs, 1234, 1234)
        homes.sweep(tmp_path)
        assert not held.exists() and unknown.is_dir() and bystander.poll() is None
        if os.getuid() == 0:
            assert theirs.is_dir()
    finally:
        for process in (holder, bystander):
            process.kill()
            process.wait()
        if holder.stdout is not None:
            holder.stdout.close()
