"""Browser sessions with a real Chromium, the vendor's own client from PyPI (anchorbrowser 1.0.1) and Playwright."""

import asyncio
import contextlib
import http.server
import json
import os
import signal
import socket
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import psutil
import pytest
from anchorbrowser import Anchorbrowser, AuthenticationError, BadRequestError, ConflictError, NotFoundError, PermissionDeniedError
from playwright.sync_api import Error, Playwright
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect as websocket

from passel.workloads.browser.chromium import find
from passel.workloads.browser.proxy import EgressProxy, Rules
from tests.support.browsing import pages
from tests.support.installation import KEY, Installation, installed, wait_until
from tests.support.worlds import INVARIANTS
from tests.test_chaos import rows

pytestmark = pytest.mark.skipif(find() is None, reason="no Chromium: `make test` installs Debian's where it may")

HEADLESS = {"headless": {"active": True}}


@pytest.fixture(scope="module")
def serving() -> Iterator[Installation]:
    """An installation whose browsers may reach this machine's other servers: the pages of the tests."""
    settings = {"PASSEL_ALLOW_PRIVATE_URLS": "1", "PASSEL_TAKEOVER_AFTER": "2"}
    with installed(1, settings) as installation:
        yield installation
    wait_until(lambda: not processes("/profile"), 20)


@pytest.fixture(scope="module")
def client(serving: Installation) -> Anchorbrowser:
    return Anchorbrowser(api_key=KEY, base_url=serving.url)


@pytest.fixture(scope="module")
def stranger(serving: Installation) -> str:
    """A key of another organisation."""
    return serving.new_organisation()


