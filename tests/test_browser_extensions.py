"""Extensions of browser sessions: what is taken, and what one that means harm gets at, with a real Chromium."""

import io
import json
import os
import socket
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import httpx2
import pytest
from anchorbrowser import Anchorbrowser, BadRequestError, NotFoundError
from playwright.sync_api import Browser, BrowserContext, Error, Playwright
from websockets.sync.client import connect as websocket

from passel.core.browser.extensions import chromium_id, judge
from passel.core.browser.package import BadPackage, read_manifest, unpack
from passel.workloads.browser.chromium import find
from tests.support.browsing import packed, pages
from tests.support.installation import KEY, Installation, installed, wait_until
from tests.support.upstream_proxy import UpstreamProxy, upstream_proxy

with_chromium = pytest.mark.skipif(find() is None, reason="no Chromium: `make test` installs Debian's where it may")

PLAIN: dict[str, Any] = {"manifest_version": 3, "name": "Plain", "version": "1.0"}
WORKER = "self.addEventListener('install', () => self.skipWaiting())"
HARMFUL: dict[str, Any] = PLAIN | {
    "name": "Harmful",
    "description": "It tries",
    "background": {"service_worker": "worker.js"},
    "permissions": ["tabs", "scripting", "downloads", "storage", "webNavigation"],
    "host_permissions": ["<all_urls>"],
    "content_scripts": [{"matches": ["<all_urls>"], "js": ["mark.js"]}],
    "key": "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEA",
    "update_url": "https://clients2.google.com/service/update2/crx",
}
FILES = {"worker.js": WORKER, "mark.js": "document.documentElement.dataset.marked = 'yes'", "page.html": "<title>Own page</title>own"}


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"manifest_version": 2}, "manifest_version"),
        ({"permissions": ["proxy"]}, "proxy is not allowed here: it would lead the browser round"),
        ({"permissions": ["storage", "debugger"]}, "debugger is not allowed here"),
        ({"optional_permissions": ["nativeMessaging"]}, "nativeMessaging is not allowed here: it talks to programs"),
        ({"permissions": ["privacy"]}, "privacy is not allowed here"),
        ({"permissions": ["management"]}, "management is not allowed here"),
        ({"permissions": ["contentSettings"]}, "contentSettings is not allowed here"),
        ({"permissions": ["downloads.open"]}, "downloads.open is not allowed here: it opens files"),
        ({"permissions": ["system.cpu"]}, "system.cpu is not allowed here: it acts on the machine, or tells of it"),
        ({"permissions": ["fileSystemProvider"]}, "it acts on the machine"),
        ({"permissions": ["inventedTomorrow"]}, "none that is known to stay inside"),
        ({"permissions": ["https://a.test/*"]}, "hosts belong into host_permissions"),
        ({"permissions": [{"socket": ["udp-send-to"]}]}, "permissions: must be a list of texts"),
        ({"host_permissions": ["file:///*"]}, "file:///*"),
        ({"optional_host_permissions": ["chrome://settings/*"]}, "chrome://settings"),
        ({"content_scripts": [{"matches": ["file:///etc/*"], "js": ["a.js"]}]}, "content_scripts.matches"),
        ({"app": {"background": {}}}, "app: is not allowed here: it is a Chrome app"),
        ({"chrome_settings_overrides": {"startup_pages": ["chrome://settings"]}}, "chrome_settings_overrides"),
        ({"version": "one"}, "version"),
        ({"name": ""}, "name"),
    ],
)  # fmt: skip
def test_what_a_manifest_may_not_ask_for(more: dict[str, Any], said: str) -> None:
    judge(PLAIN)
    with pytest.raises(ValueError, match=r".*") as refused:
        judge(PLAIN | more)
    assert said in str(refused.value)


def entry(name: str, mode: int = 0) -> zipfile.ZipInfo:
    made = zipfile.ZipInfo(name)
    made.external_attr = mode << 16
    return made


