"""Options of browser sessions, and the ways in for CDP clients, with a real Chromium and Playwright."""

import http.server
import ipaddress
import json
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from playwright.sync_api import Error, Playwright

from passel.core.browser.filters import parse
from passel.faces.anchor.requests import session_request
from passel.workloads.browser.chromium import find
from tests.support.browsing import pages
from tests.support.installation import KEY, Installation, installed, scratch_dir, wait_until

pytestmark = pytest.mark.skipif(find() is None, reason="no Chromium: `make test` installs Debian's where it may")


class Pages(http.server.BaseHTTPRequestHandler):
    """A page with a frame of another site, which runs in a process of its own."""

    def do_GET(self) -> None:
        port = self.server.server_address[1]
        frame = f"<iframe src='http://localhost:{port}/inner'></iframe>" if self.path == "/" else ""
        body = f"<!doctype html><title>P</title><p>card 4111-1111</p><input type=password><div id=own>x</div>{frame}".encode()
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


@pytest.fixture(scope="module")
def serving() -> Iterator[Installation]:
    with scratch_dir() as directory:
        (directory / "ads.txt").write_text(
            "! Title: ours\n||localhost.test^\n127.0.0.1 ads.test # comment\n@@||fine.ads.test^\nads.test/banner$image\n"
        )
        settings = {"PASSEL_ALLOW_PRIVATE_URLS": "1", "PASSEL_FILTER_LISTS": str(directory / "ads.txt"), "PASSEL_BROWSER_POOL": "1"}
        with installed(1, settings) as installation:
            yield installation


@pytest.fixture(scope="module")
def http_client(serving: Installation) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=serving.url, headers={"anchor-api-key": KEY}, timeout=60) as client:
        yield client


def begin(client: httpx2.Client, browser: dict[str, Any]) -> Any:
    made = client.post("/v1/sessions", json={"browser": {"headless": {"active": True}, **browser}})
    assert made.status_code == 200, made.text
    return made.json()["data"]


def test_pages_are_set_up_before_their_documents(http_client: httpx2.Client, playwright: Playwright, page_url: str) -> None:
    """In the first page, in frames of other sites, in popups."""
    mask = {
        "active": True,
        "custom_selectors": ["#nowhere"],
        "site_selectors": {"127.0.0.1": ["#own"], "*.bank.test": ["p"]},
        "custom_patterns": [{"regex": "\\d{4}-\\d{4}"}],
    }
    on = {"active": True}
    made = begin(http_client, {"disable_dialogs": on, "force_popups_as_tabs": on, "sensitive_data_mask": mask, "adblock": on})
    assert not [told for told in made["warnings"] if "adblock" in told]
    page = playwright.chromium.connect_over_cdp(made["cdp_url"]).contexts[0].pages[0]
    page.goto(page_url)
    inner = wait_until(lambda: next((frame for frame in page.frames if frame.url.endswith("/inner")), None))
    inner.wait_for_load_state()
    for frame, own in ((page.main_frame, "blur(8px)"), (inner, "none")):
        assert frame.evaluate("[alert('a'), confirm('b'), prompt('c')]") == [None, True, None]
        assert frame.locator("p").inner_text() == "card ****"
        assert frame.evaluate("getComputedStyle(document.querySelector('input')).filter") == "blur(8px)"
        assert frame.evaluate("getComputedStyle(document.querySelector('#own')).filter") == own
    shadow = "(() => { const at = document.createElement('div'); document.body.append(at); const root = at.attachShadow({mode: 'closed'});"
    page.evaluate(f"{shadow} root.innerHTML = '<i>1234-5678</i><input type=tel>'; window.root = root }})()")
    assert page.evaluate("[root.querySelector('i').textContent, getComputedStyle(root.querySelector('input')).filter]") == [
        "****",
        "blur(8px)",
    ]
    with page.expect_popup() as opened:
        page.evaluate("url => { open(url, 'small', 'width=200,height=150') }", page_url)
    popup = opened.value
    popup.wait_for_load_state()
    assert popup.evaluate("innerWidth") == page.evaluate("innerWidth") and popup.evaluate("confirm('x')") is True
    assert popup.locator("p").inner_text() == "card ****" and popup.evaluate("opener !== null")
    http_client.delete(f"/v1/sessions/{made['id']}")


