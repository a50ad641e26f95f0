"""Items of batches that are tried again, and what lists and clients may go by, with a real Chromium."""

from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from playwright.sync_api import Error, Playwright, sync_playwright

from passel.workloads.browser.chromium import find
from tests.support.installation import Installation, installed, wait_until
from tests.support.worlds import INVARIANTS
from tests.test_chaos import rows

pytestmark = pytest.mark.skipif(find() is None, reason="no Chromium: `make test` installs Debian's where it may")

HEADLESS: Any = {"headless": {"active": True}}
QUIET: Any = {"recording": {"active": False}}


@pytest.fixture(scope="module")
def serving() -> Iterator[Installation]:
    with installed(1, {"PASSEL_ALLOW_PRIVATE_URLS": "1", "PASSEL_BARE_BROWSER_IDS": "1"}) as installation:
        yield installation


def batch_of(http: httpx2.Client, count: int, **browser: Any) -> str:
    body = {"count": count, "configuration": {"session": QUIET, "browser": HEADLESS | browser}}
    made = http.post("/v1/batch-sessions", json=body)
    assert made.status_code == 200, made.text
    return made.json()["data"]["batch_id"]


def over(http: httpx2.Client, batch: str) -> Any:
    def ended() -> Any:
        found = http.get(f"/v1/batch-sessions/{batch}").json()["data"]
        return found if found["status"] not in ("pending", "processing") else None

    return wait_until(ended, 60)


def kill_browser(serving: Installation) -> None:
    """The only one of this installation."""
    [worker] = serving.children("worker")
    keeper = next(one for one in worker.children() if any("keeper.py" in part for part in one.cmdline()))
    [browser] = [one for one in keeper.children() if "--remote-debugging-pipe" in one.cmdline()]
    browser.kill()


def test_starts_are_counted_and_the_last_error_is_kept(http: httpx2.Client, serving: Installation) -> None:
    mask = {"active": True, "custom_patterns": [{"regex": "("}]}  # with which none starts
    batch = batch_of(http, 1, sensitive_data_mask=mask)
    [first] = over(http, batch)["sessions"]
    assert (first["status"], first["retry_count"], "last_error" in first["metadata"]) == ("failed", 1, False)
    for most, counted in ((3, 4), (None, 5)):
        assert http.post(f"/v1/batch-sessions/{batch}/retry", json={"max_retries": most}).json()["data"]["retried_sessions"] == 1
        [item] = over(http, batch)["sessions"]
        assert (item["status"], item["retry_count"]) == ("failed", counted)
        assert "no regular expression" in item["metadata"]["last_error"] and item["session_id"] != first["session_id"]
        assert http.get(f"/v1/sessions/{item['session_id']}").json()["data"]["status"] == "failed"
    for wrong in ({"max_retries": 0}, {"max_retries": 4}, {"max_retries": "2"}, {"retry_failed_only": 1}):
        assert http.post(f"/v1/batch-sessions/{batch}/retry", json=wrong).status_code == 400
    assert rows(serving, INVARIANTS) == []


def test_sessions_that_broke_are_tried_again_where_it_is_asked(http: httpx2.Client, serving: Installation) -> None:
    batch = batch_of(http, 1)
    [first] = over(http, batch)["sessions"]
    minted = http.post(f"/v1/sessions/{first['session_id']}/tokens", json={"scopes": ["cdp"]}).json()["data"]["cdp_url"]
    assert http.post(f"/v1/batch-sessions/{batch}/retry", json={"retry_failed_only": False}).status_code == 400, "it is well"
    kill_browser(serving)
    wait_until(lambda: http.get(f"/v1/sessions/{first['session_id']}").json()["data"]["status"] == "failed")
    assert over(http, batch)["completed_requests"] == 1, "an item stays completed whatever becomes of its session"
    assert http.post(f"/v1/batch-sessions/{batch}/retry", json={}).status_code == 400
    again = http.post(f"/v1/batch-sessions/{batch}/retry", json={"retry_failed_only": False}).json()["data"]
    assert (again["status"], again["retried_sessions"]) == ("pending", 1)
    read = over(http, batch)
    [second] = read["sessions"]
    assert (read["status"], read["completed_requests"], second["retry_count"]) == ("completed", 1, 1)
    assert second["metadata"]["last_error"].startswith("crash")
    assert rows(serving, INVARIANTS) == []
    with sync_playwright() as playing:
        for gone in (minted, f"{minted}&sessionId={second['session_id']}"):
            with pytest.raises(Error, match=r"410|401"):
                playing.chromium.connect_over_cdp(gone)
        assert playing.chromium.connect_over_cdp(second["cdp_url"]).contexts[0].pages[0].evaluate("1 + 1") == 2
    http.delete(f"/v1/batch-sessions/{batch}")


def test_the_id_of_a_session_alone_where_that_is_allowed(http: httpx2.Client, serving: Installation, playwright: Playwright) -> None:
    """What is so where it is not, `test_browsers.py` says."""
    id = http.post("/v1/sessions", json={"browser": HEADLESS, "session": QUIET}).json()["data"]["id"]
    bare = f"{serving.url.replace('http', 'ws')}?sessionId={id}"
    assert playwright.chromium.connect_over_cdp(bare).contexts[0].pages[0].evaluate("1 + 1") == 2
    assert playwright.chromium.connect_over_cdp(f"{serving.url}?sessionId={id}").contexts[0].pages[0].evaluate("1 + 1") == 2
    assert httpx2.get(f"{serving.url}/v1/sessions/{id}/live?sessionId={id}").status_code in (401, 426), "it watches nothing"
    assert httpx2.get(f"{serving.url}/v1/sessions/{id}").status_code == 401
    http.post(f"/v1/sessions/{id}/tokens", json={})
    with pytest.raises(Error, match="403"):
        playwright.chromium.connect_over_cdp(bare)
    http.delete(f"/v1/sessions/{id}")


def test_sessions_by_whether_they_have_a_proxy(http: httpx2.Client) -> None:
    proxy = {"type": "custom", "active": True, "server": "http://127.0.0.1:9"}
    for session in ({"tags": ["way"], "proxy": proxy}, {"tags": ["way"]}):
        http.post("/v1/sessions/async", json={"session": session | QUIET, "browser": HEADLESS})
    found = {
        asked: [one["proxy_type"] for one in http.get("/v1/sessions", params={"tags": "way", **asked_for}).json()["data"]["sessions"]]
        for asked, asked_for in (("any", {}), ("true", {"proxy": "true"}), ("false", {"proxy": "false"}))
    }
    assert found == {"any": ["custom", None], "true": ["custom"], "false": [None]}
    assert http.get("/v1/sessions/all/status", params={"tags": "way", "proxy": "true"}).json()["data"]["count"] == 1
    assert http.get("/v1/sessions", params={"proxy": "maybe"}).status_code == 400
    http.delete("/v1/sessions/all")
