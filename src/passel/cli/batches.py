"""`passel batch`: look at batches, watch them, read their results, try again, cancel and delete them."""

import sys
from collections import Counter
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import typer

from passel.cli.bill import cost
from passel.cli.client import DEFAULT_URL, Client, Key, Url
from passel.cli.metadata import metadata_of
from passel.cli.output import CommandError, note, one_line, print_json, print_table
from passel.cli.results import check_output, print_results, put_aside, write_results
from passel.cli.verified import print_verified, wait_until_verified

batches = typer.Typer(no_args_is_help=True, help="Batches: get, watch, list, results, retry, tries, cancel, delete.")

BatchId = Annotated[str, typer.Argument(help="A batch's id.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress and no notes, but errors, and what goes to stdout.")]

_READ_FOR_REASONS = 20_000


def register(app: typer.Typer) -> None:
    app.add_typer(batches, name="batch")


@batches.command("get")
def get(batch_id: BatchId, json_output: Json = False, url: Url = DEFAULT_URL, key: Key = "") -> None:
    """Show a batch's state, counts and bill, why items failed, and what others wait for."""
    client = Client(url, key)
    batch = client.get(f"/v1/session-batches/{batch_id}", include_sessions=json_output)
    if json_output:
        print_json(batch)
        return
    print_summary(batch)
    print_verified(client, batch)
    print_reasons(client, batch)


def print_summary(batch: Any) -> None:
    counts, usage = batch["counts"], batch["usage"]
    print(f"{batch['batch_id']}  {batch['status']}")
    print(
        "  sessions  "
        + ", ".join(f"{n} {name}" for name, n in counts.items())
        + (f" ({batch['cancelled']} cancelled)" if batch["cancelled"] else "")
    )
    print(f"  tokens    {usage['input_tokens']} in, {usage['output_tokens']} out, in {usage['calls']} model calls")
    print(f"  cost      {cost(usage)}")
    if usage["in_doubt_calls"]:
        print(f"  in doubt  {usage['in_doubt_calls']} calls: sent, but their answer was lost; a provider may bill them")


def print_reasons(client: Client, batch: Any) -> None:
    """Why items failed: each error once, the most frequent first; and what others wait for."""
    counts = batch["counts"]
    if not counts["failed"] + counts["running"] + counts["queued"]:
        return
    errors, waits = Counter[str](), Counter[str]()
    with client.lines(f"/v1/session-batches/{batch['batch_id']}/results") as results:
        for result in islice(results, _READ_FOR_REASONS):
            if result["status"] == "failed":
                errors[one_line(result["error"] or "")] += 1
            elif result.get("waiting"):
                waits[one_line(result["waiting"]["reason"])] += 1
    for error, count in errors.most_common(5):
        print(f"  failed    {count} x {error}")
    for reason, count in waits.most_common(5):
        print(f"  waiting   {count} x {reason}")


@batches.command("list")
def list_batches(
    limit: Annotated[int, typer.Option(min=1, max=1000, help="At most so many.")] = 20,
    json_output: Json = False,
    url: Url = DEFAULT_URL,
    key: Key = "",
) -> None:
    """List batches, newest first."""
    found = Client(url, key).get("/v1/session-batches", limit=limit)["session_batches"]
    if json_output:
        print_json(found)
        return
    rows = [[b["batch_id"], b["status"], b["size"], *b["counts"].values(), b["created_at"]] for b in found]
    print_table(["batch", "status", "size", "queued", "running", "completed", "failed", "created"], rows)


@batches.command("watch")
def watch(
    batch_id: BatchId,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write the results at the end: a .jsonl or .csv file.")] = None,
    quiet: Quiet = False,
    url: Url = DEFAULT_URL,
    key: Key = "",
) -> None:
    """Follow a batch until it has ended. Exit code 1 unless all of it completed."""
    target = output and check_output(output)
    client = Client(url, key)
    client.get(f"/v1/session-batches/{batch_id}", include_sessions=False)  # a wrong id or key is no batch that goes on
    batch = follow(client, batch_id, target, quiet=quiet)
    print_summary(batch)
    print_verified(client, batch)
    print_reasons(client, batch)
    raise typer.Exit(0 if batch["status"] == "completed" else 1)


