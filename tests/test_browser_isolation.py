"""What a page, or a CDP client, does not reach of the machine and of other sessions, with a real Chromium. Private addresses are open, so
that what stays shut does so by rules of its own."""

from collections.abc import Iterator

import httpx2
import psutil
import pytest
from playwright.sync_api import sync_playwright

from passel.workloads.browser.chromium import find
from tests.support.installation import KEY, Installation, installed

pytestmark = pytest.mark.skipif(find() is None, reason="no Chromium: `make test` installs Debian's where it may")


@pytest.fixture(scope="module")
def serving() -> Iterator[Installation]:
    with installed(1, {"PASSEL_ALLOW_PRIVATE_URLS": "1"}) as installation:
        yield installation


def proxies() -> set[str]:
    """The ways out of all browsers of this machine: host and port."""
    lines = [process.info["cmdline"] or [] for process in psutil.process_iter(["cmdline"])]
    return {one.partition("=http://")[2] for line in lines for one in line if one.startswith("--proxy-server=http://")}


def test_one_session_reaches_nothing_of_another(serving: Installation) -> None:
    before = proxies()
    headers = {"anchor-api-key": KEY}
    with httpx2.Client(base_url=serving.url, headers=headers, timeout=60) as client, sync_playwright() as playwright:
        asked = {"browser": {"headless": {"active": True}}}
        made = [client.post("/v1/sessions", json=asked).json()["data"] for _ in range(2)]
        ports = [proxy.rpartition(":")[2] for proxy in proxies() - before]
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
