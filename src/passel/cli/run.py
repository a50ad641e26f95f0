"""`passel run`: a file of tasks, times LLM options, as one batch."""

import secrets
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from passel.cli.agents import check_options
from passel.cli.batches import Quiet, follow, print_reasons, print_summary
from passel.cli.client import DEFAULT_URL, Away, Client, Key, Url
from passel.cli.output import CommandError, note, print_json
from passel.cli.results import check_output
from passel.cli.tasks import Task, check_lines, check_names, read_tasks, submit, wanted_options, with_uploads
from passel.cli.verified import asked_to_verify, print_verified


def register(app: typer.Typer) -> None:
    app.command()(run)


def run(
    tasks: Annotated[
        Path,
        typer.Argument(
            help='JSON lines: {"task": "name", "prompt": "text"}, or "content" with blocks; "metadata", "llm_id" and "version_id" if you like. Or a .csv file with a column "prompt" or "task".'
        ),
    ],
    agent: Annotated[str, typer.Option(help="The agent's name or id.")],
    llm: Annotated[list[str] | None, typer.Option(help="An LLM option of the agent; give it several times for a matrix.")] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Where the results go: a .jsonl or .csv file. Default: the tasks' name with .results.jsonl."),
    ] = None,
    idempotency_key: Annotated[str | None, typer.Option(help="The same key never makes a second batch. Default: none.")] = None,
    complete_missing: Annotated[
        bool,
        typer.Option(
            "--complete-missing",
            help="With the --idempotency-key of a batch that exists: run what never ran or failed, and the tasks added at the end.",
        ),
    ] = False,
    max_concurrency: Annotated[int | None, typer.Option(min=1, help="Sessions of this batch that may run at once.")] = None,
    verify: Annotated[
        list[str] | None,
        typer.Option("--verify", help="Verify each answer by this method, or method=weight; several times for more.", show_default=False),
    ] = None,
    verify_model: Annotated[str | None, typer.Option(help="The model that methods of --verify ask.")] = None,
    detach: Annotated[bool, typer.Option("--detach", help="Create the batch and return.")] = False,
    json_output: Annotated[bool, typer.Option("--json", help="Print the batch as JSON at the end.")] = False,
    quiet: Quiet = False,
    url: Url = DEFAULT_URL,
    key: Key = "",
) -> None:
    """Run every task with every LLM option, show progress, and write the results. Ctrl-C leaves the batch running."""
    if complete_missing and not idempotency_key:
        raise CommandError("--complete-missing needs the --idempotency-key that the batch was made with")
    client, llms = Client(url, key), llm or []
    wanted = asked_to_verify(verify, verify_model)
    target = check_output(output or tasks.with_suffix(".results.jsonl"))
    agent_id, asked = _prepare(client, agent, tasks, llms)
    own_key = idempotency_key or f"run-{secrets.token_hex(16)}"
    with _perhaps_submitted(own_key):
        batch = submit(client, agent_id, asked, llms, own_key, max_concurrency, complete_missing=complete_missing, verify=wanted)
        if idempotency_key and client.replayed:
            note(f"the key {idempotency_key} is known: this is the batch that was made with it, and nothing new was submitted")
        if not quiet:
            note(f"batch {batch['batch_id']}: {batch['size']} sessions")
        if not detach:
            batch = follow(client, batch["batch_id"], target, quiet=quiet)
    _show(client, batch, detach, json_output)


def _prepare(client: Client, agent_name: str, path: Path, llms: list[str]) -> tuple[str, list[Task]]:
    """The agent's id and the tasks, once all that can be known beforehand is known to be right."""
    agent = client.find_agent(agent_name)
    tasks = read_tasks(path)
    check_names(tasks, llms)
    check_options(client, agent, wanted_options(tasks, llms))
    check_lines(agent["id"], tasks, llms)
    return agent["id"], with_uploads(client, tasks)


@contextmanager
def _perhaps_submitted(key: str) -> Generator[None]:
    """Before the answer to the creation is here, the key is what leads back to the batch."""
    advice = f"If it was submitted, this shows it, and if not, submits it:  passel run ... --idempotency-key {key}"
    try:
        yield
    except KeyboardInterrupt:
        note(f"\nA batch that was submitted goes on without you. {advice}")
        raise SystemExit(130) from None
    except Away:
        note(f"Whether the batch was submitted is not known. {advice}")
        raise


def _show(client: Client, batch: Any, detached: bool, json_output: bool) -> None:
    if json_output:
        print_json(batch)
    elif detached:
        print(batch["batch_id"])
    else:
        print_summary(batch)
        print_verified(client, batch)
        print_reasons(client, batch)
    raise typer.Exit(0 if detached or batch["status"] == "completed" else 1)
