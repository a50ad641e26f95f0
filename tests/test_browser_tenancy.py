"""Another organisation's sessions, batches, files, webhooks and profiles, on every call of this wire format that takes an id, by walking
our own document. No browser runs here: what is not ready is kept apart as well."""

import re
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from tests.support.browsing import packed
from tests.support.installation import Installation, installed

BODIES: dict[str, Any] = {
    "/v1/batch-sessions/{batch_id}": {"status": "cancelled"},
    "/v1/sessions/{session_id}/tags": {"tags": []},
    "/v1/sessions/{session_id}/mouse/click": {"x": 1, "y": 1},
    "/v1/sessions/{session_id}/mouse/doubleClick": {"x": 1, "y": 1},
    "/v1/sessions/{session_id}/mouse/down": {"x": 1, "y": 1},
    "/v1/sessions/{session_id}/mouse/up": {"x": 1, "y": 1},
    "/v1/sessions/{session_id}/mouse/move": {"x": 1, "y": 1},
    "/v1/sessions/{session_id}/drag-and-drop": {"startX": 1, "startY": 1, "endX": 2, "endY": 2},
    "/v1/sessions/{session_id}/scroll": {"x": 1, "y": 1, "deltaY": 1},
    "/v1/sessions/{session_id}/keyboard/type": {"text": "x"},
    "/v1/sessions/{session_id}/keyboard/shortcut": {"keys": ["Enter"]},
    "/v1/sessions/{session_id}/clipboard": {"text": "x"},
    "/v1/sessions/{session_id}/paste": {"text": "x"},
    "/v1/sessions/{session_id}/goto": {"url": "https://example.com"},
    "/v1/webhooks/{webhook_id}": {"description": "x"},
    "/v1/webhooks/{webhook_id}/test": {"event_type": "session.completed"},
}
NOBODYS = ("/v1/events/",)
"""Names that each organisation has for itself."""


@pytest.fixture(scope="module")
def serving() -> Iterator[Installation]:
    with installed(0, {"PASSEL_ALLOW_PRIVATE_URLS": "1"}) as installation:
        yield installation


def test_every_call_keeps_strangers_out(serving: Installation, http: httpx2.Client) -> None:
    begun = http.post("/v1/sessions/async", json={"session": {"tags": ["private words"]}}).json()["data"]["request_id"]
    batch = http.post("/v1/batch-sessions", json={"count": 2, "metadata": {"private": "words"}}).json()["data"]["batch_id"]
    hook = http.post("/v1/webhooks", json={"url": "http://127.0.0.1:9/private", "subscribed_events": ["batch.failed"]}).json()["id"]
    package = packed({"manifest_version": 3, "name": "private", "version": "1"})
    extension = http.post("/v1/extensions", data={"name": "private"}, files={"file": ("e.zip", package)}).json()["data"]["id"]
    ids = {"extension_id": extension, "session_id": begun, "request_id": begun, "batch_id": batch, "webhook_id": hook}
    ids |= {"recording_id": "primary", "download_id": "file_x", "token": "x", "name": "private", "workflow_id": f"{begun}.1"}
    document = httpx2.get(f"{serving.url}/openapi/browsers.json").json()
    walked = 0
    with httpx2.Client(base_url=serving.url, headers={"anchor-api-key": serving.new_organisation()}, timeout=60) as stranger:
        for path, methods in document["paths"].items():
            if not re.search(r"{\w+}", path) or path.startswith(NOBODYS):
                continue
            for method in methods:
                asked: Any = {"files": {"file": ("a", b"x")}} if path.endswith("/uploads") else {"json": BODIES.get(path, {})}
                answer = stranger.request(method.upper(), path.format(**ids), **({} if method in ("get", "delete") else asked))
                assert answer.status_code in (403, 404), (method, path, answer.status_code, answer.text)
                assert "private" not in answer.text.replace("'private'", ""), (method, path, answer.text)
                nothing = re.sub(r"{\w+}", "nothing_here", path)
                gone = stranger.request(method.upper(), nothing, **({} if method in ("get", "delete") else asked))
                assert gone.status_code in (400, 404), (method, path, gone.status_code, gone.text)
                walked += 1
        assert walked >= 40
        assert stranger.get("/v1/sessions").json()["data"]["total"] == 0
        assert stranger.get("/v1/batch-sessions").json()["data"]["batches"] == []
        assert stranger.get("/v1/webhooks").json()["webhooks"] == []
        assert stranger.get("/v1/sessions/all/status").json()["data"]["count"] == 0
    with httpx2.Client(base_url=serving.url, timeout=60) as nobody:
        for path, methods in document["paths"].items():
            for method in methods:
                answer = nobody.request(method.upper(), path.format(**ids), headers={"anchor-api-key": "wrong"})
                assert answer.status_code == 401, (method, path, answer.status_code)
