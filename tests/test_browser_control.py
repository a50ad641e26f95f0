"""Hands without CDP: mouse, keyboard, clipboard and tools by calls, with the vendor's own client and a page that reports what it got."""

import asyncio
import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from typing import Any

import httpx2
import pytest
from anchorbrowser import Anchorbrowser, APIStatusError, BadRequestError, ConflictError, NotFoundError
from websockets.sync.client import connect as websocket

from passel.html import HtmlReader, Unreadable
from passel.workloads.browser.chromium import find
from tests.support.browsing import pages, pdf
from tests.support.installation import KEY, Installation, wait_until

pytestmark = pytest.mark.skipif(find() is None, reason="no Chromium: `make test` installs Debian's where it may")

PAGE = b"""<!doctype html><meta charset=utf-8><title>Report</title>
<style>body{margin:0;height:5000px} #pad{user-select:none;position:absolute;left:0;top:0;width:300px;height:200px} #text{position:absolute;left:10px;top:300px;width:400px}
#from,#to{position:absolute;left:320px;width:60px;height:60px;top:10px} #to{left:420px}
#late{position:absolute;left:10px;top:3000px}</style>
<h1 style='position:absolute;top:500px'>A heading</h1><article style='position:absolute;top:600px'><p>The quick brown fox jumps over the lazy dog, and
<a href='/other'>goes on</a> for quite a while, so that this is a text that somebody might want to read.</p></article>
<div id=pad></div><div id=from draggable=true></div><div id=to></div><input id=text><script>
const got = window.got = []
for (const name of ['mousedown', 'mouseup', 'mousemove', 'dblclick', 'contextmenu', 'wheel'])
  pad.addEventListener(name, e => got.push([name, e.clientX, e.clientY, e.button]))
document.getElementById('from').addEventListener('dragstart', e => e.dataTransfer.setData('text', 'moved'))
to.addEventListener('dragover', e => e.preventDefault())
to.addEventListener('drop', e => { e.preventDefault(); got.push(['drop', e.dataTransfer.getData('text')]) })
addEventListener('keydown', e => got.push(['key', e.key, e.ctrlKey, e.shiftKey]))
addEventListener('scroll', () => got.push(['scroll']))
setTimeout(() => { document.body.insertAdjacentHTML('beforeend', '<button id=late onclick="document.title = `late`">late</button>') }, 400)
</script>"""


FILES = {"/mine.pdf": pdf("Only for me", "and a second page"), "/broken.pdf": b"%PDF-1.4 and that was it"}


