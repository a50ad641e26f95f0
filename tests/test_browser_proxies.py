"""Proxies of a tenant's own, with real ones, a real Chromium and Playwright."""

import asyncio
import datetime
import ipaddress
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from playwright.sync_api import Error, sync_playwright

from passel.core.browser.upstream import Upstream
from passel.services.vault import Vault
from passel.workloads.browser.chromium import find
from passel.workloads.browser.proxy import EgressProxy, Rules
from tests.support.installation import KEY, Installation, wait_until
from tests.support.upstream_proxy import UpstreamProxy, upstream_proxy
from tests.test_browsers import page_url as page_url
from tests.test_chaos import rows

with_chromium = pytest.mark.skipif(find() is None, reason="no Chromium: `make test` installs Debian's where it may")
PASSWORD = "pass:w0rd-that-nobody-reads"


@pytest.fixture(scope="module")
def serving(shared_browsing: Installation) -> Installation:
    return shared_browsing


@pytest.fixture(scope="module")
def client(serving: Installation) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=serving.url, headers={"anchor-api-key": KEY}, timeout=60) as client:
        yield client


def asking(proxy: dict[str, Any], **browser: Any) -> dict[str, Any]:
    return {
        "session": {"recording": {"active": False}, "proxy": {"type": "custom", "active": True, **proxy}},
        "browser": {"headless": {"active": True}, **browser},
    }


def port_of(url: str) -> int:
    port = httpx2.URL(url).port
    assert port is not None
    return port


@with_chromium
def test_sessions_go_out_through_proxies_of_their_own(client: httpx2.Client, serving: Installation, page_url: str, tmp_path: Path) -> None:
    """To names that nobody here knows. What is shut stays shut, and no password is to be read anywhere."""
    pages = port_of(page_url)
    with (
        upstream_proxy(UpstreamProxy(pages, ("me", PASSWORD))) as one,
        upstream_proxy(UpstreamProxy(pages, ("me", PASSWORD))) as other,
        upstream_proxy(UpstreamProxy(pages)) as open_one,
        sync_playwright() as playwright,
    ):
        login = {"username": "me", "password": PASSWORD}
        ways: list[tuple[dict[str, str], UpstreamProxy, str]] = [
            ({"server": f"http://127.0.0.1:{one.port}", **login}, one, "GET http://far.test:81/"),
            ({"server": f"socks5://127.0.0.1:{other.port}", **login}, other, "SOCKS far.test:81"),
            ({"server": f"http://127.0.0.1:{open_one.port}"}, open_one, "GET http://far.test:81/"),
        ]
        for given, upstream, asked in ways:
            answer = client.post("/v1/sessions", json=asking(given))
            assert answer.status_code == 200, answer.text
            made = answer.json()["data"]
            page = playwright.chromium.connect_over_cdp(made["cdp_url"]).contexts[0].pages[0]
            page.goto("http://far.test:81/")
            assert page.title() == "A page" and asked in upstream.asked
            shut = page.goto(f"http://localhost:{port_of(serving.url)}/")
            assert shut is not None and shut.status == 403 and "server itself" in shut.text()
            with pytest.raises(Error, match="net::"):
                page.goto("https://far.test/")  # which the page's server does not speak
            assert not any(str(port_of(serving.url)) in line for line in upstream.asked)
            told = client.get(f"/v1/sessions/{made['id']}")
            assert told.json()["data"]["effective_configuration"]["proxy"] == given["server"]
            history = client.get("/v1/sessions", params={"sort_order": "desc"})
            assert history.json()["data"]["sessions"][0]["proxy_type"] == "custom"
            assert not [text for text in (answer.text, told.text, history.text) if PASSWORD in text or '"me"' in text]
            client.delete(f"/v1/sessions/{made['id']}")
        assert "CONNECT far.test:443" in one.asked
        wrong = client.post("/v1/sessions", json=asking({"server": f"http://127.0.0.1:{one.port}", **login, "password": "no"}))
        page = playwright.chromium.connect_over_cdp(wrong.json()["data"]["cdp_url"]).contexts[0].pages[0]
        refused = page.goto("http://far.test:81/")
        assert refused is not None and refused.status == 502 and "refuses its user name or password" in refused.text()
        client.delete(f"/v1/sessions/{wrong.json()['data']['id']}")