class Pages(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = b"<!doctype html><title>A page</title><h1>It is here</h1>"
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None: ...


@pytest.fixture(scope="module")
def page_url() -> Iterator[str]:
    with pages(Pages) as url:
        yield f"{url}/"


def processes(argument: str) -> list[psutil.Process]:
    """Those of Chromium that have an argument, or a part of one; without those of tests that run beside this one."""
    found = psutil.process_iter(["cmdline"])
    lines = [(process, process.info["cmdline"] or [""]) for process in found]
    return [process for process, line in lines if "chrom" in line[0] and any(argument in one for one in line) and not _of_others(process)]


def _of_others(process: psutil.Process) -> bool:
    """Below other tests: those beside this process, and those of another run. What nobody is above any more may be ours."""
    try:
        above = process.parents()
        mine = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
        if any(parent.pid not in mine and "pytest" in " ".join(parent.cmdline()) for parent in above):
            return True
    except psutil.Error:
        return False
    pids = {parent.pid for parent in above}
    return os.getppid() in pids and os.getpid() not in pids


def mains() -> list[psutil.Process]:
    """The first process of each browser. What it has just forked looks the same for a moment."""

    def first(process: psutil.Process) -> bool:
        try:
            if process.status() == psutil.STATUS_ZOMBIE or any(one.startswith("--type=") for one in process.cmdline()):
                return False
            above = process.parent()
            return above is None or "--remote-debugging-pipe" not in above.cmdline()
        except psutil.Error:
            return False

    return [process for process in processes("--remote-debugging-pipe") if first(process)]


def ended(client: Anchorbrowser, session_id: str) -> Any:
    """The session once it has ended."""

    def over() -> Any:
        found = client.sessions.get_session(session_id).data
        return found if found.status in ("completed", "failed") else None

    return wait_until(over, 30)


def test_the_vendors_client_drives_a_session(client: Anchorbrowser, page_url: str) -> None:
    with client.browser.create() as browser:
        [context], [page] = browser.contexts, browser.contexts[0].pages
        assert page.evaluate("[innerWidth, innerHeight]") == [1440, 900]
        page.goto(page_url)
        assert page.title() == "A page"
        assert context.new_page().evaluate("1 + 1") == 2
        browser.new_context().new_page().goto("data:text/html,other")
    assert client.sessions.get_all_sessions_status().data.items[0].status == "running"
    client.sessions.delete_all_sessions()


def test_a_session_outlives_its_connections(client: Anchorbrowser, page_url: str) -> None:
    asked = {"viewport": {"width": 800, "height": 600}, **HEADLESS}
    made = client.sessions.create_session(session={"initial_url": page_url, "tags": ["one", "two"]}, browser=asked).data
    with client.browser.connect(made.id) as browser:
        [page] = browser.contexts[0].pages
        assert page.evaluate("[innerWidth, innerHeight]") == [800, 600] and page.title() == "A page"
        page.evaluate("window.kept = 7")
        browser.new_context().new_page()
    found = client.sessions.get_session(made.id).data
    assert (found.status, found.tags, found.session_id) == ("running", ["one", "two"], made.id)
    pages = client.sessions.get_session_pages(made.id).data
    assert [(one.title, one.url) for one in pages.items] == [("A page", page_url)]
    with client.browser.connect(made.id) as browser:
        assert len(browser.contexts) == 1 and browser.contexts[0].pages[0].evaluate("window.kept") == 7
    assert client.sessions.delete_session(made.id).data.status == "success"
    over = ended(client, made.id)
    assert (over.status, over.end_reason) == ("completed", "api")
    assert client.sessions.delete_session(made.id).data.status == "success"
    with pytest.raises(Error, match="410"), client.browser.connect(made.id):
        pass


def test_lists_and_sessions_that_nobody_waits_for(client: Anchorbrowser) -> None:
    begun = client.sessions.create_session_async(session={"tags": ["Listed", "b"]}, browser=HEADLESS).data
    assert begun.status == "pending" and begun.session_id is None

    def ready() -> Any:
        told = client.sessions.get_async_session_status(begun.request_id).data
        assert told.progress.current_phase in ("queued", "provisioning", "configuring", "ready")
        return told if told.status == "ready" else None

    told = wait_until(ready)
    id = told.session.session_id
    assert told.session.cdp_url.startswith("ws://")
    for filters in ({"tags": "Listed,b"}, {"search": "list"}, {"status": "running"}, {"sort_order": "desc", "limit": 20}):
        assert str(id) in [one.id for one in client.sessions.list_sessions(**filters).data.sessions], filters
    for filters in ({"tags": "Listed,c"}, {"search": "nothing"}, {"status": "failed"}, {"created_from": "2999-01-01T00:00:00Z"}):
        assert str(id) not in [one.id for one in client.sessions.list_sessions(**filters).data.sessions], filters
    with pytest.raises(BadRequestError, match="limit"):
        client.sessions.list_sessions(limit=7)
    assert [str(one.session_id) for one in client.sessions.get_all_sessions_status(tags="Listed").data.items] == [str(id)]
    client.sessions.delete_all_sessions()
    wait_until(lambda: client.sessions.get_async_session_status(begun.request_id).data.status == "completed")


def test_two_clients_at_once(client: Anchorbrowser, playwright: Playwright, page_url: str) -> None:
    made = client.sessions.create_session(browser=HEADLESS).data
    one, two = (playwright.chromium.connect_over_cdp(made.cdp_url) for _ in range(2))
    one.contexts[0].pages[0].goto(page_url)
    two.contexts[0].pages[0].wait_for_url(page_url)
    mine = one.new_context()
    mine.add_cookies([{"name": "a", "value": "b", "url": page_url}])
    assert len(two.contexts) == 1 and two.contexts[0].cookies() == []
    one.close()
    assert two.contexts[0].pages[0].title() == "A page"
    two.new_browser_cdp_session().send("Target.getTargets")
    two.close()
    client.sessions.delete_session(made.id)


def test_a_client_that_hangs_up_ends_nothing(client: Anchorbrowser) -> None:
    """In the middle of what it is told, without a word; five times, since it is a matter of moments."""
    made = client.sessions.create_session(browser=HEADLESS).data
    page = client.sessions.get_session_pages(made.id).data.items[0].id
    url = made.cdp_url.replace("/?", f"/devtools/page/{page}?")
    floods = "window.floods ??= setInterval(() => { for (let n = 0; n < 20; n++) console.log('x'.repeat(500)) }, 2)"
    for _ in range(5):
        with websocket(url, max_size=None, close_timeout=0.1) as other:
            with contextlib.suppress(ConnectionClosed, OSError), websocket(url, max_size=None, close_timeout=0.1) as one:
                for id, method in enumerate(("Runtime.enable", "Runtime.evaluate")):
                    one.send(json.dumps({"id": id, "method": method, "params": {"expression": floods}}))
                for _ in range(20):
                    one.recv(timeout=20)
                one.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                one.socket.close()
            for id in range(3):
                other.send(json.dumps({"id": id, "method": "Runtime.evaluate", "params": {"expression": "1 + 1"}}))
                assert json.loads(other.recv(timeout=20))["result"]["result"]["value"] == 2
    assert client.sessions.get_session(made.id).data.status == "running"
    client.sessions.delete_session(made.id)


def test_timers_end_sessions(client: Anchorbrowser, playwright: Playwright) -> None:
    """Minutes with decimals: 2.4 s after the last client, 4.2 s at most."""
    idle = client.sessions.create_session(session={"timeout": {"idle_timeout": 0.04}}, browser=HEADLESS).data
    most = client.sessions.create_session(session={"timeout": {"max_duration": 0.07, "idle_timeout": -1}}, browser=HEADLESS).data
    browser = playwright.chromium.connect_over_cdp(most.cdp_url)
    said: list[str] = []
    browser.on("disconnected", lambda _: said.append("gone"))
    assert ended(client, idle.id).end_reason == "idle_timeout"
    assert ended(client, most.id).end_reason == "max_duration"
    with contextlib.suppress(Error):
        browser.contexts[0].pages[0].wait_for_timeout(500)
    assert said == ["gone"]


def upgrade(serving: Installation, target: str, *headers: str) -> str:
    """The first line of the answer to a WebSocket's upgrade."""
    host, port = serving.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        lines = [
            f"GET {target} HTTP/1.1", "Host: x", "Upgrade: websocket", "Connection: Upgrade",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version: 13", *headers, "", "",
        ]  # fmt: skip
        connection.sendall("\r\n".join(lines).encode())
        return connection.recv(4096).split(b"\r\n")[0].decode()


def test_who_may_connect(serving: Installation, client: Anchorbrowser, stranger: str) -> None:
    made = client.sessions.create_session(browser=HEADLESS).data
    token = made.cdp_url.rpartition("token=")[2]
    page = client.sessions.get_session_pages(made.id).data.items[0].id
    assert KEY not in made.cdp_url
    for target, status in (
        (f"/?sessionId={made.id}&token={token}", 101),
        (f"/?apiKey={KEY}&sessionId={made.id}", 101),
        (f"/devtools/page/{page}?apiKey={KEY}&sessionId={made.id}", 101),
        (f"/devtools/page/NONE?apiKey={KEY}&sessionId={made.id}", 404),
        (f"/?sessionId={made.id}", 401),
        (f"/?sessionId={made.id}&token={token[:-1]}{(int(token[-1], 16) + 1) % 16:x}", 401),
        (f"/?sessionId={made.id}&token=%C3%A9", 401),
        (f"/?apiKey=wrong&sessionId={made.id}", 401),
        (f"/?apiKey={stranger}&sessionId={made.id}", 403),
        (f"/?apiKey={KEY}&sessionId=3f2504e0-4f89-41d3-9a0c-0305e82c3301", 404),
        ("/", 401),
    ):
        assert upgrade(serving, target).split()[1] == str(status), target
    assert upgrade(serving, f"/?sessionId={made.id}", f"anchor-api-key: {KEY}").split()[1] == "101"
    client.sessions.delete_session(made.id)


def test_nothing_of_another_organisation(client: Anchorbrowser, serving: Installation, stranger: str) -> None:
    other = Anchorbrowser(api_key=stranger, base_url=serving.url)
    id = client.sessions.create_session(browser=HEADLESS).data.id
    batch = client.batch_sessions.create_batch_session(count=1, configuration={"browser": HEADLESS}).data.batch_id
    for call in (
        lambda: other.sessions.get_session(id),
        lambda: other.sessions.delete_session(id),
        lambda: other.sessions.get_session_pages(id),
        lambda: other.sessions.get_async_session_status(id),
        lambda: other.batch_sessions.get_batch_session(batch),
        lambda: other.batch_sessions.update_batch_session(batch, status="cancelled"),
        lambda: other.batch_sessions.delete_batch_session(batch),
        lambda: other.batch_sessions.retry_batch_session(batch),
    ):
        with pytest.raises(PermissionDeniedError):
            call()
    assert other.sessions.list_sessions().data.sessions == [] and other.sessions.get_all_sessions_status().data.count == 0
    assert other.batch_sessions.list_batch_sessions().data.batches == []
    other.sessions.delete_all_sessions()
    assert client.sessions.get_session(id).data.status == "running"
    wait_for_batch(client, batch)
    client.batch_sessions.delete_batch_session(batch)
    client.sessions.delete_session(id)


def test_what_a_browser_does_not_reach(serving: Installation, client: Anchorbrowser, page_url: str) -> None:
    port = serving.url.rpartition(":")[2]
    with client.browser.create() as browser:
        page = browser.contexts[0].pages[0]
        for url in ("file:///etc/hostname", "chrome://version", "view-source:file:///etc/passwd"):
            with pytest.raises(Error, match="not allowed"):
                page.goto(url)
        for host in ("127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "2130706433", "127.1", "0x7f.1"):
            answer = page.goto(f"http://{host}:{port}/")
            assert answer is not None and answer.status in (403, 502), host
        answer = page.goto("http://169.254.169.254/latest/meta-data/")
        assert answer is not None and answer.status == 403
        page.goto(page_url)  # what tests may reach
        socket = f"new Promise(done => {{ const s = new WebSocket('ws://127.0.0.1:{port}/?apiKey={KEY}'); s.onopen = s.onerror = e => done(e.type) }})"
        assert page.evaluate(socket) == "error"
    client.sessions.delete_all_sessions()


def test_private_addresses_are_shut_by_default() -> None:
    async def ask(host: str, port: int, url: str) -> bytes:
        reader, writer = await asyncio.open_connection(host, port)
        writer.write(f"GET {url} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        line = await reader.readline()
        writer.close()
        return line

    async def scenario() -> None:
        async with EgressProxy(Rules()) as proxy:
            host, port = proxy.url.removeprefix("http://").split(":")
            for url in ("http://127.0.0.1:1/", "http://10.0.0.1/", "http://[::ffff:10.0.0.1]/", "http://localhost/", "http://0.0.0.0/"):
                assert b"403" in await ask(host, int(port), url), url
            assert b"502" in await ask(host, int(port), "http://nowhere.invalid/")

    asyncio.run(scenario())


def wait_for_batch(client: Anchorbrowser, batch_id: str) -> Any:
    """Until it has ended; the counters sum at each look, and the percentage never falls."""
    last = -1.0
    while True:
        batch = client.batch_sessions.get_batch_session(batch_id).data
        assert batch.total_requests == sum(
            getattr(batch, f"{name}_requests") for name in ("completed", "failed", "cancelled", "processing", "pending")
        )
        assert batch.progress.percentage >= last
        last = batch.progress.percentage
        if batch.status not in ("pending", "processing"):
            return batch
        time.sleep(0.05)


def test_a_batch_of_sessions(client: Anchorbrowser, playwright: Playwright, page_url: str) -> None:
    configuration = {"browser": HEADLESS, "session": {"tags": ["batch"], "initial_url": page_url}}
    made = client.batch_sessions.create_batch_session(count=3, configuration=configuration, metadata={"run": "one"}).data
    assert made.status == "pending" and made.total_requests == 3
    batch = wait_for_batch(client, made.batch_id)
    assert batch.status == "completed" and batch.progress.current_phase == "ready" and batch.metadata == {"run": "one"}
    assert [item.item_index for item in batch.sessions] == [0, 1, 2] and len({item.session_id for item in batch.sessions}) == 3
    assert all(item.started_at and item.completed_at and item.status == "completed" for item in batch.sessions)
    open_ones = [playwright.chromium.connect_over_cdp(item.cdp_url) for item in batch.sessions]
    open_ones[0].contexts[0].add_cookies([{"name": "a", "value": "b", "url": page_url}])
    assert [len(one.contexts[0].cookies()) for one in open_ones] == [1, 0, 0]
    assert client.batch_sessions.list_batch_sessions(status="completed").data.batches[0].batch_id == made.batch_id
    with pytest.raises(ConflictError):
        client.batch_sessions.update_batch_session(made.batch_id, status="cancelled")
    with pytest.raises(BadRequestError):
        client.batch_sessions.retry_batch_session(made.batch_id)
    assert client.batch_sessions.delete_batch_session(made.batch_id).data.deleted_sessions == 3
    with pytest.raises(NotFoundError):
        client.batch_sessions.get_batch_session(made.batch_id)
    with pytest.raises(Error, match="401"):
        playwright.chromium.connect_over_cdp(batch.sessions[0].cdp_url)


def test_a_batch_is_cancelled_on_its_way(serving: Installation, client: Anchorbrowser) -> None:
    made = client.batch_sessions.create_batch_session(count=12, configuration={"browser": HEADLESS}).data
    wait_until(lambda: client.batch_sessions.get_batch_session(made.batch_id).data.completed_requests >= 1)
    told = client.batch_sessions.update_batch_session(made.batch_id, status="cancelled").data
    assert told.status == "cancelled" and told.cancelled_sessions >= 1
    batch = wait_for_batch(client, made.batch_id)
    assert batch.cancelled_requests >= 1 and batch.processing_requests == batch.pending_requests == 0
    with pytest.raises(ConflictError):
        client.batch_sessions.update_batch_session(made.batch_id, status="cancelled")
    with pytest.raises(ConflictError):
        client.batch_sessions.retry_batch_session(made.batch_id)
    wait_until(lambda: rows(serving, "select count(*) as n from message where kind = 'browser' and state = 'running'")[0]["n"] == 0)
    assert rows(serving, INVARIANTS) == []


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"session": {"timeout": {"max_duration": 0}}}, "session.timeout.max_duration"),
        ({"session": {"timeout": {"idle_timeout": "5"}}}, "session.timeout.idle_timeout"),
        ({"session": {"initial_url": "file:///etc/passwd"}}, "session.initial_url"),
        ({"session": {"tags": ["x" * 300]}}, "session.tags"),
        ({"browser": {"viewport": {"width": 5}}}, "browser.viewport.width"),
        ({"browser": {"captcha_solver": {"active": True}}}, "CAPTCHA solver requires proxy to be active."),
        ({"browser": {"extra_stealth": {"active": True}}}, "browser.extra_stealth is not supported"),
        ({"session": {"proxy": {"type": "anchor_proxy", "active": True}}}, "session.proxy: anchor_proxy is not supported"),
        ({"identities": [{"id": "x"}]}, "identities is not supported"),
    ],
)
def test_what_cannot_be_asked(client: Anchorbrowser, body: dict[str, Any], said: str) -> None:
    with pytest.raises(BadRequestError) as refused:
        client.sessions.create_session(**body)
    assert said in str(refused.value.body)
    with pytest.raises(BadRequestError) as refused:
        client.batch_sessions.create_batch_session(count=1, configuration=body)
    assert said in str(refused.value.body)