class Site(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = FILES.get(self.path, PAGE)
        if self.path == "/mine.pdf" and "who=me" not in (self.headers["Cookie"] or ""):
            body = pdf("Not yours")
        self.send_response(200)
        self.send_header("Content-Type", "application/pdf" if self.path.endswith(".pdf") else "text/html")
        self.send_header("Set-Cookie", "who=me")
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


@pytest.fixture(scope="module")
def client(serving: Installation) -> Any:
    return Anchorbrowser(api_key=KEY, base_url=serving.url)


@pytest.fixture(scope="module")
def made(client: Any, site: str) -> Iterator[Any]:
    session = {"initial_url": site, "recording": {"active": False}}
    one = client.sessions.create_session(browser={"headless": {"active": True}}, session=session).data
    yield one
    client.sessions.delete_session(one.id)


def says(client: Any, made: Any, expression: str) -> Any:
    """Of the page in front."""
    page = client.sessions.get_session_pages(made.id).data.items[0].id
    with websocket(made.cdp_url.replace("/?", f"/devtools/page/{page}?"), max_size=None) as raw:
        raw.send(json.dumps({"id": 1, "method": "Runtime.evaluate", "params": {"expression": expression, "returnByValue": True}}))
        return json.loads(raw.recv(timeout=20))["result"]["result"].get("value")


def test_mouse_and_keyboard(client: Any, made: Any, site: str, http: httpx2.Client) -> None:
    do, id = client.sessions, made.id
    wait_until(lambda: says(client, made, "document.querySelector('#late') !== null"), 20)
    assert do.mouse_move(id, x=10, y=20).status == "success"
    do.mouse_click(id, x=30, y=40)
    do.mouse_double_click(id, x=50, y=60)
    do.mouse_click(id, x=70, y=80, button="right")
    do.mouse_down(id, x=90, y=100)
    do.mouse_up(id, x=110, y=120)
    do.drag_and_drop(id, start_x=340, start_y=30, end_x=450, end_y=40)
    do.drag_and_drop(id, start_x=20, start_y=150, end_x=220, end_y=50)
    do.scroll(id, x=20, y=20, delta_y=3)
    got = says(client, made, "got")
    assert ["mousemove", 10, 20, 0] in got and ["mousedown", 30, 40, 0] in got and ["dblclick", 50, 60, 0] in got
    assert ["contextmenu", 70, 80, 2] in got and ["mouseup", 110, 120, 0] in got and ["drop", "moved"] in got
    named = [one[0] for one in got]
    assert named.count("mousemove") > 5 and "wheel" in named and ["mouseup", 220, 50, 0] in got
    wait_until(lambda: says(client, made, "scrollY") == 300, 10)
    do.mouse_click(id, selector="#late", timeout_=10_000)
    assert says(client, made, "document.title") == "late"
    do.mouse_click(id, selector="#text")
    do.keyboard_type(id, text="Grüße, 世界! 1+1\tx")
    assert says(client, made, "text.value") == "Grüße, 世界! 1+1"
    do.mouse_click(id, selector="input", index=0)
    do.keyboard_shortcut(id, keys=["Control", "a"])
    assert do.copy(id).text == "Grüße, 世界! 1+1"
    do.keyboard_shortcut(id, keys=["Ctrl", "X"])
    assert says(client, made, "text.value") == ""
    assert do.get_clipboard(id).data.text == "Grüße, 世界! 1+1"
    do.set_clipboard(id, text="set ✓")
    do.keyboard_shortcut(id, keys=["Control", "V"])
    do.paste(id, text=" pasted")
    assert says(client, made, "text.value") == "set ✓ pasted"
    do.keyboard_shortcut(id, keys=["Shift", "a"])
    assert says(client, made, "text.value") == "set ✓ pastedA"
    do.keyboard_shortcut(id, keys=["Shift", "F3"])
    assert ["key", "F3", False, True] in says(client, made, "got")
    assert do.get_session_screenshot(id).read()[:8] == b"\x89PNG\r\n\x1a\n"

    do.keyboard_shortcut(id, keys=["t", "Control"])
    do.goto(id, url="data:text/html,<title>Second</title>")
    wait_until(lambda: [one.title for one in do.get_session_pages(id).data.items] == ["late", "Second"], 10)
    do.keyboard_shortcut(id, keys=["Ctrl", "w"])
    wait_until(lambda: do.get_session_pages(id).data.count == 1, 10)


def test_what_is_asked_for_wrongly(client: Any, made: Any, http: httpx2.Client) -> None:
    path = f"/v1/sessions/{made.id}"
    for body in (
        {},
        {"x": 1},
        {"x": 1, "y": 1, "selector": "a"},
        {"x": "1", "y": 2},
        {"selector": "((("},
        {"x": 1, "y": 1, "button": "all"},
    ):
        answer = http.post(f"{path}/mouse/click", json={**body, "timeout": 0})
        assert answer.status_code == 400 and isinstance(answer.json()["error"], str), body
    missing = http.post(f"{path}/mouse/click", json={"selector": "#nothing", "timeout": 50})
    assert missing.status_code == 404 and "#nothing" in missing.json()["error"]
    with pytest.raises(BadRequestError, match="no key"):
        client.sessions.keyboard_shortcut(made.id, keys=["Hyper"])
    with pytest.raises(BadRequestError, match="not available in headless"):
        client.sessions.keyboard_shortcut(made.id, keys=["Control", "L"])
    with pytest.raises(BadRequestError, match="file: addresses are not allowed"):
        client.sessions.goto(made.id, url="file:///etc/passwd")
    with pytest.raises(NotFoundError):
        client.sessions.mouse_move("11111111-1111-1111-1111-111111111111", x=1, y=1)
    assert http.post(f"{path}/keyboard/type", json={"text": "x" * 10_000, "delay": 100}).status_code == 400


def test_a_dialog_is_answered_by_keys(client: Any, made: Any) -> None:
    with websocket(made.cdp_url, max_size=None):  # somebody is there, who leaves it alone
        client.sessions.goto(
            made.id, url="data:text/html,<title>Asks</title><button onclick='document.title = confirm(`Sure?`)'>ask</button>"
        )
        client.sessions.mouse_click(made.id, selector="button")
        with pytest.raises(ConflictError, match="confirm"):
            client.sessions.mouse_move(made.id, x=1, y=1)
        client.sessions.keyboard_shortcut(made.id, keys=["Enter"])
        wait_until(lambda: says(client, made, "document.title") == "true", 10)


def test_clipboards_are_apart(client: Any, made: Any) -> None:
    other = client.sessions.create_session(browser={"headless": {"active": True}}, session={"recording": {"active": False}}).data
    client.sessions.set_clipboard(made.id, text="mine")
    assert client.sessions.get_clipboard(other.id).data.text == ""
    client.sessions.set_clipboard(other.id, text="theirs")
    assert client.sessions.get_clipboard(made.id).data.text == "mine"
    assert client.sessions.get_session_pages(other.id).data.count == 1
    client.sessions.delete_session(other.id)


def test_tools(client: Any, made: Any, http: httpx2.Client, site: str) -> None:
    fetched = http.post("/v1/tools/fetch-webpage", json={"url": site}).text
    assert fetched.startswith("<!DOCTYPE html>") and "A heading" in fetched and fetched.endswith("</html>")
    wait_until(lambda: client.sessions.get_all_sessions_status(tags="tool").data.items[0].status == "completed", 20)
    here = {"sessionId": made.id}
    client.sessions.goto(made.id, url=site)
    bare = (
        "<script>const r = document.documentElement; onload = () => { r.remove(); setTimeout(() => document.append(r), 500) }</script>later"
    )
    client.sessions.goto(made.id, url=f"data:text/html,{bare}")
    assert "later" in http.post("/v1/tools/fetch-webpage", params=here, json={}).text, "a document without an element is waited for"
    client.sessions.goto(made.id, url=site)
    markdown = http.post("/v1/tools/fetch-webpage", params=here, json={"format": "markdown"})
    assert "quick brown fox" in markdown.text and "<p>" not in markdown.text, markdown.text
    assert "quick brown fox" in client.tools.fetch_webpage(url=site)
    opened = client.sessions.get_session_pages(made.id).data.count
    http.post("/v1/tools/fetch-webpage", params=here, json={"url": site, "new_page": True})
    assert client.sessions.get_session_pages(made.id).data.count == opened + 1
    anchor = http.post("/v1/tools/fetch-webpage", params=here, json={"url": f"{site}#further", "page_index": 0, "wait": 10})
    assert anchor.status_code == 200, "a place in the same document loads nothing"
    small = {"width": 320, "height": 240, "image_quality": 40}
    picture = http.post("/v1/tools/screenshot", params=here, json={"url": site, **small})
    assert picture.headers["Content-Type"] == "image/jpeg" and picture.content[:2] == b"\xff\xd8"
    whole = http.post("/v1/tools/screenshot", params=here, json={"capture_full_height": True, "scroll_all_content": True})
    assert whole.headers["Content-Type"] == "image/png" and int.from_bytes(whole.content[20:24]) >= 5000
    pdf = http.post("/v1/tools/page-pdf", params=here, json={"landscape": True, "pageRanges": "1"})
    assert pdf.headers["Content-Type"] == "application/pdf" and pdf.content[:5] == b"%PDF-"
    refused = http.post("/v1/tools/page-pdf", params=here, json={"scale": 9})
    assert refused.status_code == 400 and "scale" in refused.json()["error"]
    with pytest.raises(APIStatusError) as away:
        client.tools.fetch_webpage(url="http://127.0.0.1:9/")
    assert away.value.status_code == 422
    assert http.post("/v1/tools/screenshot", json={}).status_code == 400
    assert http.post("/v1/tools/screenshot", params=here, json={"s3_target_address": "s3://x"}).status_code == 400
    assert http.post("/v1/tools/execute-code", json={"code": "1"}).status_code == 501
    task = http.post("/v1/tools/perform-web-task", json={"prompt": "Order something"})
    assert task.status_code == 501 and "PASSEL_WEB_TASK_MODEL" in task.json()["error"]["message"]
    nobodys = http.post("/v1/tools/perform-web-task", json={"prompt": "Order something", "model": "gpt-5.5"})
    assert nobodys.status_code == 400 and "provider: say whose" in nobodys.json()["error"]["message"]


def test_the_text_of_pdfs(made: Any, http: httpx2.Client, site: str) -> None:
    here = {"sessionId": made.id}
    http.post("/v1/tools/fetch-webpage", params=here, json={"url": site})  # where the session gets its cookie
    for form in ("html", "markdown"):
        read = http.post("/v1/tools/fetch-webpage", params=here, json={"url": f"{site}mine.pdf", "format": form})
        assert read.status_code == 200 and read.headers["Content-Type"].startswith("text/plain")
        assert read.text == "Only for me\n\nand a second page", read.text
    assert http.post("/v1/tools/fetch-webpage", params=here, json={}).text.startswith("Only for me"), "what is in front is read too"
    broken = http.post("/v1/tools/fetch-webpage", params=here, json={"url": f"{site}broken.pdf"})
    assert broken.status_code == 400 and "cannot be had as text" in broken.json()["error"]["message"], broken.text


def test_a_pdf_that_takes_long_is_given_up_and_the_next_one_is_read() -> None:
    async def go() -> str:
        async with HtmlReader(1.5, "pdf") as reader:
            with pytest.raises(Unreadable, match=r"longer than 1\.5 seconds"):
                await reader.text(pdf(*["slow"] * 8, turns=400_000))
            with pytest.raises(Unreadable, match="no PDF"):
                await reader.text(b"%PDF-")
            return await reader.text(pdf("Quick"))

    assert asyncio.run(go()) == "Quick"
