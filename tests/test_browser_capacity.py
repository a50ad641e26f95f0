"""More browsers than there is room for, and what one browser may take."""

import contextlib
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx2
import pytest
from websockets.sync.client import connect as websocket

from passel.workloads.browser.chromium import find
from passel.workloads.browser.limits import MIB, Memory, memory_from_outside
from tests.support.installation import Installation, installed, wait_until
from tests.support.worlds import INVARIANTS
from tests.test_chaos import rows

pytestmark = pytest.mark.skipif(find() is None, reason="no Chromium: `make test` installs Debian's where it may")

CONFIGURATION = {"session": {"recording": {"active": False}}, "browser": {"headless": {"active": True}}}


@pytest.fixture(scope="module")
def serving() -> Iterator[Installation]:
    with installed(
        1,
        {
            "PASSEL_BROWSERS": "2",
            "PASSEL_BROWSER_PATIENCE": "4",
            "PASSEL_BROWSER_MEMORY_MIB": "500",
            "PASSEL_BROWSER_DISK_MIB": "60",
            "PASSEL_ALLOW_PRIVATE_URLS": "1",
        },
    ) as installation:
        yield installation


def batch_of(http: httpx2.Client, count: int) -> httpx2.Response:
    return http.post("/v1/batch-sessions", json={"count": count, "configuration": CONFIGURATION})


def read(http: httpx2.Client, batch_id: str) -> Any:
    found = http.get(f"/v1/batch-sessions/{batch_id}").json()["data"]
    counted = ("completed_requests", "failed_requests", "cancelled_requests", "processing_requests", "pending_requests")
    assert sum(found[name] for name in counted) == found["total_requests"], found
    return found


def over(http: httpx2.Client, batch_id: str) -> Any:
    def ended() -> Any:
        found = read(http, batch_id)
        return found if found["status"] not in ("pending", "processing") else None

    return wait_until(ended, 60)


def test_what_there_is_no_room_for(http: httpx2.Client, serving: Installation) -> None:
    assert http.get("/v1/billing").json()["data"]["max_concurrent_browsers"] == 2
    refused = batch_of(http, 3)
    assert (refused.status_code, refused.json()["error"]["message"]) == (429, "batch of 3 exceeds the limit of 2 concurrent sessions")
    first = batch_of(http, 2).json()["data"]["batch_id"]
    assert over(http, first)["completed_requests"] == 2
    waiting = batch_of(http, 2).json()["data"]["batch_id"]
    begun = read(http, waiting)
    assert (begun["status"], begun["pending_requests"], begun["progress"]["current_phase"]) == ("pending", 2, "queued")
    failed = over(http, waiting)
    assert (failed["status"], failed["failed_requests"], failed["error"]) == ("failed", 2, "2 of 2 sessions failed")
    assert {one["error"] for one in failed["sessions"]} == {"no capacity"}
    session = http.get(f"/v1/sessions/{failed['sessions'][0]['session_id']}").json()["data"]
    assert (session["status"], session["end_reason"], session["error"]) == ("failed", "start_failed", "no capacity")
    listed = http.get("/v1/sessions", params={"status": "failed", "limit": 10}).json()["data"]
    assert listed["total"] == 2
    http.delete("/v1/sessions/all")
    again = http.post(f"/v1/batch-sessions/{waiting}/retry", json={}).json()["data"]
    assert again["retried_sessions"] == 2
    done = over(http, waiting)
    assert done["completed_requests"] == 2 and {one["retry_count"] for one in done["sessions"]} == {1}, "there is room now"
    for one in (first, waiting):
        http.delete(f"/v1/batch-sessions/{one}")
    assert rows(serving, INVARIANTS) == []
    with contextlib.suppress(httpx2.HTTPError):
        http.delete("/v1/sessions/all")


def ended(http: httpx2.Client, session_id: str) -> Any:
    def over() -> Any:
        found = http.get(f"/v1/sessions/{session_id}").json()["data"]
        return found if found["status"] in ("completed", "failed") else None

    return wait_until(over, 60)


def goes(url: str, session: dict[str, Any]) -> None:
    with websocket(session["cdp_url"], max_size=None) as raw:
        raw.send(json.dumps({"id": 1, "method": "Target.getTargets"}))
        page = json.loads(raw.recv(timeout=20))["result"]["targetInfos"][0]["targetId"]
    with websocket(session["cdp_url"].replace("/?", f"/devtools/page/{page}?"), max_size=None) as raw:
        raw.send(json.dumps({"id": 1, "method": "Page.navigate", "params": {"url": url}}))
        raw.recv(timeout=20)


