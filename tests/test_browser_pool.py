"""Browsers that wait, started, for whoever comes next."""

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import httpx2
import psutil
import pytest
from websockets.sync.client import connect as websocket

from passel.workloads.browser.chromium import find
from tests.support.browsing import pages
from tests.support.installation import Installation, installed, wait_until
from tests.test_browsers import mains

pytestmark = pytest.mark.skipif(find() is None, reason="no Chromium: `make test` installs Debian's where it may")


@pytest.fixture(scope="module")
def serving() -> Iterator[Installation]:
    with installed(1, {"PASSEL_BROWSER_POOL": "2", "PASSEL_ALLOW_PRIVATE_URLS": "1"}) as installation:
        yield installation


def own(serving: Installation) -> list[psutil.Process]:
    """The first processes of this installation's browsers."""
    below = {child.pid for worker in serving.children("worker") for child in worker.children(recursive=True)}
    return [process for process in mains() if process.pid in below]


def both(serving: Installation) -> list[psutil.Process]:
    """The two that wait, once they are there."""

    def two() -> list[psutil.Process] | None:
        found = own(serving)
        return found if len(found) == 2 else None

    return wait_until(two, 30)


def begin(http: httpx2.Client, url: str | None = None, **browser: Any) -> Any:
    asked = {
        "session": {"recording": {"active": False}, **({"initial_url": url} if url else {})},
        "browser": {"headless": {"active": True}, **browser},
    }
    made = http.post("/v1/sessions", json=asked)
    assert made.status_code == 200, made.text
    return made.json()["data"]


def evaluates(made: Any, expression: str) -> Any:
    with websocket(made["cdp_url"], max_size=None) as raw:
        raw.send('{"id":1,"method":"Target.getTargets"}')
        [page] = [one for one in json.loads(raw.recv(timeout=20))["result"]["targetInfos"] if one["type"] == "page"]
    with websocket(made["cdp_url"].replace("/?", f"/devtools/page/{page['targetId']}?"), max_size=None) as raw:
        raw.send(json.dumps({"id": 1, "method": "Runtime.evaluate", "params": {"expression": expression, "returnByValue": True}}))
        return json.loads(raw.recv(timeout=20))["result"]["result"]["value"]


def test_sessions_take_browsers_that_wait(serving: Installation, http: httpx2.Client) -> None:
    waiting = {process.pid for process in both(serving)}
    made = [begin(http, viewport={"width": 800, "height": 600}), begin(http)]
    assert waiting <= {process.pid for process in own(serving)}
    sizes = "[innerWidth, innerHeight, screen.width, screen.height]"
    assert [evaluates(one, sizes) for one in made] == [[800, 600, 800, 600], [1440, 900, 1440, 900]]
    wait_until(lambda: len(own(serving)) == 4, 30)
    before = {process.pid for process in own(serving)}
    special = begin(http, disable_web_security={"active": True}, fullscreen={"active": True}, viewport={"width": 1000, "height": 700})
    [started] = [process for process in own(serving) if process.pid not in before]
    assert "--disable-web-security" in started.cmdline(), "what wants something of its start has one of its own"
    assert evaluates(special, "[innerWidth, innerHeight, outerWidth, outerHeight, screen.width]") == [1000, 700, 1000, 700, 1000]
    for one in (*made, special):
        http.delete(f"/v1/sessions/{one['id']}")
    wait_until(lambda: len(own(serving)) == 2, 30)
    assert not {started.pid} & {process.pid for process in own(serving)}


_KEEP = "document.cookie = 'who=one'; localStorage.who = 'one'; window.name = 'one'"
_KEPT = "[document.cookie, localStorage.who || '', window.name]"


def test_a_browser_that_waited_knows_nothing_of_sessions_before(serving: Installation, http: httpx2.Client) -> None:
    """It is another one each time: neither the process nor the directory comes again."""
    seen: list[tuple[int, str]] = []
    with pages(Page) as url:
        for _ in range(2):
            waiting = {process.pid: directory(process) for process in both(serving)}
            made = begin(http, f"{url}/")
            assert evaluates(made, f"[location.href, ...{_KEPT}]") == [f"{url}/", "", "", ""]
            assert evaluates(made, f"{_KEEP}; {_KEPT}") == ["who=one", "one", "one"]
            wait_until(lambda: len(own(serving)) == 3, 30)
            http.delete(f"/v1/sessions/{made['id']}")
            left = {process.pid for process in both(serving)}
            seen += [one for one in waiting.items() if one[0] not in left]
    assert len(seen) == 2 == len({pid for pid, _ in seen}) == len({place for _, place in seen})


def directory(process: psutil.Process) -> str:
    return next(part.partition("=")[2] for part in process.cmdline() if part.startswith("--user-data-dir="))


class Page(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!doctype html><title>A page</title>")

    def log_message(self, format: str, *args: Any) -> None: ...


def test_a_browser_that_broke_while_it_waited_is_given_to_nobody(serving: Installation, http: httpx2.Client) -> None:
    broken = both(serving)
    for process in broken:
        process.kill()
    made = begin(http)
    assert evaluates(made, "1 + 1") == 2
    wait_until(lambda: len(own(serving)) == 3, 30)
    http.delete(f"/v1/sessions/{made['id']}")


def test_nothing_is_left_of_those_that_waited(serving: Installation, http: httpx2.Client) -> None:
    waiting = both(serving)
    homes = {
        Path(one.split("=", 1)[1]).parent.parent for process in waiting for one in process.cmdline() if one.startswith("--user-data-dir")
    }
    for worker in serving.children("worker"):
        worker.kill()
    wait_until(lambda: not any(process.is_running() for process in waiting) and not any(home.exists() for home in homes), 30)
