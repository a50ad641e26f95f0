"""What people drive sessions with beside Playwright, new windows, and the sites that sessions were at."""

import itertools
import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest
from playwright.sync_api import Playwright
from websockets.sync.client import connect as websocket

from passel.workloads.browser.chromium import find
from tests.support.browsing import pages
from tests.support.installation import Installation, wait_until
from tests.support.relay import relayed

pytestmark = pytest.mark.skipif(find() is None, reason="no Chromium: `make test` installs Debian's where it may")

PUPPETEER = Path(os.environ.get("PASSEL_NODE_DIR", Path(__file__).parent.parent / ".node")) / "node_modules/puppeteer-core"
BROWSER_USE = Path(os.environ.get("PASSEL_BROWSER_USE_DIR", Path(__file__).parent.parent / ".venv-browser-use")) / "bin/python"
PAGE = """<!doctype html><title>A form</title><form action=/sent><input name=q><button>send</button></form>
<button id=ask onclick="document.title = String(confirm('Sure?'))">ask</button>
<input type=file id=file onchange="this.files[0].text().then(text => document.title = 'read ' + text)">
<a id=take href="data:text/plain,taken" download=taken.txt>take</a>"""


class Site(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = PAGE.encode() if self.path == "/" else f"<title>{self.path}</title>".encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None: ...


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    with pages(Site) as url:
        yield f"{url}/"


@pytest.fixture(scope="module")
def serving(shared_browsing: Installation) -> Installation:
    return shared_browsing


def begin(http: httpx2.Client, url: str) -> Any:
    asked = {"session": {"initial_url": url, "recording": {"active": False}}, "browser": {"headless": {"active": True}}}
    made = http.post("/v1/sessions", json=asked)
    assert made.status_code == 200, made.text
    return made.json()["data"]


@pytest.mark.skipif(
    not PUPPETEER.is_dir() or shutil.which("node") is None, reason="no Puppeteer: `make test` installs it where there is npm"
)
def test_puppeteer_does_a_job(http: httpx2.Client, site: str) -> None:
    made = begin(http, "about:blank")
    uploaded = http.post(f"/v1/sessions/{made['id']}/uploads", files={"file": ("note.txt", b"a note")})
    assert uploaded.status_code == 200, uploaded.text
    program = Path(__file__).parent / "support/puppeteer.mjs"
    done = subprocess.run(["node", str(program), str(PUPPETEER), made["cdp_url"], site], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    sent = "/sent?q=gr%C3%BCn"
    told = {"title": "A form", "sent": sent, "answered": "true", "tabs": 2, "again": "read a note", "read": "read a note"}
    assert json.loads(done.stdout) == told
    [download] = wait_until(lambda: http.get(f"/v1/sessions/{made['id']}/downloads").json()["data"]["items"], 20)
    assert download["suggested_file_name"] == "taken.txt"
    assert http.get(f"/v1/sessions/{made['id']}").json()["data"]["status"] == "running", "close() ends the connection alone"
    http.delete(f"/v1/sessions/{made['id']}")


SHOP = b"""<!doctype html><title>Shop</title><h1>Order</h1><form action=/sent><label>Name <input name=name></label>
<label>Colour <select name=colour><option>red<option>blue</select></label><button>Send it</button></form>"""


FILES = b"""<!doctype html><title>Files</title><input type=file onchange="this.files[0].text().then(text => said.append('read ' + text))">
<button onclick="said.append(' sure: ' + confirm('Sure?'))">Sure?</button> <a href="data:text/plain,taken" download=taken.txt>take</a>
<p id=said></p>"""


class Shop(Site):
    def do_GET(self) -> None:
        other = f"<title>Shop</title><a href=/terms target=_blank>Terms</a> Got {self.path}".encode()
        body = {"/": SHOP, "/files": FILES}.get(self.path, other)
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class Thinker(BaseHTTPRequestHandler):
    """Plays the model that browser-use asks: each answer is made of what it was told."""

    steps: list[Callable[[str], list[Any]]]
    told: list[str]

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        contents = [message["content"] for message in asked["messages"] if message["role"] == "user"]
        parts = [part for content in contents for part in ([{"text": content}] if isinstance(content, str) else content)]
        seen = "\n".join(part.get("text", "") for part in parts)
        self.told.append(seen)
        thought = {"evaluation_previous_goal": "", "memory": "", "next_goal": "", "action": self.steps[len(self.told) - 1](seen)}
        choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": json.dumps(thought)}}
        usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
        answer = {"id": "x", "object": "chat.completion", "created": 1, "model": "played", "choices": [choice], "usage": usage}
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None: ...


def numbered(seen: str, tag: str) -> int:
    """The number that browser-use gives to an element."""
    return int(re.findall(rf"\[(\d+)\]<{tag}", seen)[-1])


def use_browser(cdp_url: str, home: Path, steps: list[Callable[[str], list[Any]]]) -> Any:
    """What comes of browser-use, whose model says these steps."""
    with pages(Thinker) as model:
        Thinker.told, Thinker.steps = [], steps
        quiet = {"ANONYMIZED_TELEMETRY": "false", "BROWSER_USE_VERSION_CHECK": "false", "BROWSER_USE_CONFIG_DIR": str(home)}
        program = Path(__file__).parent / "support/browser_use_job.py"
        command = [str(BROWSER_USE), str(program), cdp_url, f"{model}/v1", "Order something blue"]
        done = subprocess.run(command, env={**os.environ, **quiet, "HOME": str(home)}, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    came = json.loads(done.stdout.strip().splitlines()[-1])
    assert (came["done"], came["errors"], came["steps"]) == (True, [], len(steps)), came
    return came


@pytest.mark.skipif(not BROWSER_USE.exists(), reason="no browser-use: `make test` installs it where it can")
def test_browser_use_does_a_job(http: httpx2.Client, tmp_path: Path) -> None:
    """It navigates, fills in a form, follows a link into a new tab and opens another one, gives a file, answers a dialog, takes a file; the
    connection drops, and it goes on. All of it beside another client."""
    made = begin(http, "about:blank")
    http.post(f"/v1/sessions/{made['id']}/uploads", files={"file": ("note.txt", b"a note")}).raise_for_status()
    address = urlsplit(made["cdp_url"])
    with pages(Shop) as shop, relayed(address.port or 80) as relay, websocket(made["cdp_url"]) as beside:

        def cut(seen: str) -> list[Any]:
            relay.cut()
            return [{"navigate": {"url": f"{shop}/end", "new_tab": False}}]

        came = use_browser(
            address._replace(netloc=f"127.0.0.1:{relay.port}").geturl(),
            tmp_path,
            [
                lambda seen: [{"navigate": {"url": f"{shop}/", "new_tab": False}}],
                lambda seen: [
                    {"input": {"index": numbered(seen, "input"), "text": "Ada"}},
                    {"select_dropdown": {"index": numbered(seen, "select"), "text": "blue"}},
                ],
                lambda seen: [{"click": {"index": numbered(seen, "button")}}],
                lambda seen: [{"click": {"index": numbered(seen, "a")}}],
                lambda seen: [{"navigate": {"url": f"{shop}/last", "new_tab": True}}],
                lambda seen: [{"navigate": {"url": f"{shop}/files", "new_tab": False}}],
                lambda seen: [{"upload_file": {"index": numbered(seen, "input"), "path": "/uploads/note.txt"}}],
                lambda seen: [{"click": {"index": numbered(seen, "button")}}],
                lambda seen: [{"click": {"index": numbered(seen, "a")}}],
                cut,
                lambda seen: [{"done": {"text": "ordered", "success": True}}],
            ],
        )
        assert came["result"] == "ordered"
        assert came["urls"][1:6] == [f"{shop}/", f"{shop}/", f"{shop}/sent?name=Ada&colour=blue", f"{shop}/terms", f"{shop}/last"]
        opened = [one["url"] for one in http.get(f"/v1/sessions/{made['id']}/pages").json()["data"]["items"]]
        assert opened == [f"{shop}/sent?name=Ada&colour=blue", f"{shop}/terms", f"{shop}/end"]
        assert any("read a note" in told for told in Thinker.told) and any("sure: true" in told for told in Thinker.told)
        [download] = wait_until(lambda: http.get(f"/v1/sessions/{made['id']}/downloads").json()["data"]["items"], 20)
        assert download["suggested_file_name"] == "taken.txt"
        beside.send('{"id": 1, "method": "Target.getTargets"}')
        assert f"{shop}/end" in beside.recv(timeout=20)
    assert http.get(f"/v1/sessions/{made['id']}").json()["data"]["status"] == "running", "it leaves, and the session stays"
    http.delete(f"/v1/sessions/{made['id']}")


def test_new_windows_have_the_viewport(http: httpx2.Client, playwright: Playwright, site: str) -> None:
    for _ in range(2):  # from the second on windows are right at once
        made = begin(http, site)
        browser = playwright.chromium.connect_over_cdp(made["cdp_url"])
        context = browser.contexts[0]
        with context.expect_page() as opened:
            context.new_cdp_session(context.pages[0]).send("Target.createTarget", {"url": site, "newWindow": True})
        for page in (opened.value, context.new_page(), browser.new_context(no_viewport=True).new_page()):
            page.wait_for_function("innerWidth === 1440 && innerHeight === 900")  # a window is built up in steps
        browser.close()
        http.delete(f"/v1/sessions/{made['id']}")


def test_sessions_are_found_by_the_sites_they_were_at(http: httpx2.Client, site: str) -> None:
    made = begin(http, site)

    def rows(domains: str) -> list[Any]:
        return http.get("/v1/sessions", params={"domains": domains, "limit": 10, "sort_order": "desc"}).json()["data"]["sessions"]

    wait_until(lambda: made["id"] in [one["id"] for one in rows("127.0.0.1")], 10)
    assert rows("127.0.0.1,example.com") == [] and rows("127.0.0.1")[0]["domains"] == ["127.0.0.1"]
    http.delete(f"/v1/sessions/{made['id']}")


@pytest.mark.slow
def test_messages_of_a_hundred_megabytes(http: httpx2.Client) -> None:
    """Both ways, and another client goes on."""
    made = begin(http, "about:blank")
    with websocket(made["cdp_url"], max_size=None, ping_timeout=None) as socket, websocket(made["cdp_url"]) as beside:
        [page] = http.get(f"/v1/sessions/{made['id']}/pages").json()["data"]["items"]
        numbers = itertools.count(1)

        def ask(method: str, session_id: str | None = None, **params: Any) -> Any:
            number = next(numbers)
            socket.send(json.dumps({"id": number, "method": method, "params": params} | ({"sessionId": session_id} if session_id else {})))
            while (told := json.loads(socket.recv(timeout=120))).get("id") != number:
                pass
            return told["result"]

        attached = ask("Target.attachToTarget", targetId=page["id"], flatten=True)["sessionId"]
        down = ask("Runtime.evaluate", attached, expression="'x'.repeat(100e6)", returnByValue=True)
        assert len(down["result"]["value"]) == 100_000_000
        up = ask("Runtime.evaluate", attached, expression=f"('{'y' * 100_000_000}').length", returnByValue=True)
        assert up["result"]["value"] == 100_000_000
        beside.send('{"id": 1, "method": "Browser.getVersion"}')
        assert json.loads(beside.recv(timeout=20))["id"] == 1
    http.delete(f"/v1/sessions/{made['id']}")