def page(body: str) -> type[BaseHTTPRequestHandler]:
    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, format: str, *args: Any) -> None: ...

    return Page


def test_a_page_that_eats_memory_ends_alone(http: httpx2.Client) -> None:
    greedy, modest = (http.post("/v1/sessions", json=CONFIGURATION).json()["data"] for _ in range(2))
    goes("data:text/html,<script>window.kept=[];setInterval(()=>kept.push(new Uint8Array(2e7).fill(7)),50)</script>", greedy)
    found = ended(http, greedy["id"])
    assert (found["status"], found["end_reason"]) == ("failed", "crash") and "500 MiB" in found["error"], found
    assert http.get(f"/v1/sessions/{modest['id']}/pages").status_code == 200
    http.delete(f"/v1/sessions/{modest['id']}")


def test_pages_that_spin_leave_others_their_share(http: httpx2.Client) -> None:
    busy, other = (http.post("/v1/sessions", json=CONFIGURATION).json()["data"] for _ in range(2))
    spin = "for(let n=0;n<8;n++)new Worker(URL.createObjectURL(new Blob(['for(;;);'])))"
    goes(f"data:text/html,<script>{spin}</script>", busy)
    goes("data:text/html,<title>Still here</title>", other)
    wait_until(lambda: http.get(f"/v1/sessions/{other['id']}/pages").json()["data"]["items"][0]["title"] == "Still here", 30)
    for one in (busy, other):
        http.delete(f"/v1/sessions/{one['id']}")
        assert ended(http, one["id"])["end_reason"] == "api"


_GROWS = """
import os, sys
print(flush=True)
sys.stdin.readline()
if os.fork() == 0:
    kept = bytearray(os.urandom(1 << 20) * 64)
    print(flush=True)
sys.stdin.readline()
"""


def test_memory_of_what_has_just_begun_is_seen_at_once() -> None:
    with subprocess.Popen([sys.executable, "-c", _GROWS], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None and process.stdout is not None
        process.stdout.readline()
        memory = Memory(process.pid)
        before = memory.taken()
        process.stdin.write(b"\n")
        process.stdin.flush()
        process.stdout.readline()
        assert memory.taken() - before > 60 * MIB
        process.kill()


def test_what_bounds_memory_from_outside(tmp_path: Path) -> None:
    """The tightest limit of the cgroups that a process is in, of either version."""
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "memory/c").mkdir(parents=True)
    own = tmp_path / "own"
    own.write_text("0::/a/b\n")
    assert memory_from_outside(tmp_path, own) is None
    (tmp_path / "a/b/memory.max").write_text("max\n")
    assert memory_from_outside(tmp_path, own) is None
    (tmp_path / "a/memory.max").write_text(f"{512 * MIB}\n")
    assert memory_from_outside(tmp_path, own) == 512 * MIB
    own.write_text("3:cpuset:/\n4:memory:/c\n0::/\n")
    (tmp_path / "memory/memory.limit_in_bytes").write_text("9223372036854771712\n")
    assert memory_from_outside(tmp_path, own) is None
    (tmp_path / "memory/c/memory.limit_in_bytes").write_text(f"{256 * MIB}\n")
    assert memory_from_outside(tmp_path, own) == 256 * MIB


@pytest.mark.slow
def test_a_page_that_fills_the_disk_ends_alone(http: httpx2.Client) -> None:
    greedy, modest = (http.post("/v1/sessions", json=CONFIGURATION).json()["data"] for _ in range(2))
    fill = (
        "const open=indexedDB.open('x',1);open.onupgradeneeded=()=>open.result.createObjectStore('s',{autoIncrement:true});"
        "open.onsuccess=()=>setInterval(()=>{const b=new Uint8Array(4e6);for(let i=0;i<4e6;i+=6e4)crypto.getRandomValues(b.subarray(i,i+6e4));"
        "open.result.transaction('s','readwrite').objectStore('s').add(b)},100)"
    )
    with ThreadingHTTPServer(("127.0.0.1", 0), page(f"<script>{fill}</script>")) as site:
        threading.Thread(target=site.serve_forever, daemon=True).start()
        goes(f"http://127.0.0.1:{site.server_port}/", greedy)
        found = ended(http, greedy["id"])
        site.shutdown()
    assert (found["status"], found["end_reason"]) == ("failed", "crash") and "60 MiB" in found["error"], found
    assert http.get(f"/v1/sessions/{modest['id']}/pages").status_code == 200
    http.delete(f"/v1/sessions/{modest['id']}")
