"""The main job with a real model: SmolLM2-135M, fetched as users fetch it, run in the worker's process."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from passel.models import local
from tests.support.installation import Installation, item, scratch_dir, wait_for_batch, write_agent


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return local.pull("smollm2", tmp_path_factory.mktemp("models"))


def test_a_batch_on_the_real_local_model(weights: Path) -> None:
    with scratch_dir() as directory:
        (directory / "models").mkdir()
        (directory / "models" / "smollm2.gguf").symlink_to(weights)
        passel = Installation(directory).start()
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
    assert done["status"] == "completed", lines
    for line in lines:
        assert "Paris" in line["text"], line
        assert 0 < line["usage"]["output_tokens"] <= 40 and line["usage"]["total_cost_usd"] == "0"


def _deploy(passel: Installation, directory: Path) -> str:
    environment = {**passel.environment(), "PASSEL_URL": passel.url}
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
