"""Another organisation's ids, on every endpoint that takes one, by walking the routes of our own document."""

import json
import re
from typing import Any

import httpx2
import pytest

from tests.support.installation import Installation, item, wait_for_batch


@pytest.fixture(scope="module")
def stranger(passel: Installation) -> str:
    """A key of a second organisation, made as an operator makes it."""
    return passel.new_organisation()


CHECK = (
    "/v1/documents",
    "/v1/verify/",
    "/v1/batch/",
    "/v1/facts/",
    "/v1/escalations/",
    "/v1/keys/",
    "/v1/provider-keys/",
    "/v1/webhooks/",
)
BODIES: dict[str, Any] = {
    "/v1/agents/{agent_id}/webhook": {"webhook_url": "http://127.0.0.1:9/"},
    "/v1/agents/{agent_id}/webhook/redeliver": {"since": "2026-11-24T18:00:00Z"},
    "/v1/agents/{agent_id}/versions": {"source_snapshot_id": "SNAPSHOT"},
    "/v1/agents/{agent_id}/sessions": {},
    "/v1/agents/{agent_id}/messages": {"type": "user.message", "content": [{"type": "text", "text": "hi"}]},
    "/v1/sessions/{session_id}/events": {"type": "user.message", "content": [{"type": "text", "text": "hi"}]},
    "/v1/sessions/{session_id}/messages": {"parts": [{"type": "text", "text": "hi"}]},
    "/v1/organizations/{org_id}/api-keys": {"label": "x"},
    "/v1/organizations/{org_id}/managed-cli-key/ensure": {"device_name": "x"},
    "/v1/organizations/{org_id}/credentials/{name}": {"value": "x"},
    "/v1/provider-keys/{provider}": {"key": "x"},
    "/v1/webhooks/{webhook_id}": {"description": "x"},
    "/v1/escalations/{escalation_id}/resolve": {"resolution": "accept"},
}


def test_every_route_keeps_strangers_out(passel: Installation, agent: str, stranger: str) -> None:
    client = passel.client
    batch = client.post("/v1/session-batches", {"items": [item(agent, "private words")]})
    wait_for_batch(client, batch["batch_id"])
    session = client.get(f"/v1/session-batches/{batch['batch_id']}")["sessions"][0]["session_id"]
    versions = client.get(f"/v1/agents/{agent}/versions")["versions"]
    client.put("/v1/organizations/current/credentials/MINE", {"value": "mine"})
    vague = passel.http().post("/v1/verify", json={"content": "grey is glad", "methods": {"formal": 1}}).json()
    hook = passel.http().post("/v1/webhooks", json={"url": "http://127.0.0.1:9/", "events": ["batch.completed"]}).json()
    ids = {
        "agent_id": agent,
        "version_id": versions[-1]["id"],
        "session_id": session,
        "message_id": client.get(f"/v1/sessions/{session}")["last_message_id"],
        "batch_id": batch["batch_id"],
        "snapshot_id": versions[-1]["source_snapshot_id"],
        "org_id": client.get("/v1/organizations")["organizations"][0]["id"],
        "key_id": client.get("/v1/organizations/current/api-keys")["api_keys"][0]["id"],
        "name": "MINE",
        "index": "0",
        "provider": "nobody",
        "delivery_id": "whk_1",
        "webhook_id": hook["id"],
        "fact_id": passel.http().post("/v1/facts", json={"text": "private words"}).json()["id"],
        "document_id": passel.http().post("/v1/documents", json={"title": "Private", "text": "private words"}).json()["id"],
        "escalation_id": "esc_" + vague["id"].removeprefix("ver_"),
        "verification_id": passel.http().post("/v1/verify", json={"content": "1 = 1", "methods": {"formal": 1}}).json()["id"],
    }
    document = passel.http().get("/openapi.json").json()
    walked = 0
    for path, methods in document["paths"].items():
        names = re.findall(r"{(\w+)}", path)
        if not names:
            continue
        url = path.format(**ids)
        for method in methods:
            body = json.loads(json.dumps(BODIES.get(path)).replace("SNAPSHOT", ids["snapshot_id"]))
            answer = passel.http(stranger).request(method.upper(), url, json=body, params={"path": "dari.yml"})
            if path.startswith(CHECK):
                _require_check_form(answer, 403 if "verify" in path else 404)
                continue
            assert answer.status_code == 403, (method, path, answer.status_code, answer.text)
            assert "another" in answer.json()["detail"] and "private words" not in answer.text
            walked += 1
            missing = re.sub(r"{\w+}", "nothing_here", path)
            gone = passel.http(stranger).request(method.upper(), missing, json=body, params={"path": "x"})
            assert gone.status_code in ((403, 404) if "{index}" not in path else (422,)), (method, path, gone.status_code)
    assert walked >= 25
    assert passel.http().delete(f"/v1/webhooks/{hook['id']}").status_code == 204


def _require_check_form(answer: httpx2.Response, status: int) -> None:
    """The `check` face says 404 of batches and facts (its decision D13)."""
    assert answer.status_code == status and answer.json()["error"]["code"] in ("forbidden", "not_found"), answer.text


def test_lists_show_only_ones_own(passel: Installation, agent: str, stranger: str) -> None:
    http = passel.http(stranger)
    assert http.get("/v1/agents").json() == {"agents": []}
    assert http.get("/v1/sessions").json()["sessions"] == []
    assert http.get("/v1/session-batches").json() == {"session_batches": []}
    assert http.get("/v1/organizations/current/credentials").json() == {"credentials": []}
    assert len(http.get("/v1/organizations").json()["organizations"]) == 1


def test_a_strangers_agent_and_files_cannot_be_used(passel: Installation, agent: str, stranger: str) -> None:
    mine = passel.http().post("/v1/files", files={"file": ("a.txt", b"mine")}).json()["id"]
    answer = passel.http(stranger).post("/v1/session-batches", json={"items": [item(agent, "x")]})
    assert answer.status_code == 403
    own = passel.http().post(f"/v1/agents/{agent}/messages", json={"type": "user.message", "content": [{"type": "file", "file_id": mine}]})
    assert own.status_code == 202
    content = [{"type": "file", "file_id": mine}]
    theirs = passel.http(stranger).post(f"/v1/agents/{agent}/messages", json={"type": "user.message", "content": content})
    assert theirs.status_code in (403, 404)


def test_a_revoked_key_stops_working(passel: Installation) -> None:
    made = passel.client.post("/v1/organizations/current/api-keys", {"label": "to revoke"})
    assert made["api_key"].startswith("dari_") and made["prefix"] == made["api_key"][:9]
    listed = passel.client.get("/v1/organizations/current/api-keys")["api_keys"]
    assert made["api_key"] not in json.dumps(listed)
    passel.client.delete(f"/v1/organizations/current/api-keys/{made['id']}")
    assert passel.http(made["api_key"]).get("/v1/agents").status_code == 401
