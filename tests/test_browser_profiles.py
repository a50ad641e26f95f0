"""What sessions leave to later ones: saved states, by the vendor's client, with real browsers before and after."""

import io
import tarfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import httpx2
import pytest
from anchorbrowser import Anchorbrowser, BadRequestError, ConflictError
from playwright.sync_api import sync_playwright

from passel.core.browser.profiles import Unfit
from passel.workloads.browser import state
from passel.workloads.browser.chromium import find
from tests.support.browsing import pages
from tests.support.installation import KEY, Installation, wait_until

pytestmark = pytest.mark.skipif(find() is None, reason="no Chromium: `make test` installs Debian's where it may")

REMEMBER = """() => new Promise((done, fail) => {
    document.cookie = 'lasting=1; max-age=86400'
    document.cookie = 'fleeting=2'
    localStorage.mood = 'calm'
    const asked = indexedDB.open('shop', 1)
    asked.onupgradeneeded = () => asked.result.createObjectStore('cart')
    asked.onerror = fail
    asked.onsuccess = () => {
        const change = asked.result.transaction('cart', 'readwrite')
        change.objectStore('cart').put('seven', 'apples')
        change.oncomplete = () => done()
    }
})"""
RECALL = """() => new Promise((done, fail) => {
    const asked = indexedDB.open('shop', 1)
    asked.onupgradeneeded = () => asked.result.createObjectStore('cart')
    asked.onerror = fail
    asked.onsuccess = () => {
        const read = asked.result.transaction('cart').objectStore('cart').get('apples')
        read.onsuccess = () => done([document.cookie.split('; ').sort().join(), localStorage.mood ?? null, read.result ?? null])
    }
})"""
REMEMBERED, NOTHING = ["fleeting=2,lasting=1", "calm", "seven"], ["", None, None]


