"""What a page, or a CDP client, does not reach of the machine and of other sessions, with a real Chromium. Private addresses are open, so
that what stays shut does so by rules of its own."""

import asyncio
import contextlib
import http.server
import json
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
import psutil
import pytest
from playwright.sync_api import Browser, Error, Page, sync_playwright

from passel.compose.ports import own_ports
from passel.compose.settings import Settings
from passel.workloads.browser.chromium import find
from passel.workloads.browser.proxy import EgressProxy, Rules
from tests.support.browsing import pages
from tests.support.installation import KEY, Installation

pytestmark = pytest.mark.skipif(find() is None, reason="no Chromium: `make test` installs Debian's where it may")


@pytest.fixture(scope="module")
def serving(shared_browsing: Installation) -> Installation:
    return shared_browsing


def _browsers(serving: Installation) -> list[psutil.Process]:
    """The first process of each of its browsers."""
    below = [process for worker in serving.children("worker") for process in worker.children(recursive=True)]
    return [one for one in below if any(map(_way, _arguments(one)))]


def _arguments(process: psutil.Process) -> list[str]:
    with contextlib.suppress(psutil.NoSuchProcess):  # it ends just now
        return process.cmdline()
    return []


def proxies(serving: Installation) -> set[str]:
    """The ways out of its browsers: host and port."""
    return {_way(argument) for process in _browsers(serving) for argument in _arguments(process)} - {""}


def _way(argument: str) -> str:
    return argument.partition("--proxy-server=http://")[2]


