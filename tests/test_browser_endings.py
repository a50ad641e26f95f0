"""Sessions that end in every way there is leave nothing: no process, no file, no port, no descriptor."""

import contextlib
import itertools
import json
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import psutil
import pytest
from websockets.sync.client import connect as websocket

from passel.workloads.browser.chromium import find
from tests.support.installation import Installation, installed, scratch_dir, wait_until
from tests.support.worlds import INVARIANTS
from tests.test_browser_kills import keeper_of, over, processes_in, read
from tests.test_chaos import rows

pytestmark = pytest.mark.skipif(find() is None, reason="no Chromium: `make test` installs Debian's where it may")

HEADLESS = {"headless": {"active": True}}
SECOND = 1 / 60
PLACES = 6


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    with scratch_dir() as directory:
        directory.chmod(0o711)
        yield directory


@pytest.fixture(scope="module")
def serving(place: Path) -> Iterator[Installation]:
    settings = {"PASSEL_BROWSERS": str(2 * PLACES), "PASSEL_BROWSER_DIR": str(place), "PASSEL_TAKEOVER_AFTER": "2"}
    with installed(1, settings) as installation:
        yield installation
    assert list(place.iterdir()) == []


@dataclass
class Sessions:
    """Makes some and sees them end. Every other one is recorded, every third has a profile, which it saves."""

    http: httpx2.Client
    home: Path
    _number: Iterator[int] = field(default_factory=itertools.count)

    def asked(self, number: int, timeout: Any = None, **browser: Any) -> dict[str, Any]:
        session = {"recording": {"active": number % 2 == 0}} | ({"timeout": timeout} if timeout else {})
        profile = {"profile": {"name": f"profile-{number}", "persist": True}} if number % 3 == 0 else {}
        return {"session": session, "browser": {**HEADLESS, **profile, "viewport": self.viewport(number), **browser}}

    def viewport(self, number: int) -> dict[str, int]:
        """By which its process is known."""
        return {"width": 600 + number, "height": 400}

    def begin(self, timeout: Any = None) -> tuple[int, Any]:
        number = next(self._number)
        made = self.http.post("/v1/sessions", json=self.asked(number, timeout))
        assert made.status_code == 200, made.text
        return number, made.json()["data"]

    def batch(self, **browser: Any) -> str:
        asked = {"count": 1, "configuration": self.asked(next(self._number), **browser)}
        return self.http.post("/v1/batch-sessions", json=asked).json()["data"]["batch_id"]

    def ended(self, id: str, reason: str) -> None:
        def over() -> Any:
            told = read(self.http, id)
            return told if told["status"] in ("completed", "failed") else None

        assert wait_until(over, 60)["end_reason"] == reason

    def by_the_api(self) -> None:
        _, made = self.begin()
        self.http.delete(f"/v1/sessions/{made['id']}")
        self.ended(made["id"], "api")

    def with_its_batch(self) -> None:
        batch_id = self.batch()
        assert over(self.http, batch_id)["completed_requests"] == 1
        self.http.delete(f"/v1/batch-sessions/{batch_id}")

    def by_being_idle(self) -> None:
        self.ended(self.begin({"idle_timeout": SECOND})[1]["id"], "idle_timeout")

    def by_its_age(self) -> None:
        self.ended(self.begin({"max_duration": SECOND, "idle_timeout": -1})[1]["id"], "max_duration")

    def by_breaking(self) -> None:
        number, made = self.begin()
        size = f"--window-size={self.viewport(number)['width']},"
        [main] = [one for one in processes_in(self.home) if any(part.startswith(size) for part in one.info["cmdline"]) and _is_first(one)]
        main.kill()
        self.ended(made["id"], "crash")

    def by_its_client(self) -> None:
        """Who asks the browser to close has left; nobody is there any more then."""
        _, made = self.begin({"idle_timeout": SECOND})
        with websocket(made["cdp_url"], max_size=None) as client:
            client.send(json.dumps({"id": 1, "method": "Browser.close"}))
            assert json.loads(client.recv(timeout=30)) == {"id": 1, "result": {}}
        self.ended(made["id"], "idle_timeout")

    def by_being_cancelled_early(self) -> None:
        batch_id = self.batch()
        if self.http.patch(f"/v1/batch-sessions/{batch_id}", json={"status": "cancelled"}).status_code == 409:
            self.http.delete(f"/v1/batch-sessions/{batch_id}")  # it was ready sooner than that
        else:
            over(self.http, batch_id)

    def by_not_starting(self) -> None:
        batch_id = self.batch(sensitive_data_mask={"active": True, "custom_patterns": [{"regex": "("}]})
        assert over(self.http, batch_id)["sessions"][0]["error"].startswith("start_failed: browser.sensitive_data_mask")

    def ways(self) -> list[Callable[[], None]]:
        return [
            self.by_the_api,
            self.with_its_batch,
            self.by_being_idle,
            self.by_its_age,
            self.by_breaking,
            self.by_its_client,
            self.by_being_cancelled_early,
            self.by_not_starting,
        ]


def _is_first(process: psutil.Process) -> bool:
    return not any(part.startswith("--type=") or "crashpad" in part for part in process.info["cmdline"])


def held(process: psutil.Process, home: Path) -> Counter[str]:
    """Pipes, ports, and files of browsers, that a process has open."""
    found = Counter[str]()
    for fd in Path(f"/proc/{process.pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            name = str(fd.readlink())
            if name.startswith(("pipe:", str(home))):
                found[name.partition(":")[0]] += 1
    found["ports"] = sum(one.status == psutil.CONN_LISTEN for one in process.net_connections("tcp"))
    return found


def end_in_every_way(serving: Installation, http: httpx2.Client, place: Path, rounds: int) -> None:
    [home] = place.iterdir()
    sessions = Sessions(http, home)
    [worker], keeper = serving.children("worker"), keeper_of(home)
    clean, before, keepers = {path.name for path in home.iterdir()}, held(worker, home), keeper.num_fds()
    with ThreadPoolExecutor(PLACES) as pool:
        for done in [pool.submit(way) for _ in range(rounds) for way in sessions.ways()]:
            done.result()
    wait_until(lambda: {path.name for path in home.iterdir()} == clean, 30)
    assert processes_in(home) == [] and keeper.children() == []
    wait_until(lambda: (held(worker, home), keeper.num_fds()) == (before, keepers), 30)
    lost = [sessions.begin()[1]["id"] for _ in range(2)]
    worker.kill()
    for id in lost:
        sessions.ended(id, "worker_lost")
    wait_until(lambda: not home.exists())
    assert not [one for one in psutil.process_iter(["cmdline"]) if any(str(home) in part for part in one.info["cmdline"] or ())]
    assert list((serving.data_dir / "recordings").iterdir()) == []
    assert rows(serving, INVARIANTS) == []
    assert rows(serving, "select id from message where kind = 'browser' and outcome is null") == []


def test_two_dozen_sessions_leave_nothing(serving: Installation, http: httpx2.Client, place: Path) -> None:
    end_in_every_way(serving, http, place, rounds=3)


@pytest.mark.slow
def test_two_hundred_sessions_leave_nothing(serving: Installation, http: httpx2.Client, place: Path) -> None:
    end_in_every_way(serving, http, place, rounds=25)
