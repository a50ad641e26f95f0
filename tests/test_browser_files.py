"""What sessions download and what they are given, with bytes compared; by Playwright and by the vendor's own client."""

import json
import threading
import time
from collections.abc import Container, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import httpx2
import psutil
import pytest
from anchorbrowser import Anchorbrowser, BadRequestError, NotFoundError
from playwright.sync_api import Playwright
from websockets.sync.client import connect as websocket

from passel.workloads.browser.chromium import find
from tests.support.browsing import pages
from tests.support.installation import KEY, Installation, installed, wait_until
from tests.test_browsers import mains

pytestmark = pytest.mark.skipif(find() is None, reason="no Chromium: `make test` installs Debian's where it may")

REPORT = bytes(range(256)) * 4096


class Shop(BaseHTTPRequestHandler):
    let_go = threading.Event()
    """Somebody who was sent a file without an end has had enough."""

    def do_GET(self) -> None:
        if self.path == "/endless":
            self.send_for_ever()
            return
        file = self.path.startswith("/report")
        body = REPORT if file else b"<title>Files</title><a href='/report'>report</a><input type=file id=f>"
        self.send_response(200)
        self.send_header("Content-Type", "application/octet-stream" if file else "text/html")
        if file:
            self.send_header("Content-Disposition", "attachment; filename*=UTF-8''r%C3%A9sum%C3%A9%20%22final%22.bin")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def send_for_ever(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/octet-stream")
        self.end_headers()
        try:
            for _ in range(10_000):
                self.wfile.write(bytes(65536))
                time.sleep(0.02)
        except OSError:
            self.let_go.set()

    def log_message(self, format: str, *args: Any) -> None: ...


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    with pages(Shop) as url:
        yield url


@pytest.fixture(scope="module")
def serving() -> Iterator[Installation]:
    with installed(1, {"PASSEL_ALLOW_PRIVATE_URLS": "1", "PASSEL_MAX_BROWSER_FILE_MIB": "4"}) as installation:
        yield installation


@pytest.fixture(scope="module")
def client(serving: Installation) -> Any:
    return Anchorbrowser(api_key=KEY, base_url=serving.url)


def listed(client: Any, session_id: str, count: int) -> list[Any]:
    def found() -> Any:
        items = client.sessions.get_session_downloads(session_id).data.items
        return items if len(items) >= count else None

    return wait_until(found, 30)


def begin(client: Any, **browser: Any) -> Any:
    return client.sessions.create_session(browser={"headless": {"active": True}, **browser}, session={"recording": {"active": False}}).data


def browsers(serving: Installation) -> dict[int, psutil.Process]:
    """Those of this installation: others may run on the machine."""
    own = {child.pid for child in psutil.Process(serving.program.process.pid).children(recursive=True)}
    return {process.pid: process for process in mains() if process.pid in own}


def home_of_new(serving: Installation, before: Container[int]) -> Path:
    """The directory of the one browser that was begun since."""
    [own] = [process for pid, process in browsers(serving).items() if pid not in before]
    [home] = [Path(one.split("=", 1)[1]).parent for one in own.cmdline() if one.startswith("--user-data-dir")]
    return home


def test_what_is_downloaded_is_kept(client: Any, http: httpx2.Client, serving: Installation, playwright: Playwright, site: str) -> None:
    made = begin(client)
    browser = playwright.chromium.connect_over_cdp(made.cdp_url)
    pages = [browser.contexts[0].pages[0], browser.new_context().new_page()]
    for page in pages:
        page.goto(site)
        with page.expect_download() as got:
            page.click("a")
        assert got.value.suggested_filename == "résumé _final_.bin" and got.value.failure() is None
    first, second = listed(client, made.id, 2)
    assert (first.size, str(first.original_download_url), str(first.origin_url)) == (len(REPORT), f"{site}/report", f"{site}/")
    assert (first.suggested_file_name, second.suggested_file_name) == ("résumé _final_.bin", "résumé _final_ (2).bin")
    fetched = http.get(str(first.file_link))
    assert fetched.content == REPORT and fetched.headers["Content-Disposition"].startswith('attachment; filename="r_sum')
    assert http.get(str(first.file_link), headers={"Accept": "application/json"}).json()["data"]["id"] == str(first.id)
    assert http.get(str(first.file_link), headers={"Range": "bytes=256-511"}).content == bytes(range(256))
    assert httpx2.get(str(first.file_link)).status_code == 401
    strange = httpx2.get(str(first.file_link), headers={"anchor-api-key": serving.new_organisation()})
    assert strange.status_code == 403
    assert http.get(str(first.file_link).replace(str(first.id), "file_nothing")).status_code == 404
    browser.close()

    with websocket(made.cdp_url, max_size=None) as raw:  # a client that names files itself, where the hosted service has them
        raw.send(json.dumps({"id": 1, "method": "Browser.setDownloadBehavior", "params": {"behavior": "allow", "downloadPath": "/etc"}}))
        raw.recv(timeout=20)
        page = client.sessions.get_session_pages(made.id).data.items[0].id
        asked = {"targetId": page, "flatten": True}
        raw.send(json.dumps({"id": 2, "method": "Target.attachToTarget", "params": asked}))
        while "result" not in (told := json.loads(raw.recv(timeout=20))):
            pass
        go = {"id": 3, "method": "Page.navigate", "params": {"url": f"{site}/report"}, "sessionId": told["result"]["sessionId"]}
        raw.send(json.dumps(go))
        assert len(listed(client, made.id, 3)) == 3
    assert not list(Path("/etc").glob("*final*"))
    client.sessions.delete_session(made.id)
    wait_until(lambda: client.sessions.get_session(made.id).data.status == "completed", 30)
    assert http.get(str(first.file_link)).content == REPORT, "kept as long as the session is"


def test_a_session_keeps_so_much_and_no_more(client: Any, serving: Installation, playwright: Playwright, site: str) -> None:
    before = browsers(serving)
    made = begin(client, p2p_download={"active": True})
    left = home_of_new(serving, before) / "downloads"
    with websocket(made.cdp_url, max_size=None) as raw:
        page = client.sessions.get_session_pages(made.id).data.items[0].id
        raw.send(json.dumps({"id": 1, "method": "Target.attachToTarget", "params": {"targetId": page, "flatten": True}}))
        while "result" not in (told := json.loads(raw.recv(timeout=20))):
            pass
        session, ready = told["result"]["sessionId"], []
        for number in range(4):
            asked = {"id": 9, "method": "Page.navigate", "params": {"url": f"{site}/report?{number}"}, "sessionId": session}
            raw.send(json.dumps(asked))
            while (told := json.loads(raw.recv(timeout=20))).get("method") != "Anchor.downloadReady":
                pass
            ready.append(told["params"])
        assert len(listed(client, made.id, 4)) == 4
        one = ready[0]
        assert (one["size"], one["url"], one["suggestedFilename"]) == (len(REPORT), f"{site}/report?0", "résumé _final_.bin")
        fetched = httpx2.get(serving.url + one["p2pDownloadUrl"], headers={"anchor-api-key": KEY})
        assert fetched.content == REPORT
        raw.send(json.dumps({"id": 9, "method": "Page.navigate", "params": {"url": f"{site}/endless"}, "sessionId": session}))
        assert Shop.let_go.wait(30), "what cannot be kept is not fetched to its end"
        wait_until(lambda: not list(left.iterdir()), 30)
    browser = playwright.chromium.connect_over_cdp(made.cdp_url)
    page = browser.new_context().new_page()
    page.goto(site)
    Shop.let_go.clear()
    page.evaluate("location = '/endless'")
    assert Shop.let_go.wait(30), "nor in a context that a client made"
    browser.close()
    client.sessions.delete_session(made.id)
    wait_until(lambda: client.sessions.get_session(made.id).data.status == "completed", 30)
    assert client.sessions.get_session_downloads(made.id).data.count == 4, "the fifth was too much"


def test_what_is_uploaded_can_be_given_to_a_page(
    client: Any, http: httpx2.Client, serving: Installation, playwright: Playwright, site: str, tmp_path: Path
) -> None:
    before = browsers(serving)
    made = begin(client)
    given = tmp_path / "naïve plan.bin"
    given.write_bytes(REPORT)
    said = client.sessions.upload_file(made.id, file=given).data
    assert (said.status, said.message) == ("success", "File saved at /uploads/naïve plan.bin")
    browser = playwright.chromium.connect_over_cdp(made.cdp_url)
    page = browser.contexts[0].pages[0]
    page.goto(site)
    cdp = page.context.new_cdp_session(page)
    node = cdp.send("DOM.querySelector", {"nodeId": cdp.send("DOM.getDocument")["root"]["nodeId"], "selector": "#f"})["nodeId"]
    cdp.send("DOM.setFileInputFiles", {"nodeId": node, "files": ["/uploads/naïve plan.bin"]})
    read = "document.querySelector('#f').files[0].arrayBuffer().then(b => [b.byteLength, new Uint8Array(b)[300], f.files[0].name])"
    assert page.evaluate(read) == [len(REPORT), 300 % 256, "naïve plan.bin"]
    browser.close()

    browser_home = home_of_new(serving, before)
    victim = tmp_path / "victim"
    victim.write_bytes(b"untouched")
    (browser_home / "uploads/trap").symlink_to(victim)
    client.sessions.upload_file(made.id, file=("trap", b"new"))
    assert victim.read_bytes() == b"untouched" and (browser_home / "uploads/trap").read_bytes() == b"new"
    for name in ("../../etc/cron.d/x", "..", "a\0b"):
        try:
            message = client.sessions.upload_file(made.id, file=(name, b"x")).data.message
        except BadRequestError:
            continue
        assert "/" not in message.removeprefix("File saved at /uploads/"), (name, message)
    assert {one.name for one in (browser_home / "uploads").iterdir()} <= {"naïve plan.bin", "trap", "x", "a%00b"}
    path = f"/v1/sessions/{made.id}/uploads"
    assert http.post(path, files={"other": ("a", b"x")}).status_code == 400
    assert http.post(path, content=b"x").status_code == 400
    assert http.post(path, files={"file": ("big", b"x" * (6 * 2**20))}).status_code == 413
    with pytest.raises(NotFoundError):
        client.sessions.upload_file("11111111-1111-1111-1111-111111111111", file=("a", b"x"))
    client.sessions.delete_session(made.id)
