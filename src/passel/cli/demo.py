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
from pathlib import Path
from typing import Annotated, Any

import orjson
import psutil
import typer
import yaml

from passel.cli.batches import print_summary, write_results
from passel.cli.client import Client
from passel.cli.deploy import publish
from passel.cli.output import CommandError, note, stdout
from passel.cli.run import read_tasks, submit
from passel.cli.watch import matrix, watch_batch
from passel.models import local

_START_SECONDS = 60


def register(app: typer.Typer) -> None:
    app.command()(demo)


def example() -> Path:
    """The example's directory: in the installed package, or in the checkout."""
    packaged = Path(__file__).parent.parent / "examples" / "matrix"
    return packaged if packaged.is_dir() else Path(__file__).parents[3] / "examples" / "matrix"


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
    data_dir = data_dir.resolve()
    if not llm:
        note("local model: " + str(local.pull("smollm2", data_dir / "models")))
    with _server(data_dir) as (server, started):
        client = Client(started["url"], os.environ.get("PASSEL_API_KEY") or _key(data_dir, started))
        note(f"server: {started['url']}  data: {data_dir}")
        with _bundle(llm) as directory:
            agent = publish(client, directory)
            options = list(yaml.safe_load((directory / "dari.yml").read_text())["llm"]["options"])
        tasks = read_tasks(example() / "tasks.jsonl")
        batch = submit(client, agent["agent_id"], tasks, options, f"demo-{secrets.token_hex(8)}", None)
        note(
            f"agent {agent['name']} {agent['version_id']}: {len(tasks)} tasks x {len(options)} options = {batch['size']} sessions, {batch['batch_id']}"
        )
        killer = threading.Thread(target=_kill_a_worker, args=(client, batch["batch_id"], server), daemon=True) if kill else None
        if killer:
            killer.start()
        batch = watch_batch(client, batch["batch_id"], table=True)
        _show(client, batch, data_dir)
    raise typer.Exit(0 if batch["status"] == "completed" else 1)


@contextlib.contextmanager
def _server(data_dir: Path) -> Generator[tuple[subprocess.Popen[bytes], Any]]:
    command = [sys.executable, "-m", "passel", "serve", "--port", "0", "--workers", "2", "--data-dir", str(data_dir), "--json"]
    environment = {**os.environ, "PASSEL_LOG_LEVEL": "error", "PASSEL_DRAIN_SECONDS": "1"}
    data_dir.mkdir(parents=True, exist_ok=True)
    server = subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, start_new_session=True)
    watchdog = threading.Timer(_START_SECONDS, server.terminate)
    watchdog.start()
    try:
        assert server.stdout is not None
        line = server.stdout.readline()
        watchdog.cancel()
        if not line:
            raise CommandError(f"the server did not start (exit code {server.wait()}); `passel doctor --data-dir {data_dir}` may say why")
        yield server, orjson.loads(line)
    finally:
        watchdog.cancel()
        server.send_signal(signal.SIGTERM)
        server.wait(90)


def _key(data_dir: Path, started: Any) -> str:
    """The key of the first start is kept beside the demo's data, so that a second demo can use them."""
    path = data_dir / "demo-key"
    if started["api_key"]:
        path.touch(mode=0o600)
        path.write_text(started["api_key"])
    elif not path.exists():
        raise CommandError(f"{data_dir} holds another server's data: set PASSEL_API_KEY, or choose another --data-dir")
    return path.read_text()


@contextlib.contextmanager
def _bundle(llm: list[str] | None) -> Generator[Path]:
    """The example as it is, or with other models put into its manifest."""
    if not llm:
        yield example()
        return
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


def _kill_a_worker(client: Client, batch_id: str, server: subprocess.Popen[bytes]) -> None:
    """Once a third is done, the busiest worker gets SIGKILL. The batch goes on all the same."""
    with contextlib.suppress(CommandError, psutil.Error):
        while True:
            batch = client.get(f"/v1/session-batches/{batch_id}", include_sessions=False)
            if batch["counts"]["completed"] * 3 >= batch["size"]:
                break
            if batch["finished_at"]:
                return
            time.sleep(0.2)
        workers = [child for child in psutil.Process(server.pid).children() if child.cmdline()[-1:] == ["worker"]]
        for worker in workers:
            worker.cpu_percent()
        time.sleep(0.3)
        # local models run in their worker: the busier one has sessions in its hands
        victim = max(workers, key=lambda worker: worker.cpu_percent())
        victim.kill()
        note(f"kill -9 {victim.pid}: a worker is gone; its sessions will be taken over")


def _show(client: Client, batch: Any, data_dir: Path) -> None:
    results_file = data_dir / f"{batch['batch_id']}.jsonl"
    write_results(client, batch["batch_id"], results_file)
    rows = [orjson.loads(line) for line in results_file.read_text().splitlines()]
    for row in rows:
        text = " ".join((row["text"] or row["error"] or "").split())
        stdout.print(f"{row['metadata']['task']} / {row['llm_id']}: ", style="bold", end="", markup=False)
        stdout.print(text[:200] + ("…" if len(text) > 200 else ""), markup=False, soft_wrap=True)
    stdout.print()
    stdout.print(matrix(rows))
    stdout.print()
    print_summary(batch)
    taken_over = sum(1 for row in rows if (row["attempt"] or 1) > 1)
    print(
        f"\n{batch['counts']['completed']} of {batch['size']} completed, {taken_over} taken over after the kill; results in {results_file}; ledger, files and database in {data_dir}"
    )
    print(f"Look around:  passel serve --data-dir {data_dir}   (the key is in {data_dir / 'demo-key'})")