def test_bad_requests(serving: Installation, client: Anchorbrowser) -> None:
    for count in (0, 1001):
        with pytest.raises(BadRequestError, match="Session count must be between 1 and 1000"):
            client.batch_sessions.create_batch_session(count=count)
    headers = {"anchor-api-key": KEY, "Authorization": ""}
    for body in ({"count": "3"}, {"count": 3.0}, {"count": True}, {}, {"count": 1, "metadata": 7}):
        answer = serving.http().post("/v1/batch-sessions", json=body, headers=headers)
        assert answer.status_code == 400 and answer.json()["error"]["code"] == 400, answer.text
    assert serving.http().post("/v1/batch-sessions", content=b"{" * 2**21, headers=headers).status_code == 413
    with pytest.raises(AuthenticationError) as refused:
        Anchorbrowser(api_key="wrong", base_url=serving.url).sessions.create_session()
    assert refused.value.body["message"] == refused.value.body["error"]["message"]
    with pytest.raises(NotFoundError):
        client.sessions.get_session("3f2504e0-4f89-41d3-9a0c-0305e82c3301")
    unknown = client.sessions.create_session(extra_body={"browser": {"recording": 1, **HEADLESS}, "what": 2}).data
    assert any("browser.recording: unknown" in told for told in unknown.warnings) and any(
        told.startswith("what:") for told in unknown.warnings
    )
    client.sessions.delete_session(unknown.id)


