"""A worker of browsers on another machine: nothing of it is shared but the database, the object store and the installation's secret."""

import secrets
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import httpx2
import pytest
from playwright.sync_api import Playwright

from passel.workloads.browser.chromium import find
from tests.support.browsing import pages
from tests.support.installation import Installation, Program, scratch_dir, wait_until
from tests.test_chaos import rows

pytestmark = pytest.mark.skipif(find() is None, reason="no Chromium: `make test` installs Debian's where it may")

CONFIGURATION = {"session": {"recording": {"active": False}}, "browser": {"headless": {"active": True}}}


class Page(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = b"<!doctype html><title>Files</title><input type=file id=file onchange='file.files[0].text().then(t => document.title = t)'>"
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None: ...


@pytest.fixture(scope="module")
def serving() -> Iterator[Installation]:
    """The worker beside the API has no browser."""
    with scratch_dir() as directory, scratch_dir() as elsewhere:
        shared = {"PASSEL_SECRET_KEY": secrets.token_hex(32), "PASSEL_BLOB_URL": f"file://{directory.resolve()}/blobs"}
        passel = Installation(directory, 1, {**shared, "PASSEL_CHROMIUM": "/nowhere"}).start()
        environment = {
            **{name: value for name, value in passel.environment().items() if name != "PASSEL_CHROMIUM"},
            "PASSEL_DATA_DIR": str(elsewhere),
            "PASSEL_DATABASE_URL": passel.database_url(),
            "PASSEL_BROWSER_ADDRESS": "127.0.0.1",
            "PASSEL_ALLOW_PRIVATE_URLS": "1",
        }
        command = [sys.executable, "-m", "passel", "worker", "--kinds", "browser"]
        worker = Program(command, environment, stderr_path=elsewhere / "worker.err")
        worker.start("ready")
        yield passel
        assert worker.stop() == 0 and passel.stop() == 0
        assert "Traceback" not in passel.program.errors() + worker.errors()


@pytest.fixture
def begun(http: httpx2.Client, serving: Installation) -> tuple[Any, str]:
    """A session, and where its worker is reached."""
    made = http.post("/v1/sessions", json=CONFIGURATION).raise_for_status().json()["data"]
    [told] = rows(serving, "select result ->> 'address' as address from message where state = 'running' and result is not null")
    return made, told["address"]


def test_a_session_on_another_machine(begun: tuple[Any, str], http: httpx2.Client, playwright: Playwright, tmp_path: Path) -> None:
    made, address = begun[0], begun[1].removeprefix("tcp:")
    assert begun[1].startswith("tcp:127.0.0.1:")
    (tmp_path / "note.txt").write_text("from afar")
    with pages(Page) as url:
        browser = playwright.chromium.connect_over_cdp(made["cdp_url"])
        page = browser.contexts[0].pages[0]
        page.goto(url)
        page.set_input_files("#file", tmp_path / "note.txt")
        page.wait_for_function("document.title == 'from afar'")
        page.evaluate("document.body.textContent = 'x'.repeat(3_000_000)")
        assert len(page.evaluate("document.body.textContent")) == 3_000_000
        # a page does not get to where browsers are reached, though other private addresses are open to it
        page.goto(f"http://{address}/")
        assert "this server itself is not reached from its browsers" in page.content()
        browser.close()
    assert httpx2.get(f"http://{address}/{made['id']}/cdp").status_code == 403
    screenshot = http.get(f"/v1/sessions/{made['id']}/screenshot")
    assert screenshot.status_code == 200 and screenshot.content[:2] in (b"\x89P", b"\xff\xd8")
    http.delete(f"/v1/sessions/{made['id']}").raise_for_status()
    wait_until(lambda: http.get(f"/v1/sessions/{made['id']}").json()["data"]["status"] == "completed", 20)
