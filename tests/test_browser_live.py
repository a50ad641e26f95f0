"""The live view as people have it: our own pages, opened in a browser of theirs; and tokens, each for its scope."""

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import pytest
from playwright.sync_api import Browser, Error, Page, Playwright, expect
from websockets.exceptions import InvalidStatus
from websockets.sync.client import ClientConnection
from websockets.sync.client import connect as websocket

from passel.workloads.browser.chromium import find
from tests.support.installation import KEY, Installation, installed, wait_until

pytestmark = pytest.mark.skipif(find() is None, reason="no Chromium: `make test` installs Debian's where it may")

FORM = "data:text/html,<title>Form</title><input style='position:fixed;left:20px;top:20px;width:300px;height:40px'>"
ASKS = "data:text/html,<title>Asks</title><button style='position:fixed;left:0;top:0;width:400px;height:400px' onclick='document.title=prompt(`Who?`,`me`)'>ask</button>"


@pytest.fixture(scope="module")
def serving() -> Iterator[Installation]:
    with installed(1) as installation:
        yield installation


@pytest.fixture
def theirs(playwright: Playwright) -> Iterator[Browser]:
    """The browser of somebody who watches."""
    browser = playwright.chromium.launch(executable_path=find())
    yield browser
    browser.close()


def begin(http: httpx2.Client, session: dict[str, Any] | None = None) -> Any:
    made = http.post("/v1/sessions", json={"session": session or {}, "browser": {"headless": {"active": True}}})
    assert made.status_code == 200, made.text
    return made.json()["data"]


def socket_url(live_view_url: str) -> str:
    path, _, query = live_view_url.partition("?")
    return f"{path.replace('http', 'ws', 1)}/socket?{query}"


def status_of(url: str) -> int:
    """That of a refusal; 101 where it stands open."""
    try:
        with websocket(url, max_size=None):
            return 101
    except InvalidStatus as refused:
        return refused.response.status_code


def told(socket: ClientConnection, type: str) -> Any:
    while True:
        message = socket.recv(timeout=20)
        if isinstance(message, str) and (found := json.loads(message))["type"] == type:
            return found


def picture(socket: ClientConnection) -> bytes:
    while not isinstance(message := socket.recv(timeout=20), bytes):
        pass
    return message


def at(page: Page, x: float, y: float) -> tuple[float, float]:
    """Where a point of the session's page is on the page that shows it."""
    box = page.locator("#screen").bounding_box()
    assert box is not None
    return box["x"] + x * box["width"] / 1440, box["y"] + y * box["height"] / 900


def test_a_person_drives_a_session(http: httpx2.Client, theirs: Browser, playwright: Playwright) -> None:
    made = begin(http, {"initial_url": FORM})
    watched = theirs.new_page(viewport={"width": 1200, "height": 800})
    problems: list[str] = []
    watched.on("pageerror", lambda error: problems.append(str(error)))
    watched.goto(made["live_view_url"])
    expect(watched.locator("#state")).to_have_text("live")
    expect(watched.locator(".tab")).to_have_text("Form×")
    box = watched.locator("#screen").bounding_box()
    assert box is not None and box["y"] + box["height"] <= 800, "all of the page is to be seen"
    driven = playwright.chromium.connect_over_cdp(made["cdp_url"])
    page = driven.contexts[0].pages[0]
    watched.mouse.click(*at(watched, 60, 40))
    watched.keyboard.type("Zoë 1", delay=20)
    expect(page.locator("input")).to_have_value("Zoë 1")
    watched.keyboard.press("Control+a")
    watched.keyboard.press("Control+x")
    expect(page.locator("input")).to_have_value("")
    watched.locator("#keys").evaluate(
        "keys => { const data = new DataTransfer(); data.setData('text/plain', 'pasted'); keys.dispatchEvent(new ClipboardEvent('paste', {clipboardData: data})) }"
    )
    expect(page.locator("input")).to_have_value("pasted")
    driven.close()

    watched.locator("#open").click()
    expect(watched.locator(".tab")).to_have_count(2)
    watched.fill("#address", ASKS)
    watched.keyboard.press("Enter")
    expect(watched.locator(".tab[aria-selected=true]")).to_have_text("Asks×")
    watched.mouse.click(*at(watched, 100, 100))
    expect(watched.locator("#said")).to_have_text("Who?")
    watched.fill("#answer", "you")
    watched.click("#accept")
    expect(watched.locator(".tab[aria-selected=true]")).to_have_text("you×")
    watched.fill("#address", "file:///etc/passwd")
    watched.keyboard.press("Enter")
    expect(watched.locator("#problem")).to_contain_text("file: addresses are not allowed")
    watched.locator(".tab").first.get_by_role("button").first.click()
    expect(watched.locator(".tab[aria-selected=true]")).to_have_text("Form×")
    pages = http.get(f"/v1/sessions/{made['id']}/pages").json()["data"]["items"]
    assert [one["title"] for one in pages] == ["Form", "you"] and all("&pageId=" in one["frontend_url"] for one in pages)
    watched.locator(".tab .close").last.click()
    expect(watched.locator(".tab")).to_have_count(1)
    http.delete(f"/v1/sessions/{made['id']}")
    expect(watched.locator("#over")).to_contain_text("somebody ended it")
    assert problems == []
    with pytest.raises(Error):
        playwright.chromium.connect_over_cdp(made["cdp_url"])


