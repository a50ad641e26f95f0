"""What a client may ask of its browser: pure rules, without a browser."""

from typing import Any

import pytest

from passel.core.browser.guard import Leave, Place, Refuse, Send, judge, url_problem

PLACE = Place("/s/downloads", "/s/uploads", frozenset({"abc"}))


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "FILE:///etc/passwd",
        " \t\nfi\nle:///etc/passwd",
        "\x01file:///etc/passwd",
        "view-source:file:///etc/passwd",
        "chrome://version",
        "chrome-untrusted://x",
        "devtools://devtools/bundled/inspector.html",
        "chrome-extension://other/page.html",
        "filesystem:http://a/x",
        "javascript:alert(1)",
        "about:version",
        "ftp://a/",
        "chrome-error://chromewebdata/",
    ],
)
def test_addresses_that_are_refused(url: str) -> None:
    assert url_problem(url, PLACE.extensions) is not None
    for method in ("Page.navigate", "Target.createTarget", "Fetch.continueRequest", "Network.loadNetworkResource"):
        assert isinstance(judge(method, {"url": url}, PLACE), Refuse)


@pytest.mark.parametrize(
    "url", ["https://a.test/x", "HTTP://a", "data:text/html,x", "blob:http://a/1", "about:blank", " about:blank#x", "chrome-extension://abc/p.html", "no address", ""]
)  # fmt: skip
def test_addresses_that_are_allowed(url: str) -> None:
    assert judge("Page.navigate", {"url": url, "referrer": "r"}, PLACE) == Send({"url": url, "referrer": "r"})


@pytest.mark.parametrize(
    "method",
    [
        "Browser.crash",
        "Browser.crashGpuProcess",
        "Browser.executeBrowserCommand",
        "Browser.getBrowserCommandLine",
        "Extensions.loadUnpacked",
        "PWA.install",
        "SystemInfo.getInfo",
        "Target.exposeDevToolsProtocol",
        "Target.openDevTools",
        "Target.sendMessageToTarget",
        "Target.setRemoteLocations",
        "Tethering.bind",
        "Nonsense",
        "",
    ],
)
def test_commands_that_are_refused(method: str) -> None:
    for params in (None, {}, {"port": 1}, [1]):
        assert isinstance(judge(method, params, PLACE), Refuse)


@pytest.mark.parametrize(
    ("method", "params", "sent"),
    [
        ("Runtime.evaluate", {"expression": "1"}, {"expression": "1"}),
        ("Target.attachToBrowserTarget", None, None),
        ("Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": "/root"}, {"behavior": "allow", "downloadPath": "/s/downloads"}),
        ("Page.setDownloadBehavior", {"behavior": "deny"}, {"behavior": "deny"}),
        ("Target.createBrowserContext", {"proxyServer": "http://x", "proxyBypassList": "*", "disposeOnDetach": True}, {"disposeOnDetach": True}),
        ("Target.attachToTarget", {"targetId": "t", "flatten": False}, {"targetId": "t", "flatten": True}),
        ("Target.setAutoAttach", {"autoAttach": True}, {"autoAttach": True, "flatten": True}),
        ("DOM.setFileInputFiles", {"files": ["/uploads/a b.txt"], "nodeId": 1}, {"files": ["/s/uploads/a b.txt"], "nodeId": 1}),
        ("Input.dispatchDragEvent", {"data": {"files": ["/uploads/a"], "items": []}}, {"data": {"files": ["/s/uploads/a"], "items": []}}),
        ("Tracing.start", {"tracingBackend": "chrome"}, {"tracingBackend": "chrome"}),
    ],
)  # fmt: skip
def test_commands_that_are_sent(method: str, params: Any, sent: Any) -> None:
    assert judge(method, params, PLACE) == Send(sent)


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "/uploads/../x", "/uploads/a/b", "/uploads/", "/uploads/..", "uploads/a", "/uploads/a\0b", 7, None]
)
def test_files_that_were_not_uploaded(path: Any) -> None:
    assert isinstance(judge("DOM.setFileInputFiles", {"files": ["/uploads/a", path]}, PLACE), Refuse)
    assert isinstance(judge("Input.dispatchDragEvent", {"data": {"files": [path]}}, PLACE), Refuse)


def test_others() -> None:
    assert judge("Browser.close", {}, PLACE) == Leave()
    assert isinstance(judge("Tracing.start", {"tracingBackend": "system"}, PLACE), Refuse)
