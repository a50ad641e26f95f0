"""One claim, or a file of them, verified."""

import csv
import io
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from passel.cli.client import DEFAULT_URL, Client, Key, Url
from passel.cli.output import CommandError, WrongUse, json_line, note, one_line, plain, print_json, print_table
from passel.cli.verified import weights

FORMATS = (".csv", ".json", ".jsonl", ".ndjson")
Methods = Annotated[
    list[str] | None,
    typer.Option("--method", help="A method, or method=weight; several times for more. Default: formal.", show_default=False),
]
Model = Annotated[str | None, typer.Option("--model", help="The model that methods ask, such as openai:gpt-5.5 or local:smollm2.")]

_PAUSES = (0.2, 2.0)
_SHOWN = 40
_COLUMNS = (
    "itemIndex",
    "status",
    "verdict",
    "confidence",
    "decision",
    "costCents",
    "verificationId",
    "idempotencyKey",
    "content",
    "errorMessage",
)


def claims(
    claim: Annotated[str, typer.Argument(help="What is claimed, or a CSV, JSON or JSONL file of claims.")] = "",
    method: Methods = None,
    model: Model = None,
    premise: Annotated[list[str] | None, typer.Option(help="A sentence that the claim is to follow from; several times for more.")] = None,
    batch: Annotated[str | None, typer.Option(help="Go on with the batch of an earlier command instead of making one.")] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write all results to a .csv, .json or .jsonl file.")] = None,
    json_output: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    url: Url = DEFAULT_URL,
    key: Key = "",
) -> None:
    """Verify a claim and say why, or every claim of a file. The exit code is 0 when a claim is accepted, or all claims of a file
    were verified."""
    if not claim and batch is None:
        raise WrongUse("name a claim, a file, or --batch")
    if output is not None and output.suffix not in (".csv", ".json", ".jsonl"):
        raise WrongUse(f"--output {output}: it must end in .csv, .json or .jsonl")
    client, asked = Client(url, key), request(method, model, premise)
    if batch is None and not _is_file(claim):
        _one(client, claim, asked, json_output)
    made = batch or submit(client, Path(claim), asked)
    ended = watch(client, made)
    show(client, ended, output, json_output)
    raise typer.Exit(0 if ended["status"] == "completed" and not ended["failureCount"] else 1)


def request(method: list[str] | None, model: str | None, premise: list[str] | None = None) -> dict[str, Any]:
    """The fields of a request that a file and a claim share."""
    asked: dict[str, Any] = {"methods": weights(method or ["formal"], "--method")}
    if model is not None:
        asked["options"] = {"model": model}
    if premise:
        asked["context"] = {"premises": premise}
    return asked


def _is_file(claim: str) -> bool:
    """A name that ends as a file of claims does is one, also if it is misspelt: a sentence that ends in `.csv` is rare."""
    return claim.lower().endswith(FORMATS) and not any(ch in claim for ch in "\n\r") and " is " not in claim


def _one(client: Client, claim: str, asked: dict[str, Any], json_output: bool) -> None:
    found = client.post("/v1/verify", {"content": claim, **asked})
    if json_output:
        print_json(found)
    else:
        print(plain(_said(found)))
    raise typer.Exit(0 if found.get("decision") == "accept" else 1)


def _said(found: Any) -> str:
    if "verdict" not in found:
        return f"{found['status']}: {found.get('errorMessage') or 'it goes on; look at GET /v1/verify/' + found['id']}"
    return f"{found['verdict']} ({found['confidence']:.2f}), {found['decision']}\n{found['reasoning']}"


def submit(client: Client, file: Path, asked: dict[str, Any]) -> str:
    """The batch of a file."""
    try:
        data = file.read_bytes()
    except OSError as error:
        raise CommandError(f"{file} cannot be read: {error.strerror}") from error
    kept = client.post_form("/v1/batch/upload", file.name, data, {})
    for problem in kept["validationErrors"]:
        note(f"{file}, record {problem['row']}: {problem['error']}")
    made = client.post("/v1/batch", {"fileId": kept["fileId"], "name": file.name, **asked})
    note(f"{made['totalItems']} claims, {made['id']}")
    return made["id"]


def watch(client: Client, batch_id: str) -> Any:
    """The batch when it has ended; how far it is goes to stderr."""
    pause, told = _PAUSES[0], -1
    while True:
        batch = client.get(f"/v1/batch/{batch_id}")
        done = batch["processedItems"] + batch["skippedCount"]
        if done != told and (sys.stderr.isatty() or batch["completedAt"]):
            note(f"{done} of {batch['totalItems']} verified, {batch['failureCount']} failed, {batch['totalCostCents']} cents")
            told = done
        if batch["completedAt"]:
            return batch
        time.sleep(pause)
        pause = min(_PAUSES[1], pause * 1.5)


def results(client: Client, batch_id: str) -> Iterator[Any]:
    offset, more = 0, True
    while more:
        page = client.get(f"/v1/batch/{batch_id}/results", limit=100, offset=offset)
        yield from page["items"]
        offset, more = offset + 100, page["pagination"]["hasMore"]


def show(client: Client, batch: Any, output: Path | None, json_output: bool) -> None:
    items = list(results(client, batch["id"]))
    if output is not None:
        output.write_text(_written(output.suffix, items), encoding="utf-8")
        note(f"results: {output}")
    if json_output:
        print_json({"batch": batch, "items": items})
        return
    shown = items[:_SHOWN]
    rows = [
        [item["itemIndex"], item["verdict"] or item["status"], _two(item["confidence"]), item["decision"], _cut(item)] for item in shown
    ]
    print_table(["", "verdict", "confidence", "decision", "claim"], rows)
    if len(items) > len(shown):
        note(f"and {len(items) - len(shown)} more: --output results.csv writes them all")
    counts = Counter(item["decision"] or item["status"] for item in items)
    print(", ".join(f"{count} {name}" for name, count in counts.most_common()))


def _two(confidence: float | None) -> str:
    return "" if confidence is None else f"{confidence:.2f}"


def _cut(item: Any) -> str:
    text = one_line(item["content"]) + (f" ({item['errorMessage']})" if item["errorMessage"] else "")
    return text if len(text) <= 100 else text[:97] + "..."


def _written(suffix: str, items: list[Any]) -> str:
    if suffix == ".csv":
        out = io.StringIO()
        rows = csv.writer(out)
        rows.writerow(_COLUMNS)
        rows.writerows([_cell(item.get(name)) for name in _COLUMNS] for item in items)
        return out.getvalue()
    if suffix == ".jsonl":
        return "".join(json_line(item) + "\n" for item in items)
    return "[\n" + ",\n".join(json_line(item) for item in items) + "\n]\n"


def _cell(value: Any) -> Any:
    """Spreadsheets run what begins like a formula."""
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r") else value