def test_one_session_reaches_nothing_of_another(serving: Installation) -> None:
    before = proxies(serving)
    headers = {"anchor-api-key": KEY}
    with httpx2.Client(base_url=serving.url, headers=headers, timeout=60) as client, sync_playwright() as playwright:
        asked = {"browser": {"headless": {"active": True}}}
        made = [client.post("/v1/sessions", json=asked).json()["data"] for _ in range(2)]
        ports = [proxy.rpartition(":")[2] for proxy in proxies(serving) - before]
        assert len(ports) == 2
        one, two = (playwright.chromium.connect_over_cdp(each["cdp_url"]) for each in made)
        page = one.contexts[0].pages[0]
        for port in ports:
            for host in ("127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "0x7f000001", "017700000001"):
                answer = page.goto(f"http://{host}:{port}/")
                assert answer is not None and answer.status == 403 and "server itself" in answer.text(), (host, port)
        one.contexts[0].add_cookies([{"name": "a", "value": "b", "url": "http://site.test/"}])
        assert two.contexts[0].cookies("http://site.test/") == []
        theirs = {target["targetId"] for target in two.new_browser_cdp_session().send("Target.getTargets")["targetInfos"]}
        mine = {target["targetId"] for target in one.new_browser_cdp_session().send("Target.getTargets")["targetInfos"]}
        assert theirs and not theirs & mine
        page.goto("data:text/html,<title>from</title>")
        for url in ("file:///etc/passwd", "FILE:/etc/passwd", "view-source:file:///etc/passwd", "chrome://version", "devtools://x"):
            page.evaluate(
                "url => { const frame = document.createElement('iframe'); frame.src = url; document.body.append(frame); open(url) }", url
            )
            assert page.evaluate("url => fetch(url).then(() => 'read', () => 'refused')", url) == "refused"
            assert page.evaluate("url => { location.href = url; return document.title }", url) == "from"
        for other in [frame for each in one.contexts[0].pages for frame in each.frames]:
            assert not other.url.lower().startswith(("file:", "view-source:", "chrome:", "devtools:")), other.url
        for each in made:
            client.delete(f"/v1/sessions/{each['id']}")


class Pages(http.server.BaseHTTPRequestHandler):
    """A page, and `/to-file`, which leads to a file of the machine."""

    def do_GET(self) -> None:
        self.send_response(302 if self.path == "/to-file" else 200)
        if self.path == "/to-file":
            self.send_header("Location", "file:///etc/passwd")
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!doctype html><title>from</title><input type=file>")

    def log_message(self, format: str, *args: Any) -> None: ...


@pytest.fixture(scope="module")
def page_url() -> Iterator[str]:
    with pages(Pages) as url:
        yield f"{url}/"


_KEEP = """async mine => {
    document.cookie = `who=${mine}`; localStorage.who = mine; await navigator.clipboard.writeText(mine)
    const cache = await caches.open('who'); await cache.put('/who', new Response(mine))
    await new Promise(done => { const asked = indexedDB.open('who', mine.length); asked.onsuccess = asked.onupgradeneeded = done })
}"""
_KEPT = """async () => [document.cookie, localStorage.who, await navigator.clipboard.readText(),
    await (await (await caches.open('who')).match('/who')).text(), (await indexedDB.databases()).map(one => one.version).join()]"""
_READ = """async url => {
    const from = code => new Promise(done => {
        const worker = new Worker(URL.createObjectURL(new Blob([code])))
        worker.onmessage = told => done(told.data); worker.onerror = () => done('refused')
    })
    const frame = document.createElement('iframe'); frame.src = url; document.body.append(frame)
    const link = document.createElement('a'); link.href = url; link.target = '_blank'; link.click()
    try { open(url) } catch {}
    const asked = JSON.stringify(url), tell = `.then(told => told.text()).then(postMessage, () => postMessage('refused'))`
    return [await fetch(url).then(told => told.text(), () => 'refused'), await from(`fetch(${asked})${tell}`),
        await from(`importScripts(${asked}); postMessage('read')`)]
}"""
_AROUND = """async ([address, port]) => {
    const peer = new RTCPeerConnection({iceServers: [{urls: `stun:${address}:${port}`}]}), found = []
    peer.onicecandidate = told => told.candidate && found.push(told.candidate.candidate)
    peer.createDataChannel('a'); await peer.setLocalDescription(await peer.createOffer())
    await new Promise(done => { peer.onicegatheringstatechange = () => peer.iceGatheringState == 'complete' && done(); setTimeout(done, 1500) })
    if (self.WebTransport) { try { await new WebTransport(`https://${address}:${port}/`).ready } catch {} }
    return found
}"""
FILES = (
    "file:///etc/passwd",
    "FiLe:/etc/passwd",
    "f\tile:///etc/passwd",
    "view-source:file:///etc/passwd",
    "file://localhost/proc/self/environ",
)
INSIDE = ("chrome://version", "devtools://devtools/bundled/inspector.html", "chrome-untrusted://x/")


def test_four_sessions_keep_to_themselves(serving: Installation, page_url: str) -> None:
    """What each keeps, attacks from pages, attacks over CDP, and the processes themselves."""
    before = proxies(serving)
    with httpx2.Client(base_url=serving.url, headers={"anchor-api-key": KEY}, timeout=60) as client, sync_playwright() as playwright:
        asked = {"browser": {"headless": {"active": True}}, "session": {"recording": {"active": False}}}
        made = [client.post("/v1/sessions", json=asked).json()["data"] for _ in range(4)]
        browsers = [playwright.chromium.connect_over_cdp(each["cdp_url"]) for each in made]
        pages = [browser.contexts[0].pages[0] for browser in browsers]
        for number, (browser, page) in enumerate(zip(browsers, pages, strict=True), 1):
            browser.contexts[0].grant_permissions(["clipboard-read", "clipboard-write"])
            page.goto(page_url)
            page.evaluate(_KEEP, "x" * number)
        for number, page in enumerate(pages, 1):
            mine = "x" * number
            assert page.evaluate(_KEPT) == [f"who={mine}", mine, mine, mine, str(number)]
        _cross(client, made, browsers)
        _attack_from_pages(pages[0], page_url, serving)
        _attack_over_cdp(pages[0], browsers)
        _look_at_processes(serving, proxies(serving) - before)
        for each in made:
            client.delete(f"/v1/sessions/{each['id']}")


def _cross(client: httpx2.Client, made: list[Any], browsers: list[Browser]) -> None:
    """One session's link and one session's targets are nothing in another."""
    [token] = parse_qs(urlsplit(made[0]["cdp_url"]).query)["token"]
    stolen = client.get("/json/version", params={"sessionId": made[1]["id"], "token": token}, headers={"anchor-api-key": ""})
    assert stolen.status_code in (401, 403), stolen.text
    consoles = [browser.new_browser_cdp_session() for browser in browsers]
    targets = [{one["targetId"] for one in console.send("Target.getTargets")["targetInfos"]} for console in consoles]
    assert not set.intersection(*targets)
    for target in targets[1]:
        for method in ("Target.attachToTarget", "Target.activateTarget", "Target.closeTarget", "Target.getTargetInfo"):
            with pytest.raises(Error):
                consoles[0].send(method, {"targetId": target, **({"flatten": True} if method == "Target.attachToTarget" else {})})


def _attack_from_pages(page: Page, page_url: str, serving: Installation) -> None:
    context = page.context
    for url in (*FILES, *INSIDE, page_url + "to-file"):
        page.goto(page_url)
        told = page.evaluate(_READ, url)
        assert not any("root:" in text or "PATH=" in text or text == "read" for text in told), (url, told)
    for frame in [frame for each in context.pages for frame in each.frames]:
        assert not frame.url.lower().startswith(("file:", "view-source:", "chrome:", "devtools:", "chrome-untrusted:")), frame.url
        assert "root:" not in frame.evaluate("document.documentElement ? document.documentElement.textContent : ''"), frame.url
    for host in ("169.254.169.254", "2852039166", "0xa9fea9fe", "[::ffff:169.254.169.254]", "[fd00:ec2::254]", "100.100.100.200"):
        answer = page.goto(f"http://{host}/latest/meta-data/")
        assert answer is not None and answer.status == 403 and "metadata" in answer.text(), host
    port = urlsplit(serving.url).port
    for host in ("127.0.0.1", "localhost", "2130706433", "127.1", "[::ffff:7f00:1]", "0.0.0.0"):
        answer = page.goto(f"http://{host}:{port}/")
        assert answer is not None and answer.status == 403 and "server itself" in answer.text(), host
    page.goto(page_url)
    other = context.browser
    assert other is not None
    of_a_context = other.new_context().new_page()
    of_a_context.goto(page_url)
    addresses = {one.address for all in psutil.net_if_addrs().values() for one in all if one.family == socket.AF_INET}
    for address in sorted(addresses):
        for each in (page, of_a_context):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
                listener.bind((address, 0))
                listener.setblocking(False)
                candidates = each.evaluate(_AROUND, [address, listener.getsockname()[1]])
                assert not [one for one in candidates if " udp " in one.lower()], candidates
                with pytest.raises(BlockingIOError):
                    listener.recv(1)
    of_a_context.context.close()


def _attack_over_cdp(page: Page, browsers: list[Browser]) -> None:
    console, machine = page.context.new_cdp_session(page), browsers[0].new_browser_cdp_session()
    for url in FILES[:4]:
        for method in ("Page.navigate", "Target.createTarget"):
            with pytest.raises(Error, match=r"(?i)not|only|may"):
                console.send(method, {"url": url})
    node = console.send("DOM.querySelector", {"nodeId": console.send("DOM.getDocument")["root"]["nodeId"], "selector": "input"})["nodeId"]
    for path in ("/etc/passwd", "/uploads/../../../../etc/passwd", "/proc/self/environ", "profile/Local State"):
        with pytest.raises(Error):
            console.send("DOM.setFileInputFiles", {"files": [path], "nodeId": node})
    assert page.evaluate("document.querySelector('input').files.length") == 0
    for method, asked in (("SystemInfo.getProcessInfo", {}), ("Browser.getBrowserCommandLine", {}), ("Tethering.bind", {"port": 4567})):
        with pytest.raises(Error):
            machine.send(method, asked)


def _look_at_processes(serving: Installation, ways: set[str]) -> None:
    """Each has an account of its own where it can, a directory that no other enters, and Chromium's own sandbox."""
    mains = [one for one in _browsers(serving) if ways & {_way(argument) for argument in one.cmdline()}]
    assert len(mains) == len(ways) == 4
    assert len({one.uids().real for one in mains}) == (4 if os.getuid() == 0 else 1) and all(one.uids().real for one in mains)
    for main in mains:
        assert not [argument for argument in main.cmdline() if "no-sandbox" in argument or "remote-debugging-port" in argument]
        [profile] = [Path(one.partition("=")[2]) for one in main.cmdline() if one.startswith("--user-data-dir=")]
        assert profile.parent.stat().st_mode & 0o077 == 0
        renderers = [one for one in main.children(recursive=True) if "--type=renderer" in _arguments(one)]
        assert renderers
        for renderer in renderers:
            status = Path(f"/proc/{renderer.pid}/status").read_text()
            assert "Seccomp:\t2" in status and "CapEff:\t0000000000000000" in status
            assert Path(f"/proc/{renderer.pid}/ns/pid").readlink() != Path("/proc/self/ns/pid").readlink()


class Rebinding(asyncio.SelectorEventLoop):
    """Names of this loop have other addresses each time; it connects to nothing, and writes down where to it was to."""

    def __init__(self, *answers: list[str]) -> None:
        super().__init__()
        self._answers, self.went = iter(answers), list[str]()

    async def getaddrinfo(self, host: Any, port: Any, **more: Any) -> Any:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in next(self._answers)]

    async def sock_connect(self, sock: socket.socket, address: Any) -> None:
        self.went.append(address[0])
        raise ConnectionRefusedError("nobody is there")


