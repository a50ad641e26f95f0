"""A batch's results in a file. It appears whole: until then the older one has another name, and so has the new one."""

import csv
import json
import os
import secrets
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from passel.cli.client import Client
from passel.cli.output import CommandError, json_line, note

_VERIFIED = ["verdict", "confidence", "decision"]
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


def check_output(output: Path) -> Path:
    """The file must be one that can be written, in a form that we write: known before anything is paid for."""
    if output.suffix not in (".jsonl", ".csv") and output != Path(os.devnull):
        raise CommandError(f"{output}: results are written as .jsonl or .csv; give the file one of these endings")
    directory = output.resolve().parent
    if not directory.is_dir():
        raise CommandError(f"{output}: there is no directory {directory}")
    if output.is_dir():
        raise CommandError(f"{output} is a directory")
    if not os.access(directory if _is_replaced(output) else output, os.W_OK):
        raise CommandError(f"{output} cannot be written: you may not write to {directory}")
    return output


def put_aside(output: Path) -> None:
    """Rename the results of an earlier run, so that nobody takes them for those of this one."""
    target = output.resolve()
    if target.is_file():
        older = target.with_name(target.name + ".old")
        target.replace(older)
        note(f"{output} was there: it is {older.name} now")


def write_results(client: Client, batch_id: str, output: Path) -> int:
    """Returns how many were written."""
    try:
        with client.lines(f"/v1/session-batches/{batch_id}/results") as results, _replacing(output) as file:
            write = _csv_writer(file) if output.suffix == ".csv" else _json_writer(file)
            return _count(write, results)
    except OSError as error:
        raise CommandError(f"{output} could not be written: {error.strerror or error}") from error


def print_results(client: Client, batch_id: str) -> None:
    with client.lines(f"/v1/session-batches/{batch_id}/results") as results:
        _count(lambda result: print(json_line(result)), results)


def _count(write: Callable[[Any], object], results: Any) -> int:
    count = 0
    for result in results:
        write(result)
        count += 1
    return count


def _json_writer(file: IO[str]) -> Callable[[Any], object]:
    return lambda result: file.write(json_line(result) + "\n")


def _csv_writer(file: IO[str]) -> Callable[[Any], object]:
    """The first result says whether the batch's are verified; every batch has one."""
    writer: csv.DictWriter[str] | None = None

    def write(result: Any) -> None:
        nonlocal writer
        if writer is None:
            writer = csv.DictWriter(file, _FIELDS + (_VERIFIED if "verification" in result else []), extrasaction="ignore")
            writer.writeheader()
        told = result.get("verification") or {}
        metadata = json.dumps(result["metadata"], ensure_ascii=False)
        writer.writerow({**result, **result["usage"], **{name: told.get(name) for name in _VERIFIED}, "metadata": metadata})

    return write


def _is_replaced(output: Path) -> bool:
    """Devices and pipes are written to; they cannot be renamed over."""
    return output.is_file() or not output.exists()


@contextmanager
def _replacing(output: Path) -> Generator[IO[str]]:
    """A file that takes the target's place when all of it is written, and leaves nothing behind when it is not."""
    if not _is_replaced(output):
        with output.open("w", newline="", encoding="utf-8") as file:
            yield file
        return
    target = output.resolve()  # a link stays a link
    partial = target.with_name(f".{target.name}.{secrets.token_hex(4)}.partial")
    try:
        with partial.open("w", newline="", encoding="utf-8") as file:
            yield file
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)
