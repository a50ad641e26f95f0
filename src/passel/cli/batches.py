"""`passel batch`: look at batches, watch them, read their results, cancel them."""

import csv
import json
import os
import sys
from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import typer

from passel.cli.client import DEFAULT_URL, Client, Key, Url
from passel.cli.output import CommandError, print_json, print_table
from passel.cli.watch import watch_batch

app = typer.Typer(no_args_is_help=True, help="Batches: get, watch, list, results, cancel.")

BatchId = Annotated[str, typer.Argument(help="A batch's id.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]

_FIELDS = [
    "index",
    "status",
    "llm_id",
    "model",
    "session_id",
    "text",
    "error",
    "input_tokens",
    "output_tokens",
    "total_cost_usd",
    "metadata",
    "created_at",
    "started_at",
    "finished_at",
]


@app.command("get")
def get(batch_id: BatchId, json_output: Json = False, url: Url = DEFAULT_URL, key: Key = "") -> None:
    """Show a batch's state, counts and bill."""
    client = Client(url, key)
    batch = client.get(f"/v1/session-batches/{batch_id}", include_sessions=json_output)
    if json_output:
        print_json(batch)
        return
    print_summary(batch)
    print_errors(client, batch)


def print_summary(batch: Any) -> None:
    counts, usage = batch["counts"], batch["usage"]
    print(f"{batch['batch_id']}  {batch['status']}")
    print(
        "  sessions  "
        + ", ".join(f"{n} {name}" for name, n in counts.items())
        + (f" ({batch['cancelled']} cancelled)" if batch["cancelled"] else "")
    )
    print(f"  tokens    {usage['input_tokens']} in, {usage['output_tokens']} out, in {usage['calls']} model calls")
    unpriced = f" ({usage['unpriced_calls']} calls of models without a known price)" if usage["unpriced_calls"] else ""
    print(f"  cost      ${usage['total_cost_usd']}{unpriced}")
    if usage["in_doubt_calls"]:
        print(f"  in doubt  {usage['in_doubt_calls']} calls: sent, but their answer was lost; a provider may bill them")


def print_errors(client: Client, batch: Any) -> None:
    """Why items failed: each error once, the most frequent first."""
    if not batch["counts"]["failed"]:
        return
    with client.lines(f"/v1/session-batches/{batch['batch_id']}/results") as results:
        errors = Counter(result["error"] for result in results if result["status"] == "failed")
    for error, count in errors.most_common(5):
        print(f"  failed    {count} x {error}")


@app.command("list")
def list_batches(
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 20, json_output: Json = False, url: Url = DEFAULT_URL, key: Key = ""
) -> None:
    """List batches, newest first."""
    found = Client(url, key).get("/v1/session-batches", limit=limit)["session_batches"]
    if json_output:
        print_json(found)
        return
    rows = [[b["batch_id"], b["status"], b["size"], *b["counts"].values(), b["created_at"]] for b in found]
    print_table(["batch", "status", "size", "queued", "running", "completed", "failed", "created"], rows)


@app.command("watch")
def watch(batch_id: BatchId, url: Url = DEFAULT_URL, key: Key = "") -> None:
    """Follow a batch until it has ended. Exit code 1 unless all of it completed."""
    client = Client(url, key)
    batch = watch_batch(client, batch_id)
    print_summary(batch)
    print_errors(client, batch)
    raise typer.Exit(0 if batch["status"] == "completed" else 1)


@app.command("results")
def results(
    batch_id: BatchId,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="A .jsonl or .csv file. Default: JSON lines to stdout.")] = None,
    url: Url = DEFAULT_URL,
    key: Key = "",
) -> None:
    """Read the results, in input order; also of a batch that still runs."""
    count = write_results(Client(url, key), batch_id, output and check_output(output))
    if output:
        print(f"{count} results in {output}", file=sys.stderr)


@app.command("cancel")
def cancel(batch_id: BatchId, json_output: Json = False, url: Url = DEFAULT_URL, key: Key = "") -> None:
    """End what has not ended yet."""
    batch = Client(url, key).post(f"/v1/session-batches/{batch_id}/cancel", repeat=True)
    print_json(batch) if json_output else print_summary(batch)


def check_output(output: Path) -> Path:
    """The file must be one that can be written, in a form that we write: known before anything is paid for."""
    if output.suffix not in (".jsonl", ".csv") and output != Path(os.devnull):
        raise CommandError(f"{output}: results are written as .jsonl or .csv; give the file one of these endings")
    if not output.absolute().parent.is_dir():
        raise CommandError(f"{output}: there is no directory {output.absolute().parent}")
    return output


def write_results(client: Client, batch_id: str, output: Path | None) -> int:
    """Returns how many were written."""
    count = 0
    with client.lines(f"/v1/session-batches/{batch_id}/results") as results:
        if output is None:
            for result in results:
                print(json.dumps(result, ensure_ascii=False))
                count += 1
        else:
            with output.open("w", newline="", encoding="utf-8") as file:
                writer = csv.DictWriter(file, _FIELDS, extrasaction="ignore") if output.suffix == ".csv" else None
                if writer:
                    writer.writeheader()
                for result in results:
                    if writer:
                        flat = {**result, **result["usage"], "metadata": json.dumps(result["metadata"], ensure_ascii=False)}
                        writer.writerow(flat)
                    else:
                        file.write(json.dumps(result, ensure_ascii=False) + "\n")
                    count += 1
    return count