def test_a_name_that_changes_its_mind_leads_nowhere() -> None:
    """The network is the loop's own: what was checked is what is connected to, and it is looked up once."""

    async def twice() -> list[bytes]:
        async with EgressProxy(Rules()) as way:
            return [await asyncio.to_thread(_ask, int(way.url.rpartition(":")[2])) for _ in range(3)]

    loop = Rebinding(["8.8.8.8"], ["127.0.0.1"], ["8.8.4.4", "10.0.0.1"])
    try:
        answers = loop.run_until_complete(twice())
    finally:
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()
    assert [answer.split(b" ")[1] for answer in answers] == [b"502", b"403", b"403"]
    assert loop.went == ["8.8.8.8"]


def _ask(port: int, head: bytes = b"GET http://rebinding.test/ HTTP/1.1\r\nHost: rebinding.test\r\n\r\n") -> bytes:
    with socket.create_connection(("127.0.0.1", port), 10) as client:
        client.sendall(head)
        return client.recv(4096)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://passel:secret@127.0.0.1:{port}/passel",
        "postgresql://passel@db-1:{other},127.0.0.1:{port}/passel",
        "postgresql://passel@127.0.0.1/passel?port={other},{port}",
    ],
)
def test_the_database_is_not_reached(url: str) -> None:
    """However its settings name it; other servers of the machine are, where that is allowed."""

    async def scenario() -> list[bytes]:
        async with AsyncExitStack() as servers:
            ports = [await servers.enter_async_context(_serving()) for _ in range(2)]
            settings = Settings(database_url=url.format(port=ports[0], other=1))
            async with EgressProxy(Rules(True, lambda: own_ports(settings))) as way:
                at = int(way.url.rpartition(":")[2])
                heads = [
                    f"{ask} HTTP/1.1\r\nHost: x\r\n\r\n"
                    for port in ports
                    for ask in (f"GET http://localhost:{port}/", f"CONNECT 127.0.0.1:{port}")
                ]
                return [await asyncio.to_thread(_ask, at, head.encode()) for head in heads]

    assert [answer.split(b" ")[1] for answer in asyncio.run(scenario())] == [b"403", b"403", b"200", b"200"]


