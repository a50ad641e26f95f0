"""The main job with a real model: SmolLM2-135M, fetched as users fetch it, run in the worker's process."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from passel.core.costs import Usage
from passel.core.llm.retry import ModelFailure
from passel.models import local, prompted
from passel.models.questions import Answer, AskedTool, Question, Spoken, ToolOffer
from tests.support.installation import Installation, item, scratch_dir, wait_for_batch, wait_until, write_agent
from tests.test_tools import Turn


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return local.pull("smollm2", tmp_path_factory.mktemp("models"))


def test_a_batch_on_the_real_local_model(weights: Path) -> None:
    with scratch_dir() as directory:
        (directory / "models").mkdir()
        (directory / "models" / "smollm2.gguf").symlink_to(weights)
        # a proxy of the machine is not asked for what is on loopback
        passel = Installation(directory, settings={"http_proxy": "http://127.0.0.1:9", "no_proxy": ""}).start()
        write_agent(
            directory / "agent",
            "local",
            {
                "by-name": {"model": "local:smollm2", "settings": {"temperature": 0, "max_tokens": 40}},
                "by-path": {"provider": "local", "model": str(weights), "settings": {"temperature": 0, "max_tokens": 40}},
            },
            system="Answer in one short sentence.",
        )
        agent = json.loads(_deploy(passel, directory / "agent"))["agent_id"]
        items = [item(agent, "What is the capital of France?", llm_id=llm) for llm in ("by-name", "by-path")]
        made = passel.client.post("/v1/session-batches", {"items": items})
        done = wait_for_batch(passel.client, made["batch_id"], 120)
        with passel.client.lines(f"/v1/session-batches/{made['batch_id']}/results") as results:
            lines = list(results)
        assert passel.stop() == 0
    assert done["status"] == "completed", [line["error"] for line in lines]
    for line in lines:
        assert "Paris" in line["text"], line
        assert 0 < line["usage"]["output_tokens"] <= 40 and line["usage"]["total_cost_usd"] == "0"


def _deploy(passel: Installation, directory: Path) -> str:
    environment = {**passel.environment(), "PASSEL_URL": passel.url, "no_proxy": "127.0.0.1"}
    command = [sys.executable, "-m", "passel", "deploy", str(directory), "--json"]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout


def test_a_damaged_model_is_fetched_again_and_a_wrong_one_never_kept(weights: Path, tmp_path: Path) -> None:
    target = tmp_path / "smollm2.gguf"
    target.write_bytes(b"damaged")
    assert local.pull("smollm2", tmp_path) == target and target.stat().st_size == weights.stat().st_size
    with pytest.raises(local.LocalModelError, match="smollm2"):
        local.pull("unknown", tmp_path)


def test_a_local_model_that_is_not_here_says_what_to_do() -> None:
    with scratch_dir() as directory:
        passel = Installation(directory, settings={"PASSEL_FAULT_PATIENCE": "0.5"}).start()
        write_agent(directory / "agent", "absent", {"x": {"model": "local:smollm2"}})
        agent = json.loads(_deploy(passel, directory / "agent"))["agent_id"]
        made = passel.client.post("/v1/session-batches", {"items": [item(agent, "hello")]})
        wait_for_batch(passel.client, made["batch_id"])
        error = passel.client.get(f"/v1/session-batches/{made['batch_id']}")["sessions"][0]["error"]
        assert "passel models pull smollm2" in error
        assert passel.stop() == 0


@pytest.mark.slow
def test_a_real_model_calls_a_tool(weights: Path) -> None:
    """SmolLM2's template knows no tools: they are asked for in JSON. What it asks for fits the schema, and the answer is
    told to it."""
    schema = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"], "additionalProperties": False}
    with scratch_dir() as directory:
        (directory / "models").mkdir()
        (directory / "models" / "smollm2.gguf").symlink_to(weights)
        passel = Installation(directory).start()
        llms = {"by-name": {"model": "local:smollm2", "settings": {"temperature": 0, "max_tokens": 60}}}
        tool = {"name": "get_weather", "description": "The weather of a city.", "input_schema": schema}
        write_agent(directory / "agent", "local", llms, system="Be brief.", tools=[tool])
        agent = json.loads(_deploy(passel, directory / "agent"))["agent_id"]
        turn = Turn.of(passel.client, passel.client.post(f"/v1/agents/{agent}/messages", _said("Call get_weather for the city Bern.")))

        def ended_or_answered() -> bool:
            for asked in turn.calls():
                assert asked["tool_name"] == "get_weather" and isinstance(asked["arguments"]["city"], str)
                turn.submit(asked["tool_call_id"], {"celsius": 11, "forecast": "rain"})
            return turn.message()["status"] in ("completed", "failed")

        wait_until(ended_or_answered, 120)
        message = turn.message()
        assert message["status"] == "completed" and turn.events("tool.call_completed"), message
        said = message["output"]["parts"][-1]["text"]
        assert said and not said.lstrip().startswith("{")
        assert passel.stop() == 0


def _said(text: str) -> dict[str, object]:
    return {"type": "user.message", "content": [{"type": "text", "text": text}]}


def test_tools_in_json() -> None:
    """What is told and what is meant, without a model."""
    free = ToolOffer("free", "Takes anything.", {"type": "object", "properties": {"x": {"type": "string", "pattern": "a+"}}})
    look = ToolOffer("look", "Looks.", {"type": "object", "properties": {"word": {"type": "string"}}, "required": ["word"]})
    asked = AskedTool("call_1", "look", '{"word":"owl"}')
    said = (
        Spoken("user", ("hi",)),
        Spoken("assistant", ("so",)),
        Spoken("assistant", (), (asked,)),
        Spoken("tool", ("a bird",), (), "call_1"),
    )
    question = prompted.rewritten(Question("Be brief.", said, (free, look)))
    assert question.system.startswith("Be brief.\n") and "- look: Looks." in question.system and not question.tools
    assert [one.role for one in question.conversation] == ["user", "assistant", "assistant", "user"]
    assert json.loads(str(question.conversation[1].parts[0])) == {"response": "so"}
    assert json.loads(str(question.conversation[2].parts[0])) == {"tool_call": {"name": "look", "arguments": {"word": "owl"}}}
    first, second, _ = (way["properties"].get("tool_call", {}).get("properties") for way in _ways(free, look))
    assert first["arguments"] == {"type": "object"} and second["arguments"] == look.parameters

    def meant(text: str) -> Answer:
        return prompted.answered(Answer(text, "stop", Usage(1, 1, 0, None)))

    called = meant('{"tool_call": {"name": "look", "arguments": {"word": "owl"}}}')
    assert called.tools == (AskedTool("", "look", '{"word":"owl"}'),) and called.text == ""
    assert meant('{"response": "a \\"bird\\""}').text == 'a "bird"'
    assert meant('{ "response": "cut off \\u00').text == "cut off " and meant('{"response": "x\\').text == "x"
    assert meant("no JSON").text == "no JSON"
    with pytest.raises(ModelFailure, match="max_tokens"):
        meant('{ "tool_call": {"name": "lo')


def _ways(*tools: ToolOffer) -> list[Any]:
    return prompted.response_format(tools)["json_schema"]["schema"]["anyOf"]