def test_chromium_runs_as_somebody_else_in_its_own_sandbox(serving: Installation, client: Anchorbrowser) -> None:
    made = client.sessions.create_session(browser=HEADLESS).data
    keepers = {keeper.pid for worker in serving.children("worker") for keeper in worker.children()}
    renderers = [one for one in processes("--type=renderer") if keepers & {parent.pid for parent in one.parents()}]
    assert renderers
    for renderer in renderers:
        line = " ".join(renderer.info["cmdline"])
        assert "--no-sandbox" not in line
        status = dict(one.split(":\t", 1) for one in Path(f"/proc/{renderer.pid}/status").read_text().splitlines() if ":\t" in one)
        assert status["Seccomp"] == "2"
        assert renderer.nice() == 5, "whoever loads much holds up browsers before it holds up what serves all of them"
        if os.getuid() == 0:
            assert renderer.uids().real != 0
    client.sessions.delete_session(made.id)


def test_one_that_breaks_harms_no_other(client: Anchorbrowser, playwright: Playwright) -> None:
    before = {process.pid for process in mains()}
    one = client.sessions.create_session(browser=HEADLESS).data
    [victim] = [process for process in mains() if process.pid not in before]
    two = client.sessions.create_session(browser=HEADLESS).data
    browser = playwright.chromium.connect_over_cdp(two.cdp_url)
    victim.kill()
    over = ended(client, one.id)
    assert (over.status, over.end_reason) == ("failed", "crash") and "process ended" in over.error
    assert browser.contexts[0].pages[0].evaluate("2 + 2") == 4
    browser.close()
    client.sessions.delete_session(two.id)