class Shop(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<title>Shop</title>")

    def log_message(self, format: str, *args: Any) -> None: ...


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    with pages(Shop) as url:
        yield url


@pytest.fixture(scope="module")
def serving(shared_browsing: Installation) -> Installation:
    return shared_browsing


@pytest.fixture(scope="module")
def client(serving: Installation) -> Iterator[Any]:
    with Anchorbrowser(api_key=KEY, base_url=serving.url, max_retries=0) as one:
        yield one


def begin(client: Any, **profile: Any) -> Any:
    browser = {"headless": {"active": True}} | ({"profile": profile} if profile else {})
    return client.sessions.create_session(browser=browser, session={"recording": {"active": False}}).data


def end(client: Any, session_id: str) -> None:
    client.sessions.delete_session(session_id)
    wait_until(lambda: client.sessions.get_session(session_id).data.status == "completed", 60)


def on(made: Any, site: str, script: str) -> Any:
    with sync_playwright() as playing:
        page = playing.chromium.connect_over_cdp(made.cdp_url).contexts[0].pages[0]
        page.goto(site)
        return page.evaluate(script)


def test_a_later_session_goes_on_where_one_has_ended(client: Any, serving: Installation, site: str) -> None:
    with pytest.raises(BadRequestError, match="no profile shopper"):
        begin(client, name="shopper")
    first = begin(client, name="shopper", persist=True)
    on(first, site, REMEMBER)
    assert client.profiles.get_profile("shopper").data.status == "pending_session"
    with pytest.raises(ConflictError, match="another session writes"):
        begin(client, name="shopper", persist=True)
    with pytest.raises(ConflictError, match="saved when its session has ended"):
        begin(client, name="shopper")
    end(client, first.id)

    reader = begin(client, name="shopper")
    assert on(reader, site, RECALL) == REMEMBERED
    on(reader, site, "() => { localStorage.mood = 'cross' }")
    end(client, reader.id)
    fresh = begin(client)
    assert on(fresh, site, RECALL) == NOTHING
    with httpx2.Client(base_url=serving.url, headers={"anchor-api-key": KEY}, timeout=60) as http:
        asked = {"name": "shopper", "source": "session", "session_id": fresh.id}
        assert http.post("/v1/profiles", json=asked).status_code == 409, "the name is taken"
        assert http.post("/v1/profiles", json=asked | {"name": "a/b"}).status_code == 400
        assert http.post("/v1/profiles", json=asked | {"name": "late", "session_id": reader.id}).status_code == 404, "it has ended"
        assert http.post("/v1/profiles", json=asked | {"name": "plain", "description": "empty"}).json()["data"]["status"]
        listed = http.get("/v1/profiles").json()["data"]
        assert [(one["name"], one["status"]) for one in listed["items"]] == [("shopper", "ready"), ("plain", "pending_session")]
        end(client, fresh.id)
        plain = http.get("/v1/profiles/plain").json()["data"]
        assert (plain["status"], plain["description"], plain["session_id"]) == ("ready", "empty", fresh.id)
        named = http.get("/v1/sessions", params={"profile_name": "SHOP"}).json()["data"]["sessions"]
        assert {one["session_id"] for one in named} == {first.id, reader.id}
        many = {"count": 2, "configuration": {"browser": {"profile": {"name": "shopper", "persist": True}}}}
        refused = http.post("/v1/batch-sessions", json=many)
        assert refused.status_code == 400 and "persist" in refused.json()["error"]["message"]
        strange = {"anchor-api-key": serving.new_organisation()}
        assert http.get("/v1/profiles", headers=strange).json()["data"]["count"] == 0
        assert http.get("/v1/profiles/shopper", headers=strange).status_code == 404

    broken = begin(client, name="shopper", persist=True)
    assert on(broken, site, RECALL) == REMEMBERED, "who only read it has changed nothing"
    with httpx2.Client(base_url=serving.url, headers={"anchor-api-key": KEY}, timeout=60) as http:
        assert http.delete("/v1/profiles/shopper").status_code == 200
        assert http.delete("/v1/profiles/shopper").status_code == 404
        end(client, broken.id)
        assert http.get("/v1/profiles/shopper").status_code == 404, "what was deleted meanwhile is not saved"


LARGE = """() => new Promise((done, fail) => {
    localStorage.mood = 'cross'
    const parts = [...Array(640)].map(() => crypto.getRandomValues(new Uint8Array(65536)))
    const asked = indexedDB.open('shop', 1)
    asked.onsuccess = () => {
        const change = asked.result.transaction('cart', 'readwrite')
        parts.forEach((part, n) => change.objectStore('cart').put(part, n))
        change.oncomplete = () => done()
        change.onerror = fail
    }
})"""


@pytest.mark.slow
def test_what_was_saved_stays_when_saving_breaks_off(client: Any, serving: Installation, site: str) -> None:
    first = begin(client, name="careful", persist=True)
    on(first, site, REMEMBER)
    end(client, first.id)

    killed = begin(client, name="careful", persist=True)
    on(killed, site, LARGE)
    [worker] = serving.children("worker")
    [keeper] = [child for child in worker.children() if any("keeper.py" in part for part in child.cmdline())]
    home = Path(keeper.cmdline()[-1])
    client.sessions.delete_session(killed.id)
    wait_until(lambda: client.profiles.get_profile("careful").data.status == "saving", 30, 0.01)
    worker.kill()
    wait_until(lambda: not home.exists(), 30)
    wait_until(lambda: client.sessions.get_session(killed.id).data.status == "failed", 60)
    assert client.profiles.get_profile("careful").data.status == "ready"

    broken = begin(client, name="careful", persist=True)
    assert on(broken, site, RECALL) == REMEMBERED
    on(broken, site, "() => { localStorage.mood = 'cross' }")
    [worker] = serving.children("worker")
    [browser] = [
        one
        for one in worker.children(recursive=True)
        if any("--user-data-dir" in part for part in one.cmdline()) and is_main(one.cmdline())
    ]
    home = Path(next(part for part in browser.cmdline() if part.startswith("--user-data-dir")).split("=", 1)[1]).parent
    browser.kill()
    wait_until(lambda: client.sessions.get_session(broken.id).data.status == "failed", 60)
    wait_until(lambda: not home.exists(), 30)
    reader = begin(client, name="careful")
    assert on(reader, site, RECALL) == REMEMBERED
    end(client, reader.id)


def is_main(command: list[str]) -> bool:
    return not any(part.startswith("--type=") for part in command)


def archive(directory: Path, *members: tarfile.TarInfo) -> None:
    with tarfile.open(directory / state.ARCHIVE, "w:gz") as made:
        for member in members:
            made.addfile(member, io.BytesIO(bytes(member.size)))


def member(name: str, size: int = 3, **more: Any) -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.size = size
    for key, value in more.items():
        setattr(made, key, value)
    return made


@pytest.mark.parametrize(
    "bad",
    [
        member("../outside"),
        member("/etc/outside"),
        member("profile/../../outside"),
        member("elsewhere/x"),
        member("profile/link", 0, type=tarfile.SYMTYPE, linkname="/etc/passwd"),
        member("profile/link", 0, type=tarfile.LNKTYPE, linkname="profile/fine"),
        member("profile/device", 0, type=tarfile.CHRTYPE),
        member("profile/large", 40 * 2**20),
    ],
    ids=lambda one: one.name,
)
def test_an_archive_reaches_nothing_but_its_profile(tmp_path: Path, bad: tarfile.TarInfo) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    archive(inside, member("profile/fine"), bad)
    with pytest.raises(Unfit):
        state.unpack(inside, 2**20)
    assert [one.name for one in tmp_path.iterdir()] == ["inside"]
    assert {str(one.relative_to(inside)) for one in inside.rglob("*")} <= {"profile", "profile/fine"}


def test_what_a_browser_has_laid_out_as_a_trap_is_not_packed(tmp_path: Path) -> None:
    (tmp_path / "profile/Default/Cache").mkdir(parents=True)
    (tmp_path / "secret").write_bytes(b"secret")
    (tmp_path / "profile/Default/Fine").write_bytes(b"fine")
    (tmp_path / "profile/Default/Cache/data").write_bytes(b"cached")
    (tmp_path / "profile/soft").symlink_to(tmp_path / "secret")
    (tmp_path / "profile/hard").hardlink_to(tmp_path / "secret")
    (tmp_path / "profile/way").symlink_to(tmp_path)
    (tmp_path / state.ARCHIVE).symlink_to(tmp_path / "secret")
    packed = state.pack(tmp_path, [], 2**20)
    with tarfile.open(packed) as made:
        assert made.getnames() == [state.COOKIES, "profile/Default/Fine"]
    assert (tmp_path / "secret").read_bytes() == b"secret"
    (tmp_path / "profile" / "/".join("d" * 40)).mkdir(parents=True)
    (tmp_path / "profile" / "/".join("d" * 40) / "deep").write_bytes(b"deep")
    state.pack(tmp_path, [{"name": "a"}], 2**20)
    (tmp_path / "later").mkdir()
    (tmp_path / state.ARCHIVE).rename(tmp_path / "later" / state.ARCHIVE)
    assert state.unpack(tmp_path / "later", 2**20) == [{"name": "a"}], "what is packed can be unpacked"
    with pytest.raises(Unfit, match="cookies"):
        state.pack(tmp_path, ["x" * 17 * 2**20], 2**20)
    with pytest.raises(Unfit, match="may have 3 bytes"):
        state.pack(tmp_path, [], 3)
