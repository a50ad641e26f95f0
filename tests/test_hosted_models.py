"""The way of hosted providers, through pydantic-ai and the SDKs, against a played OpenAI and a played Anthropic."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from passel.cli.deploy import publish
from tests.support.installation import Installation, PlayedModel, scratch_dir, write_agent
from tests.test_sessions import PIXEL, ended, text


@pytest.fixture(scope="module")
def hosted(model: PlayedModel, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Installation, str]]:
    settings = {"PASSEL_MODEL_CLIENT": "pydantic-ai", "PASSEL_MODEL_TIMEOUT": "2", "PASSEL_MODEL_TRIES": "2", "PASSEL_MODEL_PATIENCE": "20"}
    with scratch_dir() as directory:
        passel = Installation(directory, 1, settings).start()
        rules = ["echo", "count", "status-400", "status-500", "flaky-1-503", "garbage", "close", "hang"]
        options: dict[str, Any] = {f"openai-{r}": {"provider": "openai", "model": r, "base_url": f"{model.url}/v1"} for r in rules}
        options |= {f"anthropic-{r}": {"provider": "anthropic", "model": r, "base_url": model.url} for r in rules}
        options["openai-priced"] = {"provider": "openai", "model": "gpt-5.5", "base_url": f"{model.url}/v1"}
        path = Path(tmp_path_factory.mktemp("hosted"))
        write_agent(path, "hosted", options)
        yield passel, publish(passel.client, path)["agent_id"]
        assert passel.stop() == 0


def ask(passel: Installation, agent: str, llm: str, content: Any) -> Any:
    body = {"type": "user.message", "content": content, "session": {"llm_id": llm, "llm_api_key": f"sk-{llm}"}}
    sent = passel.client.post(f"/v1/agents/{agent}/messages", body)
    return ended(passel, sent["message"]["id"])


@pytest.mark.parametrize("provider", ["openai", "anthropic"])
def test_an_answer_with_its_tokens_and_the_sessions_key(hosted: tuple[Installation, str], model: PlayedModel, provider: str) -> None:
    passel, agent = hosted
    message = ask(passel, agent, f"{provider}-echo", text(f"hosted {provider}"))
    assert message["status"] == "completed" and message["output"]["parts"] == text(f"echo: hosted {provider}")
    bill = passel.client.get(f"/v1/costs/sessions/{message['session_id']}")
    assert (bill["input_tokens"], bill["output_tokens"], bill["calls"]) == (11, 7, 1)
    assert f"sk-{provider}-echo" in model.state()["keys"]


@pytest.mark.parametrize("provider", ["openai", "anthropic"])
def test_pictures_and_conversations(hosted: tuple[Installation, str], provider: str) -> None:
    passel, agent = hosted
    picture = passel.http().post("/v1/files", files={"file": ("p.png", PIXEL)}).json()["id"]
    first = ask(passel, agent, f"{provider}-count", [*text("look"), {"type": "image", "file_id": picture}])
    kind = "image_url" if provider == "openai" else "image"
    assert f'"{kind}"' in first["output"]["parts"][0]["text"]
    sent = passel.client.post(f"/v1/sessions/{first['session_id']}/events", {"type": "user.message", "content": text("more")})
    told = ended(passel, sent["message"]["id"])["output"]["parts"][0]["text"]
    assert '"user", "assistant", "user"]' in told


@pytest.mark.parametrize("provider", ["openai", "anthropic"])
@pytest.mark.parametrize(
    ("rule", "said", "in_doubt"),
    [
        ("status-400", "HTTP 400", 0),
        ("status-500", "HTTP 500", 0),
        ("garbage", "", 2),
        ("close", "", 2),
        ("hang", "did not answer within 2 s", 2),
    ],
)
def test_failures_end_in_the_upstream_error(hosted: tuple[Installation, str], provider: str, rule: str, said: str, in_doubt: int) -> None:
    passel, agent = hosted
    message = ask(passel, agent, f"{provider}-{rule}", text(f"{provider} {rule}"))
    assert message["status"] == "failed" and said in message["output"]["error"] and "internal error" not in message["output"]["error"]
    assert passel.client.get(f"/v1/costs/sessions/{message['session_id']}")["in_doubt_calls"] == in_doubt


@pytest.mark.parametrize("provider", ["openai", "anthropic"])
def test_a_busy_provider_is_asked_again(hosted: tuple[Installation, str], model: PlayedModel, provider: str) -> None:
    passel, agent = hosted
    message = ask(passel, agent, f"{provider}-flaky-1-503", text(f"{provider} busy"))
    assert message["status"] == "completed" and model.calls()[f"{provider} busy"] == 2


@pytest.mark.parametrize("provider", ["openai", "anthropic"])
@pytest.mark.parametrize("host", ["127.0.0.1:9", "no-such-host.invalid"])
def test_a_provider_that_cannot_be_reached_is_in_no_bill(
    hosted: tuple[Installation, str], tmp_path: Path, provider: str, host: str
) -> None:
    passel, _ = hosted
    write_agent(tmp_path, f"gone-{provider}-{host[0]}", {"a": {"provider": provider, "model": "echo", "base_url": f"http://{host}/v1"}})
    agent = publish(passel.client, tmp_path)["agent_id"]
    sent = passel.client.post(f"/v1/agents/{agent}/messages", {"type": "user.message", "content": text("hi")})
    message = ended(passel, sent["message"]["id"])
    assert message["status"] == "failed" and host.split(":")[0] in message["output"]["error"]
    assert passel.client.get(f"/v1/costs/sessions/{message['session_id']}")["in_doubt_calls"] == 0


def test_without_a_key_it_says_where_one_can_be_set(hosted: tuple[Installation, str], tmp_path: Path) -> None:
    passel, _ = hosted
    write_agent(tmp_path, "keyless", {"a": {"model": "anthropic/claude-haiku-4-5"}})
    agent = publish(passel.client, tmp_path)["agent_id"]
    sent = passel.client.post(f"/v1/agents/{agent}/messages", {"type": "user.message", "content": text("hi")})
    message = ended(passel, sent["message"]["id"])
    assert message["status"] == "failed" and "ANTHROPIC_API_KEY" in message["output"]["error"]