def test_raw_cdp_with_one_page(client: Anchorbrowser, serving: Installation) -> None:
    """Without a library: commands without a session go to the page, bad ones are told so, and others of the browser are not reached."""
    made = client.sessions.create_session(browser=HEADLESS).data
    page = client.sessions.get_session_pages(made.id).data.items[0].id
    url = f"{serving.url.replace('http', 'ws')}/devtools/page/{page}?apiKey={KEY}&sessionId={made.id}"
    with websocket(url, max_size=None) as socket:

        def ask(message: Any) -> Any:
            socket.send(message if isinstance(message, str) else json.dumps(message))
            return json.loads(socket.recv(timeout=20))

        told = ask({"id": 1, "method": "Runtime.evaluate", "params": {"expression": "6 * 7"}})
        assert told == {"id": 1, "result": {"result": {"type": "number", "value": 42, "description": "42"}}}
        for bad in (
            "{",
            "[]",
            "7",
            '{"id": 1}',
            '{"id": "1", "method": "x"}',
            '{"id": 1, "method": "x", "sessionId": []}',
            '{"id":1}\0{"id":2}',
        ):
            assert ask(bad)["error"]["code"] == -32600, bad
        assert ask({"id": 2, "method": "Runtime.evaluate", "sessionId": "somebody's"})["error"]["code"] == -32001
        assert "not allowed" in ask({"id": 3, "method": "Tethering.bind", "params": {"port": 80}})["error"]["message"]
        doubled = '{"id": 4, "method": "Runtime.evaluate", "method": "Browser.crash"}'
        assert "not allowed" in ask(doubled)["error"]["message"]
        assert ask({"id": 5, "method": "Browser.close"}) == {"id": 5, "result": {}}
    assert client.sessions.get_session(made.id).data.status == "running"
    client.sessions.delete_session(made.id)


