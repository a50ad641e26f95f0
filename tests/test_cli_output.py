"""How commands speak: whole ids, data that is never markup, nothing that a terminal would obey."""

import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from passel import __version__
from passel.cli.output import one_line, plain
from tests.support.installation import Installation, item, wait_for_batch
from tests.test_cli import output, passel_command


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "passel", *arguments], env={**os.environ, **environment}, capture_output=True, text=True, timeout=60
    )


def test_the_version_is_told_at_once() -> None:
    """By the processor's time, and the best of some: other processes of a test run get in the way."""

    def spent(*arguments: str) -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = run(*arguments)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert done.stdout == f"{__version__}\n" and done.returncode == 0
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    for command in ("version", "--version"):
        assert min(spent(command) for _ in range(5)) < 0.2  # 0.07 s on an idle machine


@pytest.mark.parametrize("arguments", [["--version"], ["run", "--help"], ["batch", "--help"], ["serve", "nonsense"]])
def test_commands_do_not_import_what_they_do_not_need(arguments: list[str]) -> None:
    script = (
        f"import sys; sys.argv = ['passel', *{arguments!r}]\nfrom passel.cli.app import main\ntry: main()\n"
        "except SystemExit: pass\n"
        "print(sorted({'fastapi', 'sqlalchemy', 'pydantic_ai', 'obstore', 'asyncpg', 'httpx2', 'rich'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "[]", done.stdout


def test_a_misspelt_command_and_completion() -> None:
    assert "Did you mean 'batch'?" in run("bach").stderr
    words = {"_PASSEL_COMPLETE": "complete_bash", "COMP_WORDS": "passel mod", "COMP_CWORD": "1"}
    completed = subprocess.run([Path(sys.executable).with_name("passel")], env={**os.environ, **words}, capture_output=True, text=True)
    assert completed.stdout.split() == ["models"]
    listed = run("--help").stdout
    assert all(name in listed for name in ("--version", "--install-completion", "serve", "agents", "files", "doctor", "version"))


def test_labels_in_brackets_are_labels_and_ids_are_whole(passel: Installation) -> None:
    made = output(passel, "keys", "create", "ci [/b] [red]", "--org", "default", "--json")
    environment = {**passel.environment(), "COLUMNS": "80"}
    listed = subprocess.run(
        [sys.executable, "-m", "passel", "keys", "list", "--org", "default"], env=environment, capture_output=True, text=True
    )
    assert listed.returncode == 0, listed.stderr
    line = next(line for line in listed.stdout.splitlines() if made["id"] in line)
    assert "ci [/b] [red]" in line
    assert passel_command(passel, "keys", "revoke", made["id"], "--org", "default").returncode == 0


def test_a_models_words_reach_the_terminal_without_control_characters(passel: Installation, agent: str) -> None:
    said = "tail[/b]\x1b[31mred\x1b[0m\x1b]0;title\x07 \x9b2J\r\x08end"
    made = passel.client.post("/v1/session-batches", {"items": [item(agent, said, llm_id="echo", metadata={"task": "esc\x1b[2J"})]})
    wait_for_batch(passel.client, made["batch_id"])
    session = passel.client.get(f"/v1/session-batches/{made['batch_id']}")["sessions"][0]["session_id"]
    commands = [
        ("session", "transcript", session),
        ("session", "events", session),
        ("session", "get", session),
        ("session", "list"),
        ("batch", "results", made["batch_id"], "--table"),
    ]
    for command in commands:
        done = passel_command(passel, *command)
        controls = [c for c in done.stdout if c != "\n" and (ord(c) < 32 or 127 <= ord(c) < 160)]
        assert done.returncode == 0 and not controls, (command, done.stdout)
    assert "echo: tail[/b]red 2Jend" in passel_command(passel, "session", "transcript", session).stdout
    # data stays data, and JSON escapes what a terminal would obey
    lines = passel_command(passel, "batch", "results", made["batch_id"]).stdout
    assert json.loads(lines)["text"] == f"echo: {said}" and "\x9b" not in lines and "\x1b" not in lines


def test_events_show_what_each_call_used(passel: Installation, agent: str) -> None:
    made = passel.client.post("/v1/session-batches", {"items": [item(agent, "priced?", llm_id="echo")]})
    wait_for_batch(passel.client, made["batch_id"])
    session = passel.client.get(f"/v1/session-batches/{made['batch_id']}")["sessions"][0]["session_id"]
    assert "[call 1: openai:echo, 11 in, 7 out, no price]" in passel_command(passel, "session", "events", session).stdout
    assert "unknown (1 unpriced call)" in passel_command(passel, "session", "get", session).stdout


def test_agents_and_sessions_are_listed_and_agents_deleted(passel: Installation, agent: str, tmp_path: Path) -> None:
    made = passel.client.post("/v1/session-batches", {"items": [item(agent, "listed", metadata={"task": "a task"})]})
    wait_for_batch(passel.client, made["batch_id"])
    assert agent in passel_command(passel, "agents", "list").stdout
    listed = passel_command(passel, "session", "list", "--agent", agent, "--limit", "1").stdout
    newest = output(passel, "session", "list", "--limit", "1", "--json")[0]["id"]
    assert newest in listed and "a task" in listed
    (tmp_path / "prompts").mkdir()
    (tmp_path / "prompts" / "s.md").write_text("x")
    (tmp_path / "dari.yml").write_text(
        "name: short-lived\nharness: pi\ninstructions: {system: prompts/s.md}\nllm: {model: 'local:x'}\nbuilt_in_tools: []\n"
    )
    assert passel_command(passel, "deploy", str(tmp_path)).returncode == 0
    tasks = tmp_path / "t.jsonl"
    tasks.write_text('{"prompt": "x"}\n')
    assert "no options" in passel_command(passel, "run", str(tasks), "--agent", "short-lived", "--llm", "x").stderr
    assert "--yes" in passel_command(passel, "agents", "delete", "short-lived", stdin="").stderr
    assert passel_command(passel, "agents", "delete", "short-lived", "--yes").returncode == 0
    assert "short-lived" not in passel_command(passel, "agents", "list").stdout


def test_plain_text_keeps_what_is_text() -> None:
    assert plain("a\tb\nc é 漢 👩‍👩‍👧") == "a\tb\nc é 漢 👩‍👩‍👧"
    assert plain("\x1b[1;31mred\x1b[0m \x1b]8;;http://x\x1b\\link\x1b]8;;\x07 \x00\x7f\x85") == "red link "
    assert one_line("a\nb\tc\r\nd") == "a b c d"