@with_chromium
def test_passwords_of_batches_are_sealed_for_each_session_and_try(client: httpx2.Client, serving: Installation) -> None:
    given = {"server": "http://127.0.0.1:9", "username": "me", "password": PASSWORD}
    mask = {"active": True, "custom_patterns": [{"regex": "("}]}  # with which none of them starts
    body = {"count": 2, "configuration": asking(given, sensitive_data_mask=mask)}
    batch = client.post("/v1/batch-sessions", json=body).json()["data"]["batch_id"]
    wait_until(lambda: client.get(f"/v1/batch-sessions/{batch}").json()["data"]["status"] == "failed", 60)
    assert client.post(f"/v1/batch-sessions/{batch}/retry", json={}).status_code == 200
    wait_until(lambda: client.get(f"/v1/batch-sessions/{batch}").json()["data"]["status"] == "failed", 60)
    found = rows(serving, "select id, secrets from session where kind = 'browser' and batch_id is not null")
    assert len(found) == 4
    vault = Vault.of_directory(serving.data_dir)
    for row in found:
        assert vault.open(row["secrets"], row["id"]) == {"proxy": {"user": "me", "password": PASSWORD}}
    tables = [row["tablename"] for row in rows(serving, "select tablename from pg_tables where schemaname = 'public'")]
    for table in tables:
        [held] = rows(serving, f"select count(*) as n from {table} as t where t::text like $1", f"%{PASSWORD}%")
        assert held["n"] == 0, table
    assert PASSWORD not in serving.program.errors()


def test_what_is_wrong_with_a_proxy_is_named(client: httpx2.Client) -> None:
    server = "http://proxy.test:80"
    for proxy, field in (
        ({"type": "anchor_proxy"}, "proxy: anchor_proxy is not supported"),
        ({"type": None, "server": server}, "proxy.type"),
        ({}, "proxy.server: is required"),
        ({"server": "proxy.test:80"}, "proxy.server"),
        ({"server": "http://proxy.test"}, "proxy.server"),
        ({"server": "socks4://proxy.test:80"}, "proxy.server"),
        ({"server": "http://proxy.test:99999"}, "proxy.server"),
        ({"server": f"http://me:{PASSWORD}@proxy.test:80"}, "proxy.server: must hold no credentials"),
        ({"server": server, "active": None}, "proxy.active"),
        ({"server": server, "username": "a:b"}, "proxy.username"),
        ({"server": server, "username": "a\r\nX: y"}, "proxy.username"),
        ({"server": server, "username": "a", "password": 7}, "proxy.password"),
        ({"server": "socks5://proxy.test:80", "username": "a", "password": "x" * 256}, "proxy.password"),
        ({"server": "socks5://proxy.test:80", "password": "x"}, "proxy.username"),
    ):
        answer = client.post("/v1/sessions", json=asking(proxy))
        assert answer.status_code == 400 and field in answer.text and PASSWORD not in answer.text, (proxy, answer.text)


def test_proxies_lead_nowhere_inside(page_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither to private addresses nor through a proxy at one, where these are shut; and a proxy is spoken to by TLS where it says so."""
    certificate = _certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "proxy.pem"))

    async def asked(url: str, upstream: Upstream, rules: Rules) -> httpx2.Response:
        async with EgressProxy(rules, upstream) as way, httpx2.AsyncClient(proxy=way.url) as client:
            return await client.get(url)

    far = Upstream.parse("http://8.8.8.8:3128")  # which is never spoken to
    for host in ("127.0.0.1", "localhost", "10.0.0.1", "0x7f000001", "169.254.169.254"):
        answer = asyncio.run(asked(f"http://{host}/", far, Rules()))
        assert answer.status_code == 403, host
    inside = asyncio.run(asked("http://far.test/", Upstream.parse("socks5://127.0.0.1:1080"), Rules()))
    assert inside.status_code == 403 and "127.0.0.1 is a private address" in inside.text
    with upstream_proxy(UpstreamProxy(port_of(page_url), ("me", PASSWORD), certificate)) as secure:
        upstream = Upstream.parse(f"https://127.0.0.1:{secure.port}", {"user": "me", "password": PASSWORD})
        answer = asyncio.run(asked("http://far.test/a", upstream, Rules(allow_private=True)))
        assert answer.status_code == 200 and secure.asked == ["GET http://far.test/a"]
        monkeypatch.delenv("SSL_CERT_FILE")
        unknown = asyncio.run(asked("http://far.test/b", upstream, Rules(allow_private=True)))
        assert unknown.status_code == 502 and "certificate" in unknown.text.lower() and len(secure.asked) == 1


def _certificate(directory: Path) -> ssl.SSLContext:
    """Of 127.0.0.1, signed by itself, as `proxy.pem` in the directory."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "proxy")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (directory / "proxy.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    plain = serialization.NoEncryption()
    form = serialization.PrivateFormat.PKCS8
    (directory / "key.pem").write_bytes(key.private_bytes(serialization.Encoding.PEM, form, plain))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(directory / "proxy.pem", directory / "key.pem")
    return context