def test_a_keeper_that_dies_takes_its_browsers_and_is_replaced(client: Anchorbrowser, serving: Installation) -> None:
    made = client.sessions.create_session(browser=HEADLESS).data
    [worker] = serving.children("worker")
    [keeper] = [child for child in worker.children() if any("keeper.py" in part for part in child.cmdline())]
    keeper.kill()
    assert ended(client, made.id).end_reason == "crash"
    again = client.sessions.create_session(browser=HEADLESS).data
    assert client.sessions.get_session_pages(again.id).data.count == 1
    client.sessions.delete_session(again.id)


def test_kills_of_api_and_worker(serving: Installation, client: Anchorbrowser) -> None:
    """An API that dies leaves sessions alone, and their clients connected; a worker's sessions end with it, and say so, and nothing of
    them is left."""
    made = client.sessions.create_session(browser=HEADLESS).data
    with websocket(made.cdp_url, max_size=None) as socket:
        asked = '{"id": 1, "method": "Browser.getVersion"}'
        socket.send(asked)
        told = socket.recv(timeout=20)
        for api in serving.children("api"):
            api.kill()
        socket.send(asked)
        assert socket.recv(timeout=20) == told

    def answers() -> bool:
        with contextlib.suppress(httpx2.HTTPError):
            return serving.http().get("/readyz").status_code == 200
        return False

    wait_until(answers)
    with client.browser.connect(made.id) as browser:
        assert browser.contexts[0].pages[0].evaluate("3") == 3
    batch = client.batch_sessions.create_batch_session(count=6, configuration={"browser": HEADLESS}).data
    wait_until(lambda: client.batch_sessions.get_batch_session(batch.batch_id).data.completed_requests >= 2)
    [(address,)] = [
        row.values()
        for row in rows(
            serving, "select distinct result ->> 'address' as address from message where state = 'running' and result is not null"
        )
    ]
    home = Path(address.removeprefix("unix:")).parent
    assert home.is_dir()
    for worker in serving.children("worker"):
        worker.send_signal(signal.SIGKILL)
    wait_until(lambda: not home.exists(), 20)
    over = ended(client, made.id)
    assert (over.status, over.end_reason) == ("failed", "worker_lost")
    done = wait_for_batch(client, batch.batch_id)
    assert done.completed_requests == 6, done  # those that were not ready are started again
    assert rows(serving, INVARIANTS) == []
    client.batch_sessions.delete_batch_session(batch.batch_id)
    wait_until(lambda: not mains(), 20)


def test_workers_of_one_machine_leave_each_others_browsers_alone(serving: Installation, client: Anchorbrowser) -> None:
    """What is left of a browser is found by its account, and no two workers have the same."""
    made = client.sessions.create_session(browser=HEADLESS).data
    before = {process.pid for process in mains()}
    with installed(1, {"PASSEL_BROWSERS": "3"}) as other:
        theirs = Anchorbrowser(api_key=KEY, base_url=other.url)
        second = theirs.sessions.create_session(browser=HEADLESS).data
        [browser] = [process for process in mains() if process.pid not in before]
        if os.getuid() == 0:
            assert browser.uids().real not in {psutil.Process(pid).uids().real for pid in before}
        theirs.sessions.delete_session(second.id)
        wait_until(lambda: not browser.is_running(), 20)
        assert client.sessions.get_session(made.id).data.status == "running"
        with client.browser.connect(made.id) as driven:
            assert driven.contexts[0].pages[0].evaluate("1 + 1") == 2
    client.sessions.delete_session(made.id)
