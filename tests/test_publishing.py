"""Publishing: what is warned of, prices in the manifest, and errors that name the model and where it is."""

import json
from pathlib import Path
from typing import Any

import pytest

from passel.cli.deploy import publish
from tests.support.installation import Installation, PlayedModel, item, scratch_dir, wait_for_batch, write_agent
from tests.test_bad_input import GOOD, bundle, readable, upload
from tests.test_sessions import ended, text


def deploy(passel: Installation, path: Path, name: str, options: dict[str, Any]) -> Any:
    write_agent(path, name, options)
    return publish(passel.client, path)


def test_what_may_go_wrong_is_warned_of(passel: Installation, model: PlayedModel, tmp_path: Path) -> None:
    passel.client.put("/v1/organizations/current/credentials/MINE", {"value": "x"})
    options = {
        "keyless": {"model": "anthropic/claude-haiku-4-5"},
        "keyed": {"model": "anthropic/claude-haiku-4-5", "api_key_secret": "MINE"},
        "own": {"model": "gpt", "base_url": f"{model.url}/v1"},
        "typo": {"model": "local:nosuch"},
        "known": {"model": "local:smollm2"},
        "path": {"model": "local:/models/x.gguf"},
    }
    keyless, typo = deploy(passel, tmp_path, "warned", options)["warnings"]
    assert keyless.startswith("llm.options.keyless: ") and "ANTHROPIC_API_KEY" in keyless and "llm_api_key" in keyless
    assert typo.startswith("llm.options.typo: ") and "nosuch" in typo and "smollm2" in typo


def test_the_servers_own_keys_and_models_are_known(tmp_path: Path) -> None:
    with scratch_dir() as directory:
        (directory / "models").mkdir()
        (directory / "models" / "mine.gguf").touch()
        passel = Installation(directory, 0, {"ANTHROPIC_API_KEY": "sk-server"}).start()
        options = {"hosted": {"model": "anthropic/claude-haiku-4-5"}, "mine": {"model": "local:mine"}, "other": {"model": "openai/gpt-5.5"}}
        (warning,) = deploy(passel, tmp_path, "known", options)["warnings"]
        assert warning.startswith("llm.options.other: ") and "OPENAI_API_KEY" in warning
        assert passel.stop() == 0


def test_a_price_in_the_manifest_prices_a_base_url(passel: Installation, model: PlayedModel, tmp_path: Path) -> None:
    price = {"input_per_million": 0.15, "output_per_million": 2, "cached_input_per_million": 0.1}
    own = {"model": "echo", "base_url": f"{model.url}/v1"}
    agent = deploy(passel, tmp_path, "priced", {"priced": {**own, "price": price}, "unpriced": own})["agent_id"]
    items = [item(agent, f"what is it worth {llm}", llm_id=llm) for llm in ("priced", "unpriced")]
    batch = wait_for_batch(passel.client, passel.client.post("/v1/session-batches", {"items": items})["batch_id"])
    # 11 tokens in and 7 out
    assert batch["usage"]["total_cost_usd"] == "0.00001565" and batch["usage"]["unpriced_calls"] == 1
    bills = [
        passel.client.get(f"/v1/costs/sessions/{one['session_id']}")
        for one in passel.client.get(f"/v1/session-batches/{batch['batch_id']}")["sessions"]
    ]
    assert [(bill["event_count"], bill["total_cost_usd"]) for bill in bills] == [(1, "0.00001565"), (0, "0")]


@pytest.mark.parametrize(
    ("price", "said"),
    [
        ("5", "llm.price must be a mapping"),
        ("{input_per_million: 1}", "llm.price.output_per_million"),
        ("{input_per_million: -1, output_per_million: 1}", "llm.price.input_per_million"),
        ("{input_per_million: .nan, output_per_million: 1}", "llm.price.input_per_million"),
        ("{input_per_million: true, output_per_million: 1}", "llm.price.input_per_million"),
        ("{input_per_million: 1, output_per_million: 1, cached_input_per_million: x}", "llm.price.cached_input_per_million"),
        ("{input_per_million: 1, output_per_million: 1, output: 1}", "llm.price.output is not a field"),
    ],
)
def test_a_price_that_is_none(passel: Installation, price: str, said: str) -> None:
    snapshot = upload(passel, bundle(GOOD.replace("{model: openai/gpt-5.5}", f"{{model: openai/x, price: {price}}}")))
    answer = passel.http().get(f"/v1/source-snapshots/{snapshot}/manifest")
    assert answer.status_code == 400 and said in readable(answer)


def test_a_sandbox_is_refused_without_asking_for_what_is_there(passel: Installation) -> None:
    snapshot = upload(passel, bundle(GOOD + "sandbox: {internet_access: true}\nskills: [{name: x}]\n"))
    said = readable(passel.http().get(f"/v1/source-snapshots/{snapshot}/manifest"))
    assert said.startswith("sandbox, skills: ") and "built_in_tools" not in said
    snapshot = upload(passel, bundle(GOOD.replace("built_in_tools: []\n", "") + "sandbox: {internet_access: true}\n"))
    assert "`built_in_tools: []`" in readable(passel.http().get(f"/v1/source-snapshots/{snapshot}/manifest"))


@pytest.mark.parametrize("status", [500, 401, 400])
def test_an_error_names_the_model_and_where_it_is(passel: Installation, model: PlayedModel, tmp_path: Path, status: int) -> None:
    rule, host = f"status-{status}", model.url.removeprefix("http://")
    options = {
        "broken": {"model": rule, "base_url": f"{model.url}/v1?token=secret"},
        "fine": {"model": rule, "base_url": f"{model.url}/v1"},
    }
    agent = deploy(passel, tmp_path, f"broken-{status}", options)["agent_id"]
    body = {"type": "user.message", "content": text(f"named {status}"), "session": {"llm_id": "fine"}}
    message = ended(passel, passel.client.post(f"/v1/agents/{agent}/messages", body)["message"]["id"])
    assert message["output"]["error"].startswith(f"{rule} at {host}/v1: HTTP {status}: ")
    assert f"upstream says {status}" in message["output"]["error"]
    body["session"] = {"llm_id": "broken"}
    message = ended(passel, passel.client.post(f"/v1/agents/{agent}/messages", body)["message"]["id"])
    assert message["output"]["error"].startswith(f"{rule} at {host}/v1: ") and "secret" not in message["output"]["error"]


def test_the_front_page_and_the_reference_need_no_key_and_no_internet(passel: Installation) -> None:
    import httpx2

    front = httpx2.get(passel.url).json()
    assert front["name"] == "Passel" and front["version"]
    assert httpx2.get(passel.url + front["openapi"]).json()["paths"]
    page = httpx2.get(passel.url + front["docs"])
    assert page.headers["content-type"].startswith("text/html") and "POST /v1/session-batches" in page.text
    assert "BatchRequest" in page.text and "//" not in page.text.replace("<!doctype", "")
    for path, methods in json.loads(httpx2.get(f"{passel.url}/openapi.json").text)["paths"].items():
        assert all(f"{method.upper()} {path}</code>" in page.text for method in methods)