def test_who_may_only_watch_changes_nothing(http: httpx2.Client) -> None:
    made = begin(http, {"initial_url": FORM, "live_view": {"read_only": True}})
    with websocket(socket_url(made["live_view_url"]), max_size=None) as socket:
        hello = told(socket, "hello")
        assert (hello["act"], hello["width"], hello["height"]) == (False, 1440, 900)
        frame = picture(socket)
        assert (int.from_bytes(frame[:2]), frame[4:6]) == (1440, b"\xff\xd8")
        for message in (
            {"type": "navigate", "url": "data:text/html,gone"},
            {"type": "open"},
            {"type": "text", "text": "x"},
            {"type": "no"},
        ):
            socket.send(json.dumps(message))
        time.sleep(0.5)
        pages = http.get(f"/v1/sessions/{made['id']}/pages").json()["data"]["items"]
        assert [one["title"] for one in pages] == ["Form"]
    tokens = http.post(f"/v1/sessions/{made['id']}/tokens", json={}).json()["data"]
    assert tokens["live_view_url"] == tokens["live_view_read_only_url"]
    http.delete(f"/v1/sessions/{made['id']}")


def test_what_is_not_understood_harms_nothing(http: httpx2.Client) -> None:
    made = begin(http, {"initial_url": FORM})
    with websocket(socket_url(made["live_view_url"]), max_size=None) as socket:
        assert told(socket, "hello")["act"] is True
        wrong: list[Any] = ["{", "[]", "7", '{"type":7}', '{"type":"mouse"}', '{"type":"mouse","action":"down","x":"a","y":0}']
        wrong += [
            '{"type":"mouse","action":"down","x":1,"y":1,"button":"all"}',
            '{"type":"edit","command":"shutdown"}',
            '{"type":"key","action":1}',
        ]
        for one in wrong:
            socket.send(one)
            assert told(socket, "problem")["message"]
        socket.send(json.dumps({"type": "navigate", "url": "data:text/html,<title>Still</title>"}))
        while "Still" not in [one["title"] for one in told(socket, "tabs")["tabs"]]:
            pass
    http.delete(f"/v1/sessions/{made['id']}")


