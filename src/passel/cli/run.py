"""`passel run`: a file of tasks, times LLM options, as one batch."""

import json
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from passel.cli.batches import check_output, print_errors, print_summary, write_results
from passel.cli.client import DEFAULT_URL, Client, Key, Url
from passel.cli.output import CommandError, note, print_json
from passel.cli.watch import left_running, watch_batch

_TASK_FIELDS = ("task", "prompt", "content", "metadata", "llm_id", "version_id")


def register(app: typer.Typer) -> None:
    app.command()(run)


def run(
    tasks: Annotated[
        Path,
        typer.Argument(
            help='JSON lines: {"task": "name", "prompt": "text"}, or "content" with blocks; "metadata", "llm_id" and "version_id" if you like.'
        ),
    ],
    agent: Annotated[str, typer.Option(help="The agent's name or id.")],
    llm: Annotated[list[str] | None, typer.Option(help="An LLM option of the agent; give it several times for a matrix.")] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Where the results go: a .jsonl or .csv file. Default: the tasks' name with .results.jsonl."),
    ] = None,
    idempotency_key: Annotated[str | None, typer.Option(help="The same key never makes a second batch. Default: none.")] = None,
    max_concurrency: Annotated[int | None, typer.Option(min=1, help="Sessions of this batch that may run at once.")] = None,
    detach: Annotated[bool, typer.Option("--detach", help="Create the batch and return.")] = False,
    json_output: Annotated[bool, typer.Option("--json", help="Print the batch as JSON at the end.")] = False,
    url: Url = DEFAULT_URL,
    key: Key = "",
) -> None:
    """Run every task with every LLM option, show progress, and write the results. Ctrl-C leaves the batch running."""
    client = Client(url, key)
    agent_id = client.find_agent(agent)["id"]
    target = check_output(output or tasks.with_suffix(".results.jsonl"))
    own_key = idempotency_key or f"run-{secrets.token_hex(16)}"
    asked = read_tasks(tasks)
    with left_running(f"If it was submitted, this shows it:  passel run ... --idempotency-key {own_key}"):
        batch = submit(client, agent_id, asked, llm or [], own_key, max_concurrency)
    if idempotency_key and client.replayed:
        note(f"the key {idempotency_key} is known: this is the batch that was made with it, and nothing new was submitted")
    with left_running(f"Watch it again:  passel batch watch {batch['batch_id']}"):
        _follow(client, batch, target, detach, json_output)


def _follow(client: Client, batch: Any, target: Path, detach: bool, json_output: bool) -> None:
    batch_id = batch["batch_id"]
    note(f"batch {batch_id}: {batch['size']} sessions")
    if detach:
        print_json(batch) if json_output else print(batch_id)
        return
    batch = watch_batch(client, batch_id, table=True)
    count = write_results(client, batch_id, target)
    note(f"{count} results in {target}")
    if json_output:
        print_json(batch)
    else:
        print_summary(batch)
        print_errors(client, batch)
    raise typer.Exit(0 if batch["status"] == "completed" else 1)


def read_tasks(path: Path) -> list[dict[str, Any]]:
    if not path.is_file():
        raise CommandError(f"there is no file {path}")
    tasks: list[dict[str, Any]] = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if line.strip():
            tasks.append(_task(line, f"{path}:{number}"))
    if not tasks:
        raise CommandError(f"{path} holds no tasks")
    return tasks


def _task(line: str, where: str) -> dict[str, Any]:
    try:
        task = json.loads(line)
    except ValueError as error:
        raise CommandError(f"{where}: not JSON: {error}") from error
    if not isinstance(task, dict) or not (isinstance(task.get("prompt"), str) or isinstance(task.get("content"), list)):
        raise CommandError(f'{where}: a task is an object with "prompt" (a text) or "content" (a list of blocks)')
    unknown = sorted(set(task) - set(_TASK_FIELDS))
    if unknown:
        raise CommandError(f"{where}: unknown field {unknown[0]}; known are {', '.join(_TASK_FIELDS)}")
    return task


def submit(client: Client, agent_id: str, tasks: list[dict[str, Any]], llms: list[str], key: str, max_concurrency: int | None) -> Any:
    """One batch of tasks x options. The key makes a repeat after a broken connection harmless."""

    def lines() -> Iterator[bytes]:
        for number, task in enumerate(tasks):
            for llm in llms or [task.get("llm_id")]:
                yield json.dumps(_item(agent_id, number, task, llm)).encode() + b"\n"

    return client.post_lines("/v1/session-batches", lines, idempotency_key=key, max_concurrency=max_concurrency)


def _item(agent_id: str, number: int, task: dict[str, Any], llm: str | None) -> dict[str, Any]:
    content = task.get("content") or [{"type": "text", "text": task["prompt"]}]
    metadata = {"task": str(task.get("task") or f"task-{number + 1}"), **(task.get("metadata") or {})}
    item: dict[str, Any] = {"agent_id": agent_id, "metadata": metadata, "message": {"content": content}}
    if llm:
        item["llm_id"] = llm
    if task.get("version_id"):
        item["version_id"] = task["version_id"]
    return item