def follow(client: Client, batch_id: str, target: Path | None, *, quiet: bool) -> Any:
    """Watch a batch to its end and write its results. Outlasts every outage, and tells how to go on when it is ended."""
    from passel.cli.watch import how_to_go_on, left_running, until_answered, watch_batch

    with left_running(how_to_go_on(batch_id, target)):
        if target:
            put_aside(target)
        batch = wait_until_verified(client, watch_batch(client, batch_id, quiet=quiet), quiet=quiet)
        if target:
            count = until_answered(lambda: write_results(client, batch_id, target))
            if not quiet:
                note(f"{count} results in {target}")
    return batch


@batches.command("retry")
def retry(
    batch_id: BatchId,
    error: Annotated[
        list[str] | None,
        typer.Option(help="Only items whose error holds this text; several times for any of them. `cancelled` names cancelled ones."),
    ] = None,
    llm: Annotated[list[str] | None, typer.Option(help="Only items of this LLM option; several times for any of them.")] = None,
    metadata: Annotated[list[str] | None, typer.Option(help="Only items with this name=value; several times for all of them.")] = None,
    json_output: Json = False,
    url: Url = DEFAULT_URL,
    key: Key = "",
) -> None:
    """Run failed items again, each as a new try. What they were before stays readable (`batch tries`)."""
    body = {"errors": error, "llm_ids": llm, "metadata": metadata_of(metadata)}
    batch = Client(url, key).post(f"/v1/session-batches/{batch_id}/retry", {k: v for k, v in body.items() if v is not None})
    if json_output:
        print_json(batch)
    else:
        print(f"{batch['retried']} items run again")
        print_summary(batch)


@batches.command("tries")
def tries(
    batch_id: BatchId,
    index: Annotated[int, typer.Argument(min=0, help="An item's index.")],
    json_output: Json = False,
    url: Url = DEFAULT_URL,
    key: Key = "",
) -> None:
    """List the tries of an item, the oldest first."""
    found = Client(url, key).get(f"/v1/session-batches/{batch_id}/items/{index}/tries")["tries"]
    if json_output:
        print_json(found)
        return
    rows = [[t["try"], t["status"], t["session_id"], one_line(t["text"] or t["error"] or "")[:80]] for t in found]
    print_table(["try", "status", "session", "text or error"], rows)


@batches.command("results")
def results(
    batch_id: BatchId,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="A .jsonl or .csv file. Default: JSON lines to stdout.")] = None,
    table: Annotated[bool, typer.Option("--table", help="Print the matrix of tasks x options instead.")] = False,
    url: Url = DEFAULT_URL,
    key: Key = "",
) -> None:
    """Read the results, in input order; also of a batch that still runs."""
    if table and output:
        raise CommandError("--table prints to stdout; leave --output out")
    client = Client(url, key)
    if table:
        print_matrix(client, batch_id)
    elif output:
        print(f"{write_results(client, batch_id, check_output(output))} results in {output}", file=sys.stderr)
    else:
        print_results(client, batch_id)


def print_matrix(client: Client, batch_id: str) -> None:
    from passel.cli.matrix import matrix
    from passel.cli.output import stdout
    from passel.cli.watch import results_of

    stdout.print(matrix(results_of(client, batch_id)))


@batches.command("cancel")
def cancel(batch_id: BatchId, json_output: Json = False, url: Url = DEFAULT_URL, key: Key = "") -> None:
    """End what has not ended yet."""
    batch = Client(url, key).post(f"/v1/session-batches/{batch_id}/cancel", repeat=True)
    print_json(batch) if json_output else print_summary(batch)


@batches.command("delete")
def delete(batch_id: BatchId, json_output: Json = False, url: Url = DEFAULT_URL, key: Key = "") -> None:
    """Delete an ended batch with the sessions of all its tries, for good."""
    gone = Client(url, key).delete(f"/v1/session-batches/{batch_id}")
    print_json(gone) if json_output else print(f"{gone['batch_id']}  deleted")