@pytest.mark.parametrize(
    ("browser", "status", "said"),
    [
        ({"popup_blocker": {"active": True}, "adblock": {"active": False}}, 400, "browser.popup_blocker"),
        ({"sensitive_data_mask": {"active": True, "custom_selectors": ["a{}b"]}}, 400, "custom_selectors"),
        ({"sensitive_data_mask": {"active": True, "custom_patterns": [{"mask": "x"}]}}, 400, "custom_patterns.0.regex"),
        ({"sensitive_data_mask": {"active": True, "custom_patterns": [{"regex": "("}]}}, 500, "no regular expression"),
    ],
)
def test_what_cannot_be_asked(http_client: httpx2.Client, browser: dict[str, Any], status: int, said: str) -> None:
    refused = http_client.post("/v1/sessions", json={"browser": browser})
    assert refused.status_code == status and said in refused.text


def test_clients_that_ask_over_http_first(http_client: httpx2.Client, serving: Installation, playwright: Playwright) -> None:
    made = begin(http_client, {})
    token = made["cdp_url"].rpartition("token=")[2]
    for query, headers in ((f"sessionId={made['id']}&token={token}", {}), (f"sessionId={made['id']}", {"anchor-api-key": KEY})):
        for path in ("/json/version", "/json/version/"):
            told = httpx2.get(f"{serving.url}{path}?{query}", headers=headers).json()
            assert told["Browser"].startswith(("Chrome/", "HeadlessChrome/")) and KEY not in json.dumps(told)
        browser = playwright.chromium.connect_over_cdp(f"{serving.url}?{query}", headers=headers)
        assert len(browser.contexts[0].pages) == 1
        browser.close()
    assert httpx2.get(f"{serving.url}/json/version?sessionId={made['id']}").status_code == 401
    assert httpx2.get(f"{serving.url}/json/version").status_code == 401
    http_client.delete(f"/v1/sessions/{made['id']}")


def test_a_key_alone_makes_a_session(http_client: httpx2.Client, serving: Installation, playwright: Playwright) -> None:
    def running() -> list[str]:
        items = http_client.get("/v1/sessions/all/status").json()["data"]["items"]
        return [one["session_id"] for one in items if one["status"] in ("running", "pending")]

    wait_until(lambda: not running())
    with pytest.raises(Error, match="401"):
        playwright.chromium.connect_over_cdp(f"{serving.url.replace('http', 'ws')}?apiKey=wrong")
    assert http_client.get("/", params={"apiKey": KEY}, headers={"Upgrade": "websocket", "Connection": "Upgrade"}).status_code == 400
    assert running() == []
    browser = playwright.chromium.connect_over_cdp(f"{serving.url}?apiKey={KEY}")
    assert browser.contexts[0].pages[0].evaluate("[innerWidth, innerHeight]") == [1440, 900]
    [made] = running()
    browser.close()
    http_client.delete(f"/v1/sessions/{made}")


def authority(directory: Path) -> tuple[bytes, bytes, bytes, ssl.SSLContext]:
    """An authority (PEM), what it has signed for 127.0.0.1 (PEM), the key of that, and a server's context with both."""
    now, keys = datetime.now(UTC), [ec.generate_private_key(ec.SECP256R1()) for _ in range(2)]
    names = [x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]) for name in ("Our authority", "Our server")]
    made: list[bytes] = []
    for number, (name, key) in enumerate(zip(names, keys, strict=True)):
        builder = x509.CertificateBuilder(
            names[0], name, key.public_key(), x509.random_serial_number(), now - timedelta(1), now + timedelta(9)
        )
        builder = builder.add_extension(x509.BasicConstraints(ca=number == 0, path_length=None), critical=True)
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        made.append(builder.sign(keys[0], hashes.SHA256()).public_bytes(Encoding.PEM))
    key = keys[1].private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (directory / "both.pem").write_bytes(key + made[1])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(directory / "both.pem")
    return made[0], made[1], key, context


