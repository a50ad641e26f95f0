"""Lines of the contract that clients depend on, each for itself, over HTTP."""

from pathlib import Path
from typing import Any

import httpx2

from passel.cli.deploy import publish
from tests.support.installation import Installation, PlayedModel, item, wait_for_batch, write_agent
from tests.test_bad_input import readable
from tests.test_sessions import ended, text


def start(passel: Installation, agent: str, words: str) -> Any:
    sent = passel.client.post(f"/v1/agents/{agent}/messages", {"type": "user.message", "content": text(words)})
    return ended(passel, sent["message"]["id"])


def test_a_base_url_is_asked_in_openais_way_for_the_model_as_written(passel: Installation, model: PlayedModel, tmp_path: Path) -> None:
    """The `llm` block that `dari init` writes: a model of another vendor, and an address."""
    for written in ("anthropic/claude-sonnet-4.6", "openai/gpt-5.5"):
        write_agent(tmp_path, "as-written", {"a": {"model": f"{written}+status-418", "base_url": f"{model.url}/v1"}})
        message = start(passel, publish(passel.client, tmp_path)["agent_id"], f"as written {written}")
        host = model.url.removeprefix("http://")
        assert message["output"]["error"].startswith(f"{written}+status-418 at {host}/v1: HTTP 418: ")
        assert model.calls()[f"as written {written}"] == 1


def test_a_credential_that_is_gone_fails_the_message_and_nothing_is_sent(passel: Installation, model: PlayedModel, tmp_path: Path) -> None:
    passel.client.put("/v1/organizations/current/credentials/SHORT_LIVED", {"value": "sk-x"})
    write_agent(tmp_path, "keyed", {"a": {"model": "echo", "base_url": f"{model.url}/v1", "api_key_secret": "SHORT_LIVED"}})
    agent = publish(passel.client, tmp_path)["agent_id"]
    passel.client.delete("/v1/organizations/current/credentials/SHORT_LIVED")
    message = start(passel, agent, "without a key")
    assert message["status"] == "failed" and "SHORT_LIVED" in message["output"]["error"]
    assert "without a key" not in model.calls()


def test_a_value_over_its_limit_fails_its_item_only(passel: Installation, agent: str) -> None:
    items = [
        item(agent, "fits"),
        item(agent, "x" * (1024 * 1024 + 1)),
        item(agent, "x") | {"message": {"content": text("x") * 101}},
        item(agent, "x", metadata={"k": "x" * 513}),
        item(agent, "x", metadata={str(n): "" for n in range(51)}),
        item(agent, "x", metadata={"": "x"}),
        item(agent, "x", secrets={"low": "x"}),
    ]
    made = passel.client.post("/v1/session-batches", {"items": items})
    assert wait_for_batch(passel.client, made["batch_id"])["counts"] == {"queued": 0, "running": 0, "completed": 1, "failed": 6}
    errors = [one["error"] for one in made["sessions"]]
    for error, said in zip(errors[1:], ("1048576", "100 are allowed", "512", "50 are allowed", "1 to 64", "'low'"), strict=True):
        assert said in error


def test_a_mistyped_field_of_a_batch_is_refused(passel: Installation, agent: str) -> None:
    for name in ("idempotencyKey", "max_concurency", "sessions"):
        refused = passel.http().post("/v1/session-batches", json={"items": [item(agent, "x")], name: "x"})
        assert refused.status_code == 422 and name in readable(refused)


def test_allow_lists_every_method_of_a_path(passel: Installation) -> None:
    for path, methods in (
        ("/v1/agents", "GET, POST"),
        ("/v1/agents/x", "DELETE, GET"),
        ("/v1/organizations/current/credentials/X", "DELETE, PUT"),
    ):
        refused = passel.http().patch(path)
        assert refused.status_code == 405 and refused.headers["allow"] == methods and readable(refused)


def test_a_body_without_a_content_type_is_json_everywhere(passel: Installation, agent: str) -> None:
    key = passel.http().headers["authorization"]
    with httpx2.Client(base_url=passel.url, headers={"Authorization": key}, timeout=30) as bare:
        for path, body, status in (
            (f"/v1/agents/{agent}/sessions", b'{"name": "bare"}', 201),
            (f"/v1/agents/{agent}/messages", b'{"type": "user.message", "content": [{"type": "text", "text": "bare"}]}', 202),
            ("/v1/organizations/current/api-keys", b'{"label": "bare"}', 201),
            ("/v1/session-batches", b'{"items": [{"agent_id": "%s", "message": {"content": [{"type": "text", "text": "x"}]}}]}' % agent.encode(), 201),
        ):  # fmt: skip
            request = bare.build_request("POST", path, content=body)
            request.headers.pop("content-type", None)
            assert bare.send(request).status_code == status, path


def test_one_file_an_upload(passel: Installation) -> None:
    two = passel.http().post("/v1/files", files=[("file", ("a", b"1")), ("file", ("b", b"2"))])
    assert two.status_code == 422 and "2 parts" in readable(two)