@contextlib.asynccontextmanager
async def _serving() -> AsyncIterator[int]:
    """A server that answers whatever it is told; its port."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


_BREAK_IN = """
import os, socket, stat, sys
os.setgroups([]); os.setgid(int(sys.argv[1])); os.setuid(int(sys.argv[1]))
for top in sys.argv[2:]:
    for root, _, names in [(top, [], []), *os.walk(top)]:
        for path in [root] + [os.path.join(root, name) for name in names]:
            ways = [lambda: open(path, "rb"), lambda: open(path, "ab"), lambda: open(os.path.join(path, "mine"), "wb")]
            for kind in (socket.SOCK_STREAM, socket.SOCK_SEQPACKET, socket.SOCK_DGRAM):
                ways.append(lambda: socket.socket(socket.AF_UNIX, kind).connect(path))
            for number, way in enumerate(ways):
                try:
                    way()
                except OSError:
                    continue
                print(number, path)
"""


@pytest.mark.skipif(os.getuid() != 0, reason="browsers run as somebody else where the server is root's")
def test_the_account_of_a_browser_opens_nothing_of_the_server(serving: Installation) -> None:
    """What a page could do that has broken out of Chromium: the database, what is kept, the worker's sockets, other browsers."""
    with httpx2.Client(base_url=serving.url, headers={"anchor-api-key": KEY}, timeout=60) as client:
        made = [client.post("/v1/sessions", json={"browser": {"headless": {"active": True}}}).json()["data"] for _ in range(2)]
        one, other = [
            process for process in _browsers(serving) if process.parent() and "keeper.py" in " ".join(process.parent().cmdline())
        ][-2:]
        [home] = {Path(part.partition("=")[2]).parent.parent for part in one.cmdline() if part.startswith("--user-data-dir=")}
        kept = serving.data_dir / "blobs" / "kept"
        kept.parent.mkdir(exist_ok=True)
        kept.write_text("somebody's")
        theirs = [path for path in home.iterdir() if path.is_dir() and path.stat().st_uid == other.uids().real]
        sockets = [path for path in home.iterdir() if path.is_socket()]
        assert theirs and sockets and (serving.data_dir / "postgres").is_dir()
        broken = subprocess.run(
            [sys.executable, "-c", _BREAK_IN, str(one.uids().real), *map(str, (serving.data_dir, home, *sockets, *theirs))],
            capture_output=True,
            text=True,
            check=True,
        )
        opened = {Path(line.partition(" ")[2]).name for line in broken.stdout.splitlines()}
        assert opened <= {"serve.err", "serve.lock", "postgres.lock"}, broken.stdout
        assert not [line for line in broken.stdout.splitlines() if not line.startswith("0 ")], "and writes to none"
        kept.unlink()
        for each in made:
            client.delete(f"/v1/sessions/{each['id']}")