@pytest.mark.parametrize(
    ("name", "mode", "said"),
    [
        ("../out", 0, "no path"),
        ("/etc/out", 0, "no path"),
        ("a/../../out", 0, "no path"),
        ("a\\..\\out", 0, "no path"),
        ("a//b", 0, "no path"),
        ("/".join("d" * 30), 0, "no path"),
        ("link", 0o120777, "is no file, but a link"),
        ("manifest.json", 0, "twice"),
        ("_hidden/x", 0, "Chromium's own"),
    ],
)  # fmt: skip
def test_a_package_reaches_nothing_but_its_directory(tmp_path: Path, name: str, mode: int, said: str) -> None:
    package = tmp_path / "p.zip"
    with zipfile.ZipFile(package, "w") as made, pytest.warns() if name == "manifest.json" else threading.Lock():
        made.writestr("manifest.json", json.dumps(PLAIN))
        made.writestr(entry(name, mode), b"x")
    with package.open("rb") as file, pytest.raises(BadPackage, match=said):
        read_manifest(file)
    inside = tmp_path / "inside"
    with pytest.raises(BadPackage, match=said):
        unpack(package, inside)
    assert {one.name for one in tmp_path.iterdir()} == {"p.zip", "inside"}


def test_a_package_that_is_larger_than_it_looks(tmp_path: Path) -> None:
    package = tmp_path / "p.zip"
    with zipfile.ZipFile(package, "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("manifest.json", json.dumps(PLAIN))
        for number in range(5):
            made.writestr(f"zeros{number}", bytes(64 * 2**20))
    assert package.stat().st_size < 2**20
    with pytest.raises(BadPackage, match="bytes when it is unpacked"):
        unpack(package, tmp_path / "inside")
    with zipfile.ZipFile(package, "w") as made:
        for number in range(20_001):
            made.writestr(str(number), b"")
    for bad, said in (
        (package.read_bytes(), "more than 10000 files"),
        (b"PK nothing", "no zip"),
        (packed("{"), "no JSON"),
        (packed("[]"), ""),
    ):
        if said:
            with pytest.raises(BadPackage, match=said):
                read_manifest(io.BytesIO(bad))
    made_of = io.BytesIO()
    with zipfile.ZipFile(made_of, "w") as made:
        made.writestr("inner/manifest.json", json.dumps(PLAIN))
    with pytest.raises(BadPackage, match="not the directory"):
        read_manifest(made_of)


class Document(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/pdf")
        self.end_headers()
        self.wfile.write(
            b"%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n2 0 obj<</Type/Pages/Kids[]/Count 0>>endobj\ntrailer<</Root 1 0 R>>"
        )

    def log_message(self, format: str, *args: Any) -> None: ...


class Site(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<title>Site</title><p>here")

    def log_message(self, format: str, *args: Any) -> None: ...


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    with pages(Site) as url:
        yield url


@pytest.fixture(scope="module")
def serving() -> Iterator[Installation]:
    with installed(1, {"PASSEL_ALLOW_PRIVATE_URLS": "1", "PASSEL_BROWSER_POOL": "1"}) as installation:
        yield installation


@pytest.fixture(scope="module")
def client(serving: Installation) -> Iterator[Anchorbrowser]:
    with Anchorbrowser(api_key=KEY, base_url=serving.url, max_retries=0) as one:
        yield one


def upload(http: httpx2.Client, manifest: Any, files: dict[str, str] | None = None, name: str = "one") -> httpx2.Response:
    return http.post("/v1/extensions", data={"name": name}, files={"file": ("e.zip", packed(manifest, files))})


@pytest.fixture(scope="module")
def harmful(http: httpx2.Client) -> dict[str, Any]:
    return upload(http, HARMFUL, FILES).json()["data"]


def begin(http: httpx2.Client, ids: list[str], **session: Any) -> httpx2.Response:
    browser = {"headless": {"active": True}, "extensions": ids}
    return http.post("/v1/sessions", json={"browser": browser, "session": {"recording": {"active": False}, **session}})


@with_chromium
def test_the_vendors_client_keeps_extensions(client: Anchorbrowser, http: httpx2.Client, serving: Installation) -> None:
    made: Any = client.extensions.upload_extension(file=("e.zip", packed(HARMFUL, FILES)), name="Mine").data
    id = str(made.id)
    assert (made.name, made.manifest.name, made.manifest.manifest_version) == ("Mine", "Harmful", 3)
    assert made.manifest.permissions == [*HARMFUL["permissions"], "<all_urls>"] and made.manifest.description == "It tries"
    listed: Any = client.extensions.list_extensions().data
    assert made.id in [one.id for one in listed]
    assert client.extensions.get_extension(id).name == "Mine"
    refused = upload(http, PLAIN | {"permissions": ["proxy"]})
    assert refused.status_code == 400 and "manifest.json: the permission proxy is not allowed here" in refused.json()["error"]["message"]
    for given, said in (({"name": "x"}, "file"), ({"name": ""}, "name")):
        files = {} if said == "file" else {"file": ("e.zip", packed(PLAIN))}
        wrong = http.post("/v1/extensions", data=given, files=files)
        assert wrong.status_code == 400 and wrong.json()["error"]["message"].startswith(said)
    large = http.post("/v1/extensions", data={"name": "x"}, files={"file": ("e.zip", bytes(52 * 2**20))})
    assert large.status_code == 413
    stranger = {"anchor-api-key": serving.new_organisation()}
    assert http.get("/v1/extensions", headers=stranger).json() == {"data": []}
    theirs = http.post("/v1/sessions", json={"browser": {"extensions": [id]}}, headers=stranger)
    assert theirs.status_code == 400 and "browser.extensions.0" in theirs.json()["error"]["message"]
    many = http.post("/v1/batch-sessions", json={"count": 1, "configuration": {"browser": {"extensions": ["nothing"]}}})
    assert many.status_code == 400 and "there is no such extension" in many.text
    assert http.delete(f"/v1/extensions/{id}").json() == {"data": {"data": {"status": "success"}}}
    with pytest.raises(NotFoundError):
        client.extensions.get_extension(id)
    with pytest.raises(BadRequestError, match="no such extension"):
        client.sessions.create_session(browser={"extensions": [id]})


def worker_of(browser: Browser, url: str) -> Any:
    """What evaluates in an extension's service worker, over CDP as clients may."""
    console = browser.new_browser_cdp_session()
    found = wait_until(lambda: [one for one in console.send("Target.getTargets", {"filter": [{}]})["targetInfos"] if one["url"] == url])
    assert found[0]["type"] == "service_worker"
    return browser.contexts[0].service_workers[0]


def asked_anew(context: BrowserContext, url: str) -> Any:
    """What an extension kept in memory, and whether it may read files, once it was loaded again: until then its pages are closed."""
    page = context.new_page()
    try:
        page.goto(url)
        found = page.evaluate(
            "Promise.all([chrome.storage.session.get('before'), new Promise(done => chrome.extension.isAllowedFileSchemeAccess(done))])"
        )
        page.close()
    except Error:
        return None
    return found if found[0] == {} else None


_GO = """url => new Promise(async done => {
    let tab
    try { tab = await chrome.tabs.create({url}) } catch (error) { return done('refused: ' + error.message) }
    const look = async () => { const now = await chrome.tabs.get(tab.id); now.status == 'complete' ? done(tab.id) : setTimeout(look, 50) }
    look()
})"""
_FETCH = "url => fetch(url).then(async answer => [answer.status, await answer.text()], error => String(error))"
_UDP = """async ([address, port]) => {
    const peer = new RTCPeerConnection({iceServers: [{urls: `stun:${address}:${port}`}]}), found = []
    peer.onicecandidate = told => told.candidate && found.push(told.candidate.candidate)
    peer.createDataChannel('a'); await peer.setLocalDescription(await peer.createOffer())
    await new Promise(done => { peer.onicegatheringstatechange = () => peer.iceGatheringState == 'complete' && done(); setTimeout(done, 1500) })
    return found
}"""
REFUSED = (
    "file:///etc/hostname",
    "view-source:file:///etc/hostname",
    "devtools://devtools/bundled/inspector.html",
    "chrome-untrusted://print",
)
"""Addresses that Chromium opens for no extension without rights on files."""
BLOCKED = ("chrome://settings", "chrome://extensions", "about:version", "chrome-search://local-ntp", "view-source:http://a.test/")
"""And those that the session's profile shuts."""


@with_chromium
def test_an_extension_does_its_work_and_no_more(
    http: httpx2.Client, serving: Installation, playwright: Playwright, site: str, harmful: dict[str, Any]
) -> None:
    own = harmful["chromium_id"]
    made = begin(http, [harmful["id"]])
    assert made.status_code == 200, made.text
    session = made.json()["data"]
    told = http.get(f"/v1/sessions/{session['id']}").json()["data"]
    assert told["effective_configuration"]["extensions"] == [harmful["id"]] == told["configuration"]["browser"]["extensions"]
    browser = playwright.chromium.connect_over_cdp(session["cdp_url"])
    page = browser.contexts[0].pages[0]
    page.goto(site)
    assert page.evaluate("document.documentElement.dataset.marked") == "yes"
    worker = worker_of(browser, f"chrome-extension://{own}/worker.js")
    assert worker.evaluate("chrome.runtime.getManifest().update_url ?? null") is None
    _stays_inside(browser.contexts[0], worker)
    page.goto(f"chrome-extension://{own}/page.html")
    assert page.title() == "Own page"
    with pytest.raises(Error, match="not allowed"):
        page.goto("chrome-extension://mhjfbmdgcfjbbpaeojofohoefgiehjai/index.html")
    for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        with socket.socket(family, socket.SOCK_DGRAM) as listener:
            listener.bind((address, 0))
            listener.setblocking(False)
            candidates = page.evaluate(_UDP, [f"[{address}]" if ":" in address else address, listener.getsockname()[1]])
            assert not [one for one in candidates if " udp " in one.lower()], candidates
            with pytest.raises(BlockingIOError):
                listener.recv(1)
    port = serving.url.rpartition(":")[2]
    assert worker.evaluate(_FETCH, site) == [200, "<title>Site</title><p>here"]
    for url in (f"http://127.0.0.1:{port}/healthz", f"http://localhost:{port}/healthz", "http://169.254.169.254/latest/meta-data/"):
        assert worker.evaluate(_FETCH, url)[0] in (403, "T"), url
    page.goto(site)
    worker.evaluate("chrome.storage.session.set({before: 1})")
    worker.evaluate("() => { setTimeout(() => chrome.runtime.reload()) }")  # and is then loaded again, as it was
    after = wait_until(lambda: asked_anew(browser.contexts[0], f"chrome-extension://{own}/page.html"), 30)
    assert after == [{}, False]
    browser.close()
    http.delete(f"/v1/sessions/{session['id']}")


def _stays_inside(context: BrowserContext, worker: Any) -> None:
    assert worker.evaluate("new Promise(done => chrome.extension.isAllowedFileSchemeAccess(done))") is False
    assert worker.evaluate(_FETCH, "file:///etc/hostname") == "TypeError: Failed to fetch"
    for url in REFUSED:
        assert worker.evaluate(_GO, url).startswith("refused: Cannot navigate"), url
    for url in BLOCKED:
        with context.expect_page() as opened:
            tab = worker.evaluate(_GO, url)
        assert opened.value.evaluate("location.href") == "chrome-error://chromewebdata/", url
        worker.evaluate("tab => chrome.tabs.remove(tab)", tab)
    asked = "url => chrome.downloads.download({url}).then(id => new Promise(done => setTimeout(() => chrome.downloads.search({id}).then(done), 300)))"
    [download] = worker.evaluate(asked, "file:///etc/hostname")
    assert (download["state"], download["bytesReceived"]) == ("interrupted", 0)
    assert worker.evaluate("['proxy', 'debugger', 'privacy', 'contentSettings'].filter(name => chrome[name])") == []


@pytest.fixture(scope="module")
def upstream(site: str) -> Iterator[UpstreamProxy]:
    port = int(site.rpartition(":")[2])
    with upstream_proxy(UpstreamProxy(port)) as one:
        yield one


@with_chromium
def test_what_an_extension_asks_goes_the_sessions_way_out(
    http: httpx2.Client, playwright: Playwright, upstream: UpstreamProxy, harmful: dict[str, Any]
) -> None:
    proxy = {"type": "custom", "active": True, "server": f"http://127.0.0.1:{upstream.port}"}
    session = begin(http, [harmful["id"]], proxy=proxy).json()["data"]
    browser = playwright.chromium.connect_over_cdp(session["cdp_url"])
    worker = worker_of(browser, f"chrome-extension://{harmful['chromium_id']}/worker.js")
    worker.evaluate(_FETCH, "http://fetched.test:81/")
    worker.evaluate("new Promise(done => { const s = new WebSocket('wss://streamed.test/'); s.onopen = s.onerror = () => done(1) })")
    assert [one for one in upstream.asked if "fetched.test:81" in one] and [one for one in upstream.asked if "streamed.test:443" in one]
    http.delete(f"/v1/sessions/{session['id']}")
    plain = begin(http, []).json()["data"]
    other = playwright.chromium.connect_over_cdp(plain["cdp_url"])
    with pytest.raises(Error, match="not allowed"):
        other.contexts[0].pages[0].goto(f"chrome-extension://{harmful['chromium_id']}/page.html")
    http.delete(f"/v1/sessions/{plain['id']}")


@with_chromium
def test_an_extension_that_cannot_be_loaded_says_why(http: httpx2.Client) -> None:
    bad = upload(http, PLAIN | {"background": {"service_worker": "nowhere.js"}}).json()["data"]
    refused = begin(http, [bad["id"]])
    assert refused.status_code == 500 and "browser.extensions.0: Chromium says: " in refused.text, refused.text
    newest = upload(http, PLAIN | {"minimum_chrome_version": "9999"}).json()["data"]
    assert "requires Chromium version 9999" in begin(http, [newest["id"]]).text
    assert http.get(f"/v1/extensions/{bad['id']}").json()["chromium_id"] != chromium_id("ext_x")
    assert begin(http, [bad["id"]] * 11).status_code == 400


WELCOME: dict[str, Any] = PLAIN | {"background": {"service_worker": "worker.js"}, "permissions": ["storage"]}
GREETS = """chrome.runtime.onInstalled.addListener(async () => {
    const {visits = 0} = await chrome.storage.local.get('visits')
    await chrome.storage.local.set({visits: visits + 1})
    chrome.tabs.create({url: 'page.html'})
})"""


@with_chromium
def test_what_an_extension_keeps_is_in_the_profile(http: httpx2.Client, playwright: Playwright, site: str) -> None:
    """And a page that it opens as it is loaded is not the one that the session begins with."""
    made = upload(http, WELCOME, {"worker.js": GREETS, "page.html": "welcome"}).json()["data"]
    for visits in (1, 2):
        browser = {"headless": {"active": True}, "extensions": [made["id"]], "profile": {"name": "visitor", "persist": True}}
        asked = {"browser": browser, "session": {"recording": {"active": False}, "initial_url": site}}
        session = http.post("/v1/sessions", json=asked).json()["data"]
        client = playwright.chromium.connect_over_cdp(session["cdp_url"])
        own = f"chrome-extension://{made['chromium_id']}/page.html"
        urls = {page.url for page in client.contexts[0].pages}
        assert f"{site}/" in urls and urls <= {f"{site}/", own}
        page = client.contexts[0].new_page()
        page.goto(own)
        counted = (
            "new Promise(async done => { let now; do { now = (await chrome.storage.local.get('visits')).visits } while (!now); done(now) })"
        )
        assert page.evaluate(counted) == visits
        http.delete(f"/v1/sessions/{session['id']}")
        wait_until(lambda: http.get(f"/v1/sessions/{session['id']}").json()["data"]["status"] == "completed")  # noqa: B023 - at once


@with_chromium
@pytest.mark.skipif(os.getuid() != 0, reason="the kernel shuts UDP in all sessions only where Passel runs as root")
def test_chromiums_own_extensions_send_no_udp_either(http: httpx2.Client) -> None:
    """The viewer of PDFs is one, whose frame a client may speak to in any session."""
    session = begin(http, []).json()["data"]
    with pages(Document) as url, websocket(session["cdp_url"], max_size=None) as browser:
        call(browser, "Target.createTarget", {"url": url})
        listed: dict[str, Any] = {"filter": [{"type": "iframe"}]}
        frames = wait_until(
            lambda: [one for one in call(browser, "Target.getTargets", listed)["targetInfos"] if "chrome-extension:" in one["url"]]
        )
        with websocket(session["cdp_url"].replace("/?", f"/devtools/page/{frames[0]['targetId']}?"), max_size=None) as frame:
            asked = {"expression": f"({_UDP})(['127.0.0.1', 9])", "awaitPromise": True, "returnByValue": True}
            candidates = call(frame, "Runtime.evaluate", asked)["result"]["value"]
    assert not [one for one in candidates if " udp " in one.lower()], candidates
    http.delete(f"/v1/sessions/{session['id']}")


def call(socket: Any, method: str, params: dict[str, Any]) -> Any:
    socket.send(json.dumps({"id": 1, "method": method, "params": params}))
    while (told := json.loads(socket.recv(timeout=20))).get("id") != 1:
        pass
    return told["result"]