def test_authorities_of_ones_own(serving: Installation, http_client: httpx2.Client, playwright: Playwright, tmp_path: Path) -> None:
    """Only sessions that name one trust it, in the contexts of clients too; it is in no profile."""
    trusted, signed, key, context = authority(tmp_path)

    def upload(raw: bytes, name: str = "ours", **fields: str) -> httpx2.Response:
        return http_client.post("/v1/certificates", data={"name": name, **fields}, files={"file": ("ca.crt", raw)})

    for raw, said in (
        (signed, "CA:FALSE"),
        (key + trusted, "private key"),
        (b"x", "no X.509"),
        (trusted * 2, "2 certificates"),
        (bytes(70_000), "may have"),
    ):
        refused = upload(raw)
        assert refused.status_code == 400 and said in refused.json()["error"]["message"], said
    assert upload(trusted, "no name").json()["error"]["message"].startswith("name")
    made = upload(trusted, description="Inside")
    assert made.status_code == 200 and made.json()["data"]["description"] == "Inside"
    assert upload(trusted).status_code == 409
    assert upload(ssl.PEM_cert_to_DER_cert(trusted.decode()), "as-der").status_code == 200
    assert [one["name"] for one in http_client.get("/v1/certificates").json()["data"]] == ["ours", "as-der"]
    stranger = {"anchor-api-key": serving.new_organisation()}
    assert http_client.get("/v1/certificates", headers=stranger).json() == {"data": []}
    named = {"browser": {"certificates": ["ours"]}}
    theirs = http_client.post("/v1/sessions", json=named, headers=stranger)
    assert theirs.status_code == 400 and "browser.certificates.0: there is no certificate ours" in theirs.text
    with pages(Pages, context) as url:
        for browser, reaches in (({"certificates": ["ours"]}, True), ({}, False)):
            session = begin(http_client, browser)
            client = playwright.chromium.connect_over_cdp(session["cdp_url"])
            for page in (client.contexts[0].pages[0], client.new_context().new_page()):
                if reaches:
                    page.goto(url)
                    assert page.title() == "P"
                else:
                    with pytest.raises(Error, match="ERR_CERT_AUTHORITY_INVALID"):
                        page.goto(url)
            http_client.delete(f"/v1/sessions/{session['id']}")
    for status in (200, 404):
        assert http_client.delete("/v1/certificates/ours").status_code == status


@pytest.mark.parametrize(
    ("host", "blocked"),
    [
        ("ads.test", True), ("Deep.Ads.Test.", True), ("bads.test", False), ("fine.ads.test", False), ("x.fine.ads.test", False),
        ("worse.fine.ads.test", True), ("plain.test", True), ("zero.test", True), ("zero.test.org", False), ("test", False), ("127.0.0.1", False),
        ("third.test", False), ("localhost", False), ("", False),
    ],
)  # fmt: skip
def test_what_lists_of_hosts_say(host: str, blocked: bool) -> None:
    lines = """
        ! a comment
        # another
        [Adblock Plus 2.0]
        ||ads.test^
        ||worse.fine.ads.test^
        @@||fine.ads.test^
        plain.test
        0.0.0.0 zero.test   # as hosts files have it
        127.0.0.1 localhost
        ||third.test^$third-party
        /banner/*
        ##.advertisement
        ads.example##.box
    """
    found = parse(lines.splitlines())
    assert found.blocks(host) is blocked
    assert (len(found.hosts), len(found.exceptions), found.passed_over) == (4, 1, 5)


def test_the_ad_blocker_keeps_from_hosts_of_the_servers_lists(http_client: httpx2.Client, playwright: Playwright) -> None:
    """On unless it is switched off, for browsers of the pool too."""
    for browser, blocks in (
        ({}, True),
        ({"adblock": {"active": True}, "pdf_viewer": {"active": False}}, True),
        ({"adblock": {"active": False}}, False),
    ):
        made = begin(http_client, browser)
        page = playwright.chromium.connect_over_cdp(made["cdp_url"]).contexts[0].pages[0]
        for host, listed in (("ads.test", True), ("very.ads.test", True), ("fine.ads.test", False)):
            answer = page.goto(f"http://{host}/")
            assert answer is not None
            assert (answer.status == 403 and "filter list" in answer.text()) == (blocks and listed), (browser, host, answer.status)
        with pytest.raises(Error, match="ERR_TUNNEL_CONNECTION_FAILED"):
            page.goto("https://ads.test/")
        http_client.delete(f"/v1/sessions/{made['id']}")
    told = begin(http_client, {"popup_blocker": {"active": True}})
    assert [one for one in told["warnings"] if "popup_blocker" in one]
    http_client.delete(f"/v1/sessions/{told['id']}")


def test_an_ad_blocker_without_lists_says_so() -> None:
    asked = session_request({"browser": {"adblock": {"active": True}}})
    assert not asked.configuration.adblock and [told for told in asked.warnings if "PASSEL_FILTER_LISTS" in told]
    assert not [told for told in session_request({}).warnings if "adblock" in told]
    assert session_request({}, filters=True).configuration.adblock
