"""`passel serve` and its settings: what keeps a server from starting is said once, and the first key is never lost."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from passel.compose.settings import Settings
from tests.support.installation import KEY, Installation, Program, scratch_dir, wait_until


def command(installation: Installation, *arguments: str, drop: tuple[str, ...] = (), **more: str) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in {**installation.environment(), **more}.items() if k not in drop}
    return subprocess.run([sys.executable, "-m", "passel", *arguments], env=environment, capture_output=True, text=True, timeout=90)


def one_sentence(done: subprocess.CompletedProcess[str], code: int, *parts: str) -> None:
    assert done.returncode == code and done.stdout == "", (done.returncode, done.stdout, done.stderr)
    assert all(part in done.stderr for part in parts) and len(done.stderr.splitlines()) == 1, done.stderr


def test_an_address_that_cannot_be_had_is_said_before_anything_is_made() -> None:
    with scratch_dir() as directory, socket.create_server(("127.0.0.1", 0)) as taken:
        installation = Installation(directory)
        port = str(taken.getsockname()[1])
        begun = time.monotonic()
        for _ in range(2):
            one_sentence(command(installation, "serve", "--port", port), 1, port, "in use", "--port")
        assert time.monotonic() - begun < 14, "only after a server that was killed its port is waited for"
        one_sentence(command(installation, "serve", "--port", "0", "--host", "192.0.2.1"), 1, "192.0.2.1", "--host")
        one_sentence(command(installation, "api", "--port", port), 1, port, "in use")
        assert not (directory / "postgres").exists(), "the key is made only when it can be told"


def test_the_first_key_is_told_at_once_and_an_exported_one_is_not_told_again() -> None:
    with scratch_dir() as directory:
        installation = Installation(directory)
        environment = {k: v for k, v in installation.environment().items() if k != "PASSEL_API_KEY"}
        program = Program([sys.executable, "-m", "passel", "serve", "--port", "0"], environment, stderr_path=directory / "err")
        key = program.start("API key, shown only now").split()[-1]
        assert program.process.stdout is not None
        lines = [next(program.process.stdout) for _ in range(3)]
        assert lines[0].startswith("Passel listens on http://") and f"PASSEL_API_KEY={key}" in lines[2]
        assert program.stop() == 0 and str(directory / "postgres" / "server.log") in program.errors()

    with scratch_dir() as directory:
        environment = Installation(directory).environment()
        program = Program([sys.executable, "-m", "passel", "serve", "--port", "0"], environment, stderr_path=directory / "err")
        told = program.start("The first API key")
        assert program.process.stdout is not None
        told += "".join(next(program.process.stdout) for _ in range(3))
        assert "PASSEL_API_KEY holds" in told and "export PASSEL_URL=" in told and KEY not in told
        assert program.stop() == 0


def test_an_api_that_ends_before_it_listened_ends_the_server_and_its_key_is_told() -> None:
    with scratch_dir() as directory:
        environment = {k: v for k, v in Installation(directory).environment().items() if k != "PASSEL_API_KEY"}
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        program = Program([sys.executable, "-m", "passel", "serve", "--port", str(port)], environment, stderr_path=directory / "err")
        assert "dari_" in program.start("API key, shown only now")
        with socket.create_server(("127.0.0.1", port)):  # before the API can
            assert program.process.wait(60) == 1
        said = program.errors().splitlines()[-1]
        assert said == "passel: the API ended before it listened: its last words are above" and "started again" not in program.errors()
        assert program.stop() == 1


def test_a_server_without_workers_says_so() -> None:
    with scratch_dir() as directory:
        passel = Installation(directory, 0).start()
        assert passel.stop() == 0
        told = (directory / "serve.err").read_text()
        assert "no worker runs here" in told and f"passel worker --data-dir {directory}" in told


def test_a_killed_server_is_started_again_on_the_same_port() -> None:
    """Its API may hold the port for some seconds more."""
    with scratch_dir() as directory:
        passel = Installation(directory, 0).start()
        api = passel.children("api")[0]
        api.send_signal(signal.SIGSTOP)  # it cannot end when its parent does
        passel.program.kill()
        program = Program(
            [sys.executable, "-m", "passel", "serve", "--workers", "0", "--port", passel.url.rsplit(":", 1)[1], "--json"],
            passel.environment(),
            stderr_path=directory / "again.err",
        )
        program.start()
        wait_until(lambda: "waiting for it" in program.errors())
        api.kill()
        assert program.process.stdout is not None and json.loads(program.process.stdout.readline())["url"] == passel.url
        assert program.stop() == 0


def test_misspelt_settings_are_refused_and_strange_ones_mentioned(tmp_path: Path) -> None:
    installation = Installation(tmp_path)
    one_sentence(command(installation, "serve", PASSEL_WORKER="3"), 2, "PASSEL_WORKER ", "PASSEL_WORKERS")
    one_sentence(command(installation, "serve", PASSEL_FILTER_LISTS="/nowhere"), 2, "PASSEL_FILTER_LISTS", "/nowhere cannot be read")
    strange = command(installation, "models", "list", PASSEL_SERVICE_HOST="10.0.0.1", PASSEL_PG_ACCOUNT="x", PASSEL_URL="http://x")
    assert strange.returncode == 0 and "PASSEL_SERVICE_HOST is no setting" in strange.stderr
    assert "PASSEL_PG_ACCOUNT" not in strange.stderr and "PASSEL_URL" not in strange.stderr
    config = tmp_path / "passel.toml"
    for content, said in (
        ("worker = 3\n", "did you mean workers?"),
        ("[server]\nport = 1\n", "server is no setting"),
        ("port = ", "not valid TOML"),
    ):
        config.write_text(content)
        one_sentence(command(installation, "models", "list", PASSEL_CONFIG=str(config)), 2, said, "passel.toml")
    config.write_text('OPENAI_API_KEY = "sk"\nport = 1\n')
    assert command(installation, "models", "list", PASSEL_CONFIG=str(config)).returncode == 0


def test_an_unreachable_database_is_one_sentence_without_its_password(tmp_path: Path) -> None:
    url = "postgresql://me:hidden@127.0.0.1:9/none"
    for arguments in (["serve", "--port", "0"], ["migrate"], ["keys", "list"]):
        done = command(Installation(tmp_path), *arguments, DATABASE_URL=url)
        one_sentence(done, 1, "DATABASE_URL (127.0.0.1:9/none)")
        assert "hidden" not in done.stderr
    nowhere = tmp_path / "nowhere"
    assert command(Installation(nowhere), "keys", "list", DATABASE_URL=url).returncode == 1 and not nowhere.exists()
    one_sentence(command(Installation(tmp_path), "serve", "--port", "0", DATABASE_URL="mysql://x"), 1, "DATABASE_URL", "postgres")


def test_keys_without_a_server_make_no_directory(tmp_path: Path) -> None:
    nowhere = tmp_path / "none"
    for arguments in (["keys", "list"], ["keys", "create", "x"]):
        one_sentence(command(Installation(nowhere), *arguments), 1, str(nowhere), "passel serve")
    assert not nowhere.exists()


def test_models_of_the_user_serve_every_data_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("PASSEL_")]:
        monkeypatch.delenv(name)
    user = Settings()
    assert user.models_dir == user.pulled_models_dir == user.data_dir / "models"
    other = Settings(data_dir=tmp_path)
    assert other.models_dir == user.models_dir and other.pulled_models_dir == tmp_path / "models"
    (tmp_path / "models").mkdir()
    assert Settings(data_dir=tmp_path).models_dir == tmp_path / "models"
    monkeypatch.setenv("PASSEL_MODELS_DIR", str(tmp_path / "elsewhere"))
    named = Settings(data_dir=tmp_path)
    assert named.models_dir == named.pulled_models_dir == tmp_path / "elsewhere"
    assert named.environment()["PASSEL_MODELS_DIR"] == str(tmp_path / "elsewhere")


def test_the_demo_says_once_which_keys_are_missing(tmp_path: Path) -> None:
    done = command(Installation(tmp_path), "demo", "--llm", "openai:gpt-5.5", "--llm", "anthropic:x", "--data-dir", str(tmp_path / "demo"))
    one_sentence(done, 1, "OPENAI_API_KEY and ANTHROPIC_API_KEY")
    assert not (tmp_path / "demo").exists()