def test_tokens_open_what_they_are_for(http: httpx2.Client, serving: Installation) -> None:
    made, other = begin(http), begin(http)
    own = f"/v1/sessions/{made['id']}/tokens"
    ws = serving.url.replace("http", "ws", 1)
    computed = {name: made[name].rpartition("token=")[2] for name in ("cdp_url", "live_view_url")}
    assert KEY not in json.dumps(made) and status_of(made["cdp_url"]) == status_of(socket_url(made["live_view_url"])) == 101
    assert status_of(f"{ws}/?sessionId={made['id']}&token={computed['live_view_url']}") == 403
    assert status_of(f"{ws}/live/{made['id']}/socket?token={computed['cdp_url']}") == 403
    assert status_of(f"{ws}/?sessionId={other['id']}&token={computed['cdp_url']}") == 401
    assert status_of(f"{ws}/?sessionId={made['id']}") == 401 == status_of(f"{ws}/?token=nothing") == status_of(f"{ws}/live/socket?token=")

    minted = http.post(own, json={}).json()["data"]
    assert set(minted) == {"live_view_read_only_url", "live_view_url", "cdp_url"} and made["id"] not in json.dumps(minted)
    live = {name: socket_url(url) for name, url in minted.items() if name.startswith("live")}
    assert [status_of(url) for url in (minted["cdp_url"], *live.values())] == [101, 101, 101]
    assert status_of(made["cdp_url"]) == 403 == status_of(socket_url(made["live_view_url"])), "from now on minted ones alone"
    assert status_of(f"{ws}/?apiKey={KEY}&sessionId={made['id']}") == 101
    with websocket(live["live_view_read_only_url"], max_size=None) as socket:
        assert told(socket, "hello")["act"] is False
    again = http.post(own, json={"scopes": ["cdp"]}).json()["data"]
    assert set(again) == {"cdp_url"} and again["cdp_url"] != minted["cdp_url"]
    token = minted["cdp_url"].rpartition("token=")[2]
    assert status_of(f"{ws}/?sessionId={other['id']}&token={token}") == 401, "of another session"
    with websocket(minted["cdp_url"]) as open_before:
        assert http.delete(f"{own}/{token}").json() == {"data": {"status": "success"}}
        assert status_of(minted["cdp_url"]) == 401 and status_of(again["cdp_url"]) == 101
        open_before.send(json.dumps({"id": 1, "method": "Browser.getVersion"}))
        assert json.loads(open_before.recv(timeout=20))["id"] == 1
    assert http.delete(f"{own}/{token}").status_code == 404
    assert http.post(own, json={"scopes": ["all"]}).status_code == 400
    seen = http.get(f"{serving.url}/live/socket?token={token}")
    assert (seen.status_code, seen.json()["error"]["code"]) == (401, 401), "a page is told why"
    for one in (made, other):
        http.delete(f"/v1/sessions/{one['id']}")
    wait_until(lambda: status_of(again["cdp_url"]) == 410, 20)
    wait_until(lambda: http.post(own, json={}).status_code == 409, 20)


def test_sessions_that_are_opened_by_minted_tokens_alone(http: httpx2.Client) -> None:
    made = begin(http, {"scoped_access": {"active": True}})
    assert set(made) >= {"cdp_url", "live_view_url", "live_view_read_only_url"} and status_of(made["cdp_url"]) == 101
    assert "sessionId" not in made["cdp_url"]
    http.delete(f"/v1/sessions/{made['id']}")


def test_a_link_for_one_viewer(http: httpx2.Client) -> None:
    made = begin(http, {"live_view": {"one_time_url": True}})
    url = socket_url(made["live_view_url"])
    assert status_of(f"{url}&rate=slow") == 400, "and the link is still good"
    with ThreadPoolExecutor(6) as pool:
        assert sorted(pool.map(status_of, [url] * 6)) == [101, *[403] * 5]
    assert status_of(url) == 403
    assert set(http.post(f"/v1/sessions/{made['id']}/tokens", json={}).json()["data"]) == {"live_view_read_only_url", "cdp_url"}
    http.delete(f"/v1/sessions/{made['id']}")


def test_a_batch_is_watched_on_one_page(http: httpx2.Client, serving: Installation, theirs: Browser) -> None:
    asked = {"count": 3, "configuration": {"session": {"initial_url": FORM}, "browser": {"headless": {"active": True}}}}
    batch_id = http.post("/v1/batch-sessions", json=asked).json()["data"]["batch_id"]

    def read() -> Any:
        found = http.get(f"/v1/batch-sessions/{batch_id}").json()["data"]
        return found if found["status"] == "completed" else None

    batch = wait_until(read, 60)
    page = theirs.new_page()
    page.goto(batch["live_view_url"])
    expect(page.locator(".tile.live")).to_have_count(3, timeout=20_000)
    expect(page.locator(".tile span").nth(2)).to_have_text("Form", timeout=20_000)
    http.delete(f"/v1/sessions/{batch['sessions'][1]['session_id']}")
    expect(page.locator(".tile em").nth(1)).to_have_text("ended", timeout=20_000)
    with page.expect_popup() as opened:
        page.locator(".tile").first.click()
    expect(opened.value.locator("#state")).to_have_text("live", timeout=20_000)
    state = f"{serving.url}/live/batches/{batch_id}/state"
    assert httpx2.get(state).status_code == httpx2.get(f"{state}?token=x").status_code == 401
    assert http.delete(f"/v1/batch-sessions/{batch_id}").json()["data"]["deleted_sessions"] == 3
    policy = httpx2.get(batch["live_view_url"]).headers["Content-Security-Policy"]
    assert "frame-ancestors *" in policy and "script-src 'self'" in policy
    front = httpx2.get(f"{serving.url}/?sessionId={batch['sessions'][0]['session_id']}&token=t", follow_redirects=False)
    assert front.headers["Location"] == f"/live/{batch['sessions'][0]['session_id']}?token=t"
