"""A whole Passel as real processes, for tests and benchmarks: `passel serve` or its parts, and a played model."""

import asyncio
import atexit
import contextlib
import functools
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import psutil

from passel.cli.client import Client
from passel.cli.deploy import publish
from passel.cli.output import CommandError
from passel.store.postgres import EmbeddedPostgres
from passel.store.schema import migrate

KEY = "dari_test_key_of_the_first_organisation"


def data_home() -> Path:
    """Where test data lies. Not `TMPDIR`, which may be long: a Unix socket's path has 107 bytes."""
    return Path(os.environ.get("PASSEL_TEST_DIR", "/tmp"))


@contextlib.contextmanager
def scratch_dir() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="passel-", dir=data_home(), ignore_cleanup_errors=True) as name:
        path = Path(name)
        path.chmod(0o755)
        yield path


@dataclass
class Program:
    """A child process that tells on stdout when it is ready."""

    command: list[str]
    environment: dict[str, str]
    process: subprocess.Popen[str] = field(init=False)
    stderr_path: Path | None = None

    def start(self, ready: str | None = None) -> str:
        stderr = self.stderr_path.open("a") if self.stderr_path else None
        self.process = subprocess.Popen(
            self.command, stdout=subprocess.PIPE, stderr=stderr, text=True, env=self.environment, start_new_session=True
        )
        if stderr:
            stderr.close()
        if ready is None:
            return ""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith(ready):
                return line.strip()
        raise AssertionError(f"{self.command} ended with {self.process.wait()}: {self.errors()}")

    def errors(self) -> str:
        return self.stderr_path.read_text()[-4000:] if self.stderr_path and self.stderr_path.exists() else ""

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        if self.process.stdout:
            self.process.stdout.close()

    def stop(self, timeout: float = 60) -> int:
        if self.process.poll() is None:
            self.process.terminate()
        code = self.process.wait(timeout)
        if self.process.stdout:
            self.process.stdout.close()
        return code


@contextlib.contextmanager
def played_model() -> Iterator["PlayedModel"]:
    program = Program([sys.executable, "-m", "tests.support.model_server"], dict(os.environ))
    url = program.start("listening").split()[1]
    try:
        yield PlayedModel(url, program)
    finally:
        program.kill()


@dataclass(frozen=True)
class PlayedModel:
    url: str
    program: Program

    def state(self) -> Any:
        return httpx2.get(f"{self.url}/calls", timeout=30).json()

    def calls(self) -> dict[str, int]:
        return self.state()["calls"]


@functools.cache
def _made_database() -> Path:
    """A database of the newest schema with nothing in it, as its directory."""
    made = tempfile.mkdtemp(prefix="passel-", dir=data_home())
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    Path(made).chmod(0o755)
    server = EmbeddedPostgres(Path(made) / "postgres")
    server.start()
    asyncio.run(migrate(server.url))
    server.stop()
    return Path(made) / "postgres"