_WITHOUT_NAMESPACES = """
import ctypes, os, sys
ready, go = os.pipe(), os.pipe()
if (child := os.fork()) == 0:
    assert ctypes.CDLL(None).unshare(0x10000000) == 0  # CLONE_NEWUSER
    os.write(ready[1], b"x"); os.read(go[0], 1)
    open("/proc/sys/user/max_user_namespaces", "w").write("0")
    assert ctypes.CDLL(None).prctl(38, 1, 0, 0, 0) == 0  # PR_SET_NO_NEW_PRIVS: nor may the setuid helper help
    os.execvp(sys.argv[1], sys.argv[1:])
os.read(ready[0], 1)
for kind in ("uid_map", "gid_map"):
    open(f"/proc/{child}/{kind}", "w").write("0 0 4294967295")
os.write(go[1], b"x")
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.skipif(os.getuid() != 0, reason="only root makes a namespace in which all accounts are and no other namespace may be")
@pytest.mark.slow
def test_doctor_says_where_there_can_be_no_sandbox(tmp_path: Path) -> None:
    """As in a container whose user namespaces are off, and in which setuid programs gain nothing: the kernel refuses both to what is below."""
    doctor = [str(Path(sys.executable).with_name("passel")), "doctor", "--json", "--data-dir", str(tmp_path / "none")]
    told = [
        next(
            one for one in json.loads(subprocess.run(command, capture_output=True, check=False).stdout) if "browser sessions" in one["what"]
        )
        for command in (doctor, [sys.executable, "-c", _WITHOUT_NAMESPACES, *doctor])
    ]
    assert told[0]["level"] == "ok" and "in its own sandbox" in told[0]["what"]
    assert told[1]["level"] == "note" and "does not start" in told[1]["what"] and "user.max_user_namespaces" in told[1]["mend"], told[1]
