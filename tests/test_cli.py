"""The commands as a user types them, against a real server."""

import csv
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from passel.cli.reference import commands_page, settings_page
from tests.support.installation import KEY, Installation, PlayedModel, item, scratch_dir, wait_until, write_agent


def passel_command(installation: Installation, *arguments: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    environment = {**installation.environment(), "PASSEL_URL": installation.url, "PASSEL_API_KEY": KEY}
    return subprocess.run(
        [sys.executable, "-m", "passel", *arguments], env=environment, capture_output=True, text=True, input=stdin, timeout=120
    )


def output(installation: Installation, *arguments: str) -> Any:
    done = passel_command(installation, *arguments)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_deploy_run_and_look_around(passel: Installation, model: PlayedModel, tmp_path: Path) -> None:
    options = {name: {"provider": "openai", "model": name, "base_url": f"{model.url}/v1"} for name in ("echo", "count")}
    write_agent(tmp_path / "agent", "cli-agent", options)
    first = output(passel, "deploy", str(tmp_path / "agent"), "--json")
    again = output(passel, "deploy", str(tmp_path / "agent"), "--json")
    assert (
        first["created"] and not again["created"] and first["agent_id"] == again["agent_id"] and first["version_id"] != again["version_id"]
    )

    tasks = tmp_path / "tasks.jsonl"
    tasks.write_text('{"task": "hello", "prompt": "say hello"}\n\n{"task": "bye", "prompt": "say bye", "metadata": {"x": "1"}}\n')
    table = tmp_path / "out.csv"
    done = passel_command(passel, "run", str(tasks), "--agent", "cli-agent", "--llm", "echo", "--llm", "count", "-o", str(table), "--json")
    assert done.returncode == 0, done.stderr
    batch = json.loads(done.stdout)
    assert batch["status"] == "completed" and batch["size"] == 4
    rows = list(csv.DictReader(table.read_text().splitlines()))
    assert [(json.loads(r["metadata"])["task"], r["llm_id"]) for r in rows] == [
        ("hello", "echo"),
        ("hello", "count"),
        ("bye", "echo"),
        ("bye", "count"),
    ]
    assert rows[0]["text"] == "echo: say hello" and rows[0]["input_tokens"] == "11"

    assert output(passel, "batch", "get", batch["batch_id"], "--json")["counts"]["completed"] == 4
    assert output(passel, "batch", "list", "--json", "--limit", "1")[0]["batch_id"] == batch["batch_id"]
    lines = passel_command(passel, "batch", "results", batch["batch_id"]).stdout.splitlines()
    session = json.loads(lines[0])["session_id"]
    assert output(passel, "session", "get", session, "--json")["bill"]["calls"] == 1
    assert "echo: say hello" in passel_command(passel, "session", "transcript", session).stdout
    events = [json.loads(line) for line in passel_command(passel, "session", "events", session, "--json").stdout.splitlines()]
    assert [e["sequence_number"] for e in events] == list(range(1, 7))
    assert passel_command(passel, "batch", "watch", batch["batch_id"]).returncode == 0


def test_sessions_end_fork_and_go(passel: Installation, agent: str) -> None:
    message = {"type": "user.message", "content": [{"type": "text", "text": "from a shell"}], "session": {"llm_id": "wait-30"}}
    session = passel.client.post(f"/v1/agents/{agent}/messages", message)["session"]["id"]
    assert "cancel" in passel_command(passel, "session", "delete", session).stderr
    assert output(passel, "session", "cancel", session, "--json")["status"] == "idle"
    assert passel_command(passel, "session", "cancel", session).stdout == f"{session}  idle\n"
    last = passel.client.get(f"/v1/sessions/{session}/events", order="desc")["events"][0]
    options = ("--after", last["id"], "--name", "again", "--metadata", "a=b=c")
    fork = output(passel, "session", "fork", session, *options, "--json")
    assert fork["forked_from"]["event_id"] == last["id"] and fork["name"] == "again" and fork["metadata"] == {"a": "b=c"}
    told = passel_command(passel, "session", "fork", session, "--after", str(last["sequence_number"]))
    assert last["id"] in told.stdout and told.stdout.startswith("sess_")
    for arguments, said in (("--after", "1"), "no earlier"), (("--metadata", "x"), "name=value"):
        refused = passel_command(passel, "session", "fork", session, *arguments)
        assert refused.returncode == 1 and said in refused.stderr
    assert output(passel, "session", "delete", session, "--json") == {"session_id": session, "deleted": True}
    assert passel_command(passel, "session", "delete", session).returncode == 1

    made = passel.client.post("/v1/session-batches", {"items": [item(agent, "from a shell")]})
    assert passel_command(passel, "batch", "cancel", made["batch_id"]).returncode == 0
    assert passel_command(passel, "batch", "delete", made["batch_id"]).stdout == f"{made['batch_id']}  deleted\n"
    assert "no such batch" in passel_command(passel, "batch", "delete", made["batch_id"], "--json").stderr


def test_mistakes_are_answered_with_advice(passel: Installation, tmp_path: Path) -> None:
    (tmp_path / "tasks.jsonl").write_text('{"task": "x", "promt": "typo"}\n')
    cases = [
        (["deploy", str(tmp_path)], "dari.yml"),
        (["run", str(tmp_path / "none.jsonl"), "--agent", "cli-agent"], "none.jsonl"),
        (["run", str(tmp_path / "tasks.jsonl"), "--agent", "cli-agent"], "tasks.jsonl:1"),
        (["run", str(tmp_path / "tasks.jsonl"), "--agent", "nobody"], "nobody"),
        (["batch", "get", "batch_none"], "no such batch"),
        (["batch", "get", "x", "--url", "http://127.0.0.1:9"], "passel serve"),
        (["batch", "get", "x", "--api-key", "wrong-key"], "API key"),
        (["models", "pull", "gpt-9"], "smollm2"),
    ]
    for arguments, said in cases:
        done = passel_command(passel, *arguments)
        assert done.returncode == 1 and said in done.stderr and "Traceback" not in done.stderr, (arguments, done.stderr)
        assert done.stdout == ""
    assert passel_command(passel, "batch", "nonsense").returncode == 2


def test_ctrl_c_leaves_the_batch_running(passel: Installation, agent: str, tmp_path: Path) -> None:
    tasks = tmp_path / "tasks.jsonl"
    tasks.write_text('{"task": "slow", "prompt": "take your time"}\n')
    command = [sys.executable, "-m", "passel", "run", str(tasks), "--agent", agent, "--llm", "wait-30", "-o", os.devnull]
    environment = {**passel.environment(), "PASSEL_URL": passel.url}
    # a test run in the background of a shell has SIGINT ignored, and its children would inherit that
    process = subprocess.Popen(
        command,
        env=environment,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    newest = wait_until(
        lambda: [
            b for b in passel.client.get("/v1/session-batches", limit=1)["session_batches"] if b["counts"]["running"] and b["size"] == 1
        ]
    )[0]
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=30)
    assert process.returncode == 130 and "Traceback" not in told
    # in the moment in which the answer to the creation is on its way, the key is what leads back to the batch
    assert f"passel batch watch {newest['batch_id']}" in told or "--idempotency-key run-" in told
    assert passel.client.get(f"/v1/session-batches/{newest['batch_id']}")["counts"]["running"] == 1
    passel.client.post(f"/v1/session-batches/{newest['batch_id']}/cancel")


def test_keys_and_credentials(passel: Installation) -> None:
    made = output(passel, "keys", "create", "for a script", "--org", "default", "--json")
    assert passel.http(made["api_key"]).get("/v1/agents").status_code == 200
    assert made["id"] in passel_command(passel, "keys", "list", "--org", "default", "--json").stdout
    assert passel_command(passel, "keys", "revoke", made["id"], "--org", "default").returncode == 0
    stored = passel_command(passel, "credentials", "set", "SOME_KEY", stdin="secret-value\n")
    assert stored.returncode == 0 and "secret-value" not in stored.stdout + stored.stderr
    assert "SOME_KEY" in [one["name"] for one in output(passel, "credentials", "list", "--json")]
    assert passel_command(passel, "credentials", "remove", "SOME_KEY").returncode == 0
    assert passel_command(passel, "credentials", "set", "lower", "x").returncode == 1


def test_a_credential_reaches_the_provider(passel: Installation, model: PlayedModel, tmp_path: Path) -> None:
    assert passel_command(passel, "credentials", "set", "PROVIDER_KEY", "sk-from-the-vault").returncode == 0
    write_agent(
        tmp_path,
        "with-key",
        {"echo": {"provider": "openai", "model": "echo", "base_url": f"{model.url}/v1", "api_key_secret": "PROVIDER_KEY"}},
    )
    assert passel_command(passel, "deploy", str(tmp_path)).returncode == 0
    tasks = tmp_path / "t.jsonl"
    tasks.write_text('{"prompt": "with a key"}\n')
    assert passel_command(passel, "run", str(tasks), "--agent", "with-key", "-o", str(tmp_path / "r.jsonl")).returncode == 0
    assert "sk-from-the-vault" in model.state()["keys"]


def test_doctor_says_what_is_missing_and_how_to_mend_it() -> None:
    with scratch_dir() as directory:
        installation = Installation(directory, settings={"PASSEL_MODELS_DIR": str(directory / "models")})
        good = subprocess.run(
            [sys.executable, "-m", "passel", "doctor", "--json"], env=installation.environment(), capture_output=True, text=True
        )
        findings = json.loads(good.stdout)
        assert good.returncode == 0 and all(f["level"] != "problem" for f in findings)
        assert any("passel models pull smollm2" in f["mend"] for f in findings)
        broken = {**installation.environment(), "DATABASE_URL": "postgresql://nobody@127.0.0.1:9/none"}
        bad = subprocess.run([sys.executable, "-m", "passel", "doctor", "--json"], env=broken, capture_output=True, text=True)
        assert bad.returncode == 1 and any(f["level"] == "problem" and "DATABASE_URL" in f["what"] for f in json.loads(bad.stdout))


def test_settings_come_from_file_environment_and_options(tmp_path: Path) -> None:
    config = tmp_path / "my.toml"
    config.write_text('port = 1111\nconcurrency = 77\nlog_level = "warning"\n')
    script = "from passel.compose.settings import Settings; s = Settings(port=3333); print(s.port, s.concurrency, s.log_level)"
    environment = {**os.environ, "PASSEL_CONFIG": str(config), "PASSEL_PORT": "2222", "PASSEL_LOG_LEVEL": "error"}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True)
    assert done.stdout.split() == ["3333", "77", "error"], done.stderr
    wrong = subprocess.run(
        [sys.executable, "-m", "passel", "api"], env={**environment, "PASSEL_CONCURRENCY": "many"}, capture_output=True, text=True
    )
    assert wrong.returncode == 2 and "PASSEL_CONCURRENCY" in wrong.stderr and "Traceback" not in wrong.stderr


def test_serve_help_names_every_setting() -> None:
    told = subprocess.run(
        [sys.executable, "-m", "passel", "serve", "--help"], capture_output=True, text=True, env={**os.environ, "COLUMNS": "200"}
    ).stdout
    for name in ("DATABASE_URL", "PASSEL_DATA_DIR", "PASSEL_BLOB_URL", "PASSEL_API_KEY", "PASSEL_LANE_CONCURRENCY", "OPENAI_API_KEY"):
        assert name in told
    assert "PASSEL_TAKEOVER_AFTER" in settings_page() and "passel batch cancel" in commands_page()
