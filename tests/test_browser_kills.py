"""Workers, keepers, browsers and the API are killed, alone and together: what lives goes on, what died says so, and nothing is left."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import psutil
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect as websocket

from passel.faces.anchor import ids
from passel.workloads.browser import homes
from passel.workloads.browser.chromium import find
from tests.support.dying_chromium import Deaths
from tests.support.installation import KEY, Installation, Program, installed, scratch_dir, wait_until
from tests.support.worlds import INVARIANTS
from tests.test_chaos import is_ready, rows

CONFIGURATION = {"session": {"recording": {"active": False}}, "browser": {"headless": {"active": True}}}
SETTINGS = {"PASSEL_BROWSER_STARTS": "1", "PASSEL_TAKEOVER_AFTER": "2"}
needs_chromium = pytest.mark.skipif(find() is None, reason="no Chromium: `make test` installs Debian's where it may")


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    """Where browsers of these tests keep their files."""
    with scratch_dir() as directory:
        directory.chmod(0o711)
        yield directory


@pytest.fixture(scope="module")
def deaths() -> Iterator[Deaths]:
    """Those that browsers of these tests die when it is planned."""
    with scratch_dir() as directory:
        yield Deaths.at(directory, find() or "")


@pytest.fixture(scope="module")
def serving(place: Path, deaths: Deaths) -> Iterator[Installation]:
    """Two workers."""
    settings = {**SETTINGS, "PASSEL_BROWSERS": "4", "PASSEL_BROWSER_DIR": str(place), "PASSEL_CHROMIUM": str(deaths.program)}
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


def batch_of(http: httpx2.Client, count: int, configuration: Any = CONFIGURATION) -> str:
    made = http.post("/v1/batch-sessions", json={"count": count, "configuration": configuration})
    assert made.status_code == 200, made.text
    return made.json()["data"]["batch_id"]


def look(http: httpx2.Client, batch_id: str) -> Any:
    """A batch, whose counters sum at every look."""
    found = http.get(f"/v1/batch-sessions/{batch_id}").json()["data"]
    counted = ("completed_requests", "failed_requests", "cancelled_requests", "processing_requests", "pending_requests")
    assert sum(found[name] for name in counted) == found["total_requests"] == len(found["sessions"]), found
    return found


def over(http: httpx2.Client, batch_id: str) -> Any:
    """A batch, once it has ended."""

    def ended() -> Any:
        found = look(http, batch_id)
        return found if found["status"] not in ("pending", "processing") else None

    return wait_until(ended, 120)


def lose_a_worker_half_way(serving: Installation, http: httpx2.Client, count: int) -> None:
    """When half of a batch is ready the worker of the first of those is killed."""
    batch_id = batch_of(http, count)

    def half() -> Any:
        ready = [one["session_id"] for one in look(http, batch_id)["sessions"] if one["status"] == "completed"]
        return ready if len(ready) >= count // 2 else None

    early = wait_until(half, 120, every=0.01)
    home = home_of(serving, early[0])
    lost = [id for id in early if home_of(serving, id) == home]
    (worker := keeper_of(home).parent()) and worker.kill()
    done = over(http, batch_id)
    assert done["completed_requests"] == count, "those that were not ready were started again"
    for id in lost:
        wait_until(lambda id=id: read(http, id)["status"] == "failed")
        told = read(http, id)
        assert told["end_reason"] == "worker_lost" and "worker" in told["error"], told
    sessions = {one["session_id"]: read(http, one["session_id"]) for one in done["sessions"]}
    assert len(sessions) == count
    running = [id for id, told in sessions.items() if told["status"] == "running"]
    assert set(early) - set(lost) <= set(running) and len(running) >= count - len(early), "of others none was lost"
    assert {told["end_reason"] for id, told in sessions.items() if id not in running} == {"worker_lost"}
    for id in running:
        assert http.get(f"/v1/sessions/{id}/pages").json()["data"]["count"] == 1
    assert rows(serving, INVARIANTS) == []


@needs_chromium
def test_a_worker_is_killed_with_half_of_a_batch_ready(serving: Installation, http: httpx2.Client, place: Path) -> None:
    lose_a_worker_half_way(serving, http, 4)
    end_all(http, place)


@needs_chromium
@pytest.mark.slow
def test_a_worker_is_killed_with_half_of_ten_ready(place: Path) -> None:
    """Of twenty in the end, on each of two workers."""
    with (
        installed(2, {**SETTINGS, "PASSEL_BROWSERS": "20", "PASSEL_BROWSER_DIR": str(place)}) as installation,
        httpx2.Client(base_url=installation.url, headers={"anchor-api-key": KEY}, timeout=90) as http,
    ):
        for _ in range(2):
            lose_a_worker_half_way(installation, http, 10)
        end_all(http, place)


PHASES = ("start", "1", "4", "10")
"""When a browser dies before it is ready: when it has begun, and with commands that it is sent until then."""


@needs_chromium
def test_browsers_that_die_while_they_start(serving: Installation, http: httpx2.Client, place: Path, deaths: Deaths) -> None:
    """Each is started again; one that dies twice fails and says why. Others do not notice."""
    bystander = begin(http)
    for phase in PHASES:
        deaths.plan(phase)
        batch_id = batch_of(http, 1)
        done = over(http, batch_id)
        assert done["status"] == "completed" and deaths.left == [], (phase, done)
        assert read(http, done["sessions"][0]["session_id"])["status"] == "running"
        http.delete(f"/v1/batch-sessions/{batch_id}")
    deaths.plan("3", "6")
    failed = batch_of(http, 1)
    told = over(http, failed)
    why = "start_failed: the browser ended while it started (signal 9)"
    assert (told["status"], told["failed_requests"], told["sessions"][0]["error"]) == ("failed", 1, why), told
    session = read(http, told["sessions"][0]["session_id"])
    assert (session["status"], session["end_reason"]) == ("failed", "start_failed") and session["error"] in why, session
    assert http.post(f"/v1/batch-sessions/{failed}/retry", json={}).json()["data"]["retried_sessions"] == 1
    assert over(http, failed)["completed_requests"] == 1
    assert http.get(f"/v1/sessions/{bystander}/pages").json()["data"]["count"] == 1
    assert rows(serving, INVARIANTS) == []
    end_all(http, place)
    wait_until(lambda: not [one for home in place.iterdir() for one in processes_in(home)])


@needs_chromium
def test_browsers_that_die_later(serving: Installation, http: httpx2.Client, place: Path, deaths: Deaths) -> None:
    """Under a client while it is recorded, and when it is asked to end. Its batch stays as it is."""
    batch_id = batch_of(http, 1, {"browser": CONFIGURATION["browser"]})
    [item] = over(http, batch_id)["sessions"]
    id = item["session_id"]
    client = Driven(serving.url, http, id)
    assert client.evaluate("document.body.style.background = 'red'") == "red"
    time.sleep(1)  # so long it is to be seen
    processes_in(home_of(serving, id))[0].kill()
    assert client.farewell() == (1001, "session ended: crash")
    wait_until(lambda: read(http, id)["status"] == "failed")
    told = read(http, id)
    assert (told["end_reason"], told["error"]) == ("crash", "crash: the browser's process ended (signal 9)")
    assert http.get(f"/v1/sessions/{id}/recordings").json()["data"]["count"] == 1
    assert look(http, batch_id)["completed_requests"] == 1
    deaths.plan("Browser.close")
    id = begin(http)
    http.delete(f"/v1/sessions/{id}")
    wait_until(lambda: read(http, id)["status"] == "completed")
    assert read(http, id)["end_reason"] == "api" and deaths.left == []
    end_all(http, place)


class Driven:
    """A client that drives the page of a session, through whichever API process it was given the address of."""

    def __init__(self, serving_url: str, http: httpx2.Client, session_id: str) -> None:
        page = http.get(f"/v1/sessions/{session_id}/pages").json()["data"]["items"][0]["id"]
        self._way = f"/devtools/page/{page}?apiKey={KEY}&sessionId={session_id}"
        self._number, self._open = 0, contextlib.ExitStack()
        self.connect(serving_url)

    def connect(self, url: str) -> None:
        self._socket = self._open.enter_context(websocket(url.replace("http", "ws", 1) + self._way, max_size=None))

    def evaluate(self, expression: str) -> Any:
        self._number += 1
        asked = {"id": self._number, "method": "Runtime.evaluate", "params": {"expression": expression}}
        self._socket.send(json.dumps(asked))
        while (told := json.loads(self._socket.recv(timeout=30))).get("id") != self._number:
            pass
        return told["result"]["result"]["value"]

    def farewell(self) -> tuple[int, str]:
        """With which code and reason it is closed from the other side."""
        with pytest.raises(ConnectionClosed) as closed:
            while True:
                self._socket.recv(timeout=30)
        self.close()
        assert closed.value.rcvd is not None
        return closed.value.rcvd.code, closed.value.rcvd.reason

    def close(self) -> None:
        self._open.close()


@contextlib.contextmanager
def second_api(serving: Installation) -> Iterator[str]:
    """Another API process of the same installation; its address."""
    environment = serving.environment() | {"PASSEL_DATABASE_URL": serving.database_url(), "PASSEL_PORT": "0"}
    api = Program([sys.executable, "-m", "passel", "api"], environment, stderr_path=serving.data_dir / "api.err")
    try:
        yield api.start("listening ").split()[1]
    finally:
        assert api.stop() == 0


@needs_chromium
def test_an_api_process_dies_under_ten_clients(serving: Installation, http: httpx2.Client, place: Path) -> None:
    """By force, and as a restart ends it. Who was connected goes on, and who was not reaches the same session through another one."""
    made = [begin(http) for _ in range(2)]
    with second_api(serving) as other:
        for number, end in enumerate((signal.SIGKILL, signal.SIGTERM)):
            clients = [Driven(serving.url, http, made[n % 2]) for n in range(10)]
            for n, client in enumerate(clients):
                assert client.evaluate(f"window.kept{number}_{n} = {n}") == n
            [api] = serving.children("api")
            api.send_signal(end)
            api.wait(30)
            for n, client in enumerate(clients):
                assert client.evaluate(f"window.kept{number}_{n}") == n, "a connection is the worker's own"
                client.close()
                client.connect(other)
                assert client.evaluate(f"window.kept{number}_{n}") == n, "the session is the same through another one"
                client.close()
            wait_until(lambda: is_ready(serving), 60)
            assert {read(http, id)["status"] for id in made} == {"running"}
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