@dataclass
class Installation:
    """`passel serve` on a data directory of its own."""

    data_dir: Path
    workers: int = 1
    settings: dict[str, str] = field(default_factory=dict)
    url: str = ""
    program: Program = field(init=False)
    _clients: dict[str, Any] = field(default_factory=dict)

    def environment(self) -> dict[str, str]:
        own = {
            "PASSEL_DATA_DIR": str(self.data_dir),
            "PASSEL_API_KEY": KEY,
            "PASSEL_PORT": "0",
            "PASSEL_LOG_FORMAT": "json",
            "PASSEL_LOG_LEVEL": "warning",
            "PASSEL_DRAIN_SECONDS": "2",
        }
        inherited = {
            k: v
            for k, v in os.environ.items()
            if (k == "PASSEL_PG_ACCOUNT" or not k.startswith("PASSEL_")) and not k.endswith("_API_KEY") and k != "DATABASE_URL"
        }
        return {**inherited, **own, **self.settings}

    def start(self) -> "Installation":
        environment = self.environment()
        if (
            not {"DATABASE_URL", "PASSEL_PG_ACCOUNT"} & environment.keys()
            and self.data_dir.is_dir()
            and not (self.data_dir / "postgres").exists()
        ):
            # what the first start makes; that it does, tests of the command line see
            subprocess.run(["cp", "-a", str(_made_database()), str(self.data_dir / "postgres")], check=True)
        port = self.url.rsplit(":", 1)[1] if self.url else "0"
        command = [sys.executable, "-m", "passel", "serve", "--port", port, "--workers", str(self.workers), "--json"]
        self.program = Program(command, self.environment(), stderr_path=self.data_dir / "serve.err")
        self.url = json.loads(self.program.start("{"))["url"]
        self.http()  # made before threads may ask for it
        return self

    def stop(self) -> int:
        for client in self._clients.values():
            client.close()
        self._clients.clear()
        return self.program.stop()

    @property
    def client(self) -> Client:
        if "cli" not in self._clients:
            self._clients["cli"] = Client(self.url, KEY)
        return self._clients["cli"]

    def http(self, key: str = KEY) -> httpx2.Client:
        """A bare HTTP client, whose answers are looked at as they are."""
        if key not in self._clients:
            self._clients[key] = httpx2.Client(base_url=self.url, headers={"Authorization": f"Bearer {key}"}, timeout=120)
        return self._clients[key]

    def children(self, role: str) -> list[psutil.Process]:
        """Live children by role: `api` or `worker`."""
        found = []
        for child in psutil.Process(self.program.process.pid).children():
            with contextlib.suppress(psutil.Error):
                if child.cmdline()[-1:] == [role] and child.status() != psutil.STATUS_ZOMBIE:
                    found.append(child)
        return found

    def new_organisation(self) -> str:
        """A key of another organisation, made as an operator makes it."""
        command = [sys.executable, "-m", "passel", "keys", "create", "theirs", "--new-org", "Other", "--json"]
        done = subprocess.run(command, env=self.environment(), capture_output=True, text=True, check=True)
        return json.loads(done.stdout)["api_key"]

    def database_url(self) -> str:
        return f"postgresql://postgres@/postgres?host={self.data_dir.resolve()}/postgres"

    def deploy(
        self,
        model_url: str,
        models: list[str],
        name: str = "tester",
        directory: Path | None = None,
        tools: Sequence[dict[str, Any]] = (),
        provider: str = "openai",
    ) -> str:
        """Publish an agent whose LLM options are models of the played server; returns its id. `tools` are external:
        what a `tool.yml` says, with the schemas in it."""
        with tempfile.TemporaryDirectory() as scratch:
            path = directory or Path(scratch)
            url = model_url if provider == "anthropic" else f"{model_url}/v1"
            write_agent(path, name, {m: {"provider": provider, "model": m, "base_url": url} for m in models}, tools=tools)
            return publish(self.client, path)["agent_id"]


def write_agent(
    path: Path, name: str, options: dict[str, Any], system: str = "You are a test.", tools: Sequence[dict[str, Any]] = ()
) -> None:
    (path / "prompts").mkdir(parents=True, exist_ok=True)
    (path / "prompts" / "system.md").write_text(system)
    manifest = {
        "name": name,
        "harness": "pi",
        "instructions": {"system": "prompts/system.md"},
        "llm": {"default": next(iter(options)), "options": options},
        "built_in_tools": [],
        "custom_tools": [{"name": tool["name"], "path": f"tools/{tool['name']}", "kind": "external"} for tool in tools],
    }
    for tool in tools:
        (path / "tools" / tool["name"]).mkdir(parents=True, exist_ok=True)
        (path / "tools" / tool["name"] / "tool.yml").write_text(json.dumps(tool))
    (path / "dari.yml").write_text(json.dumps(manifest))  # JSON is YAML


def item(agent_id: str, text: str, **fields: Any) -> dict[str, Any]:
    return {"agent_id": agent_id, "message": {"content": [{"type": "text", "text": text}]}, **fields}


def wait_until(check: Callable[[], Any], timeout: float = 60, every: float = 0.05) -> Any:
    """The first truthy answer of `check`. A deadline that only a broken program reaches."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        if answer := check():
            return answer
        time.sleep(every)
    raise AssertionError(f"did not happen within {timeout} s: {check}")


def wait_for_batch(client: Client, batch_id: str, timeout: float = 120) -> Any:
    def ended() -> Any:
        try:
            batch = client.get(f"/v1/session-batches/{batch_id}", include_sessions=False)
        except CommandError as error:
            if "HTTP" in str(error):
                raise
            return None  # no server answers just now; a test that kills it waits until one does
        return batch if batch["finished_at"] else None

    return wait_until(ended, timeout)


def freeze(process: psutil.Process) -> None:
    process.send_signal(signal.SIGSTOP)


def thaw(process: psutil.Process) -> None:
    process.send_signal(signal.SIGCONT)


@contextlib.contextmanager
def installed(workers: int = 1, settings: dict[str, str] | None = None) -> Iterator[Installation]:
    """One that many tests share: it ends well, and has met nothing that it did not expect."""
    with scratch_dir() as directory:
        installation = Installation(directory, workers, settings or {}).start()
        yield installation
        assert installation.stop() == 0
        errors = (directory / "serve.err").read_text()
        assert "Traceback" not in errors, errors[-4000:]
