"""Servers that were set otherwise: strict about idempotency keys, and with narrow limits."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.installation import Installation, item, scratch_dir
from tests.test_bad_input import GOOD, bundle, places, readable, upload


@pytest.fixture(scope="module")
def strict() -> Iterator[tuple[Installation, str]]:
    settings = {
        "PASSEL_STRICT_IDEMPOTENCY": "1",
        "PASSEL_MAX_JSON_MIB": "1",
        "PASSEL_MAX_ITEM_MIB": "1",
        "PASSEL_MAX_PROMPT_KIB": "1",
        "PASSEL_MAX_BUNDLE_ENTRIES": "2",
        "PASSEL_MAX_SECRETS": "1",
        "PASSEL_MAX_SECRET_KIB": "1",
        "PASSEL_MAX_METADATA": "1",
        "PASSEL_MAX_METADATA_KEY": "3",
        "PASSEL_MAX_METADATA_VALUE": "2",
        "PASSEL_MAX_WAITING_MESSAGES": "1",
    }
    with scratch_dir() as directory:
        passel = Installation(directory, 0, settings).start()
        yield passel, passel.deploy("http://127.0.0.1:9", ["echo", "count"])
        assert passel.stop() == 0


def test_a_known_key_with_another_message_is_refused(strict: tuple[Installation, str]) -> None:
    passel, agent = strict

    def message(words: str, **fields: Any) -> dict[str, Any]:
        return {"type": "user.message", "content": [{"type": "text", "text": words}], **fields}

    def send(path: str, body: dict[str, Any], key: str) -> Any:
        return passel.http().post(path, json=body, headers={"Idempotency-Key": key})

    session = passel.client.post(f"/v1/agents/{agent}/sessions", {})["id"]
    events, start = f"/v1/sessions/{session}/events", f"/v1/agents/{agent}/messages"
    first = send(events, message("one"), "k")
    again = send(events, message("one"), "k")
    assert first.json() == again.json() and again.headers["idempotency-replayed"] == "true"
    for other in (message("two"), message("one", metadata={"a": 1})):
        refused = send(events, other, "k")
        assert refused.status_code == 422 and "another body" in readable(refused)
    secret = {"secrets": {"S": "one"}}
    began = send(start, message("one", session=secret), "k")
    assert began.status_code == 202 and send(start, message("one", session=secret), "k").json() == began.json()
    for session_fields in ({"secrets": {"S": "two"}}, {"llm_id": "count"}, {}):
        assert send(start, message("one", session=session_fields), "k").status_code == 422


def test_a_known_key_with_another_batch_is_refused(strict: tuple[Installation, str]) -> None:
    passel, agent = strict

    def batch(words: str, secret: str = "s", **fields: Any) -> Any:
        items = [item(agent, words), item(agent, "with a secret", secrets={"S": secret})]
        return passel.http().post("/v1/session-batches", json={"items": items, "idempotency_key": "b", **fields})

    made = batch("one")
    again = batch("one")
    assert made.status_code == again.status_code == 201 and made.json()["batch_id"] == again.json()["batch_id"]
    for refused in (batch("two"), batch("one", secret="other"), batch("one", max_concurrency=1)):
        assert refused.status_code == 422 and "another body" in readable(refused)
    lines = b'{"agent_id": "%s", "message": {"content": [{"type": "text", "text": "line"}]}}\n' % agent.encode()
    headers = {"Content-Type": "application/x-ndjson", "Idempotency-Key": "n"}

    def stream(content: bytes) -> int:
        return passel.http().post("/v1/session-batches", content=content, headers=headers).status_code

    assert [stream(lines), stream(lines), stream(lines * 2)] == [201, 201, 422]


def test_limits_are_settings(strict: tuple[Installation, str]) -> None:
    passel, agent = strict
    http, sessions = passel.http(), f"/v1/agents/{agent}/sessions"
    assert http.post("/v1/agents", json={"source_snapshot_id": "x" * 1024 * 1024}).status_code == 413
    assert http.post("/v1/session-batches", json={"items": [item(agent, "x" * 1024 * 1024)]}).status_code == 413
    wrong = {"metadata": {"abcd": "", "k": ""}, "secrets": {"A": "x", "B": "x"}}
    assert places(http.post(sessions, json=wrong)) == ["metadata", "secrets"]
    assert places(http.post(sessions, json={"metadata": {"abcd": ""}})) == ["metadata.abcd"]
    assert places(http.post(sessions, json={"metadata": {"abc": "xyz"}, "secrets": {"A": "x" * 1025}})) == ["metadata.abc", "secrets.A"]
    failed = http.post("/v1/session-batches", json={"items": [item(agent, "x", metadata={"abc": "xyz"})]}).json()["sessions"][0]
    assert failed["status"] == "failed" and "metadata value of abc" in failed["error"]
    assert places(http.put("/v1/organizations/current/credentials/LONG", json={"value": "x" * 1025})) == ["value"]
    for archive, said in ((bundle(GOOD, prompt=b"x" * 1025), "larger than 1 KiB"), (bundle(GOOD, extra=_third), "more than 2 entries")):
        refused = http.get(f"/v1/source-snapshots/{upload(passel, archive)}/manifest")
        assert refused.status_code == 400 and said in readable(refused)
    session = http.post(sessions, json={}).json()["id"]
    message = {"type": "user.message", "content": [{"type": "text", "text": "x"}]}
    codes = [http.post(f"/v1/sessions/{session}/events", json=message).status_code for _ in range(3)]
    assert codes == [202, 202, 409]


def _third(tar: Any) -> None:
    import tarfile

    tar.addfile(tarfile.TarInfo("third"))
