"""A file of tasks: JSON lines, or CSV with a column `prompt` or `task`. Every complaint names the file and the line."""

import csv
import io
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from passel.cli.client import Client
from passel.cli.output import CommandError
from passel.core.limits import Limits

_KEY_CHARACTERS, _VALUE_CHARACTERS = 64, 512  # of metadata, as the server has them
_FIELDS = ("task", "prompt", "content", "metadata", "llm_id", "version_id")
_COLUMNS = ("task", "prompt", "llm_id", "version_id")
_PLACE = re.compile(r"items\[(\d+)\][.:]?\s?")

Block = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Task:
    """`where` is the file and the line. Blocks of `content` may still name a `path`, until `with_uploads`."""

    where: str
    name: str
    content: list[Block]
    metadata: dict[str, str]
    llm_id: str | None
    version_id: str | None


def read_tasks(path: Path) -> list[Task]:
    if not path.is_file():
        raise CommandError(f"there is no file {path}")
    text = _decode(path)
    entries = _csv_entries(text, path) if path.suffix.lower() in (".csv", ".tsv") else _json_entries(text, path)
    tasks = [_task(entry, where, number, path.parent) for number, (where, entry) in enumerate(entries, start=1)]
    if not tasks:
        raise CommandError(f"{path} holds no tasks")
    return tasks


def _decode(path: Path) -> str:
    data = path.read_bytes()
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise CommandError(f"{path} is UTF-16: save it as UTF-8")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise CommandError(
            f"{path}:{line}: the byte 0x{error.object[error.start]:02x} is not UTF-8: save the file as UTF-8, or convert it:  "
            f"iconv -f latin1 -t utf-8 {path} > {path.with_stem(path.stem + '-utf8')}"
        ) from error


def _json_entries(text: str, path: Path) -> Iterator[tuple[str, Any]]:
    # not `splitlines`, which also breaks at characters that may stand inside a JSON string
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            where = f"{path}:{number}"
            try:
                yield where, json.loads(line)
            except (ValueError, RecursionError) as error:
                raise CommandError(f"{where}: not JSON: {error}") from error


def _csv_entries(text: str, path: Path) -> Iterator[tuple[str, Any]]:
    """Rows as tasks. Other columns than ours become metadata; without `prompt` the column `task` is the prompt."""
    header = text.split("\n", 1)[0]
    delimiter = max(",;\t", key=header.count)
    csv.field_size_limit(64 * 1024 * 1024)
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    columns = [name.strip() for name in reader.fieldnames or []]
    reader.fieldnames = columns
    prompt = next((name for name in ("prompt", "task") if name in columns), None)
    if prompt is None or len(set(columns)) < len(columns):
        raise CommandError(
            f"{path}:1: the first line names the columns, each once, and one must be `prompt` (with `task` as the name, if you like) or "
            f"`task`; these are {', '.join(columns) or 'none'}"
        )
    where = f"{path}:{reader.line_num + 1}"
    try:
        for row in reader:
            yield where, _csv_entry(row, where, prompt)
            where = f"{path}:{reader.line_num + 1}"
    except csv.Error as error:
        raise CommandError(f"{where}: not CSV: {error}") from error


def _csv_entry(row: dict[Any, Any], where: str, prompt: str) -> dict[str, Any]:
    if None in row or None in row.values():
        raise CommandError(f"{where}: another number of cells than the first line has: put text with commas in double quotes")
    if not row[prompt].strip():
        raise CommandError(f"{where}: the cell of `{prompt}` is empty")
    fields = {name: row[name] for name in _COLUMNS if name in row and row[name] != ""}
    metadata = {name: value for name, value in row.items() if name not in _COLUMNS and value != ""}
    if prompt == "task":
        fields["prompt"] = fields.pop("task")
    return {**fields, "metadata": metadata}


def _task(entry: Any, where: str, number: int, directory: Path) -> Task:
    if not isinstance(entry, dict):
        raise CommandError(f'{where}: a task is an object with "prompt" (a text) or "content" (a list of blocks)')
    fields = cast(dict[str, Any], entry)
    unknown = sorted(set(fields) - set(_FIELDS))
    if unknown:
        raise CommandError(f"{where}: unknown field {unknown[0]}; known are {', '.join(_FIELDS)}")
    metadata = _metadata(fields.get("metadata"), where)
    name = metadata.pop("task", None) or str(fields.get("task") or f"task-{number}")
    for field in ("llm_id", "version_id"):
        if not isinstance(fields.get(field), str | None):
            raise CommandError(f"{where}: {field} must be a text")
    return Task(where, name, _content(fields, where, directory), metadata, fields.get("llm_id") or None, fields.get("version_id") or None)


def _metadata(value: Any, where: str) -> dict[str, str]:
    if value is not None and not isinstance(value, dict):
        raise CommandError(f"{where}: metadata must be an object of texts")
    for key, entry in cast(dict[str, Any], value or {}).items():
        if not isinstance(entry, str):
            shown = json.dumps(entry)
            raise CommandError(f"{where}: metadata.{key} is {shown}, and metadata holds texts only: write {json.dumps(shown)}")
        if not 0 < len(key) <= _KEY_CHARACTERS or len(entry) > _VALUE_CHARACTERS:
            limits = f"keys may have {_KEY_CHARACTERS} characters and values {_VALUE_CHARACTERS}"
            raise CommandError(f"{where}: metadata.{key[:100]} is too long: {limits}")
    return dict(value or {})


def _content(fields: dict[str, Any], where: str, directory: Path) -> list[Block]:
    prompt, content = fields.get("prompt"), fields.get("content")
    if (prompt is None) == (content is None):
        raise CommandError(f'{where}: a task has either "prompt" (a text) or "content" (a list of blocks)')
    if prompt is not None:
        if not isinstance(prompt, str):
            raise CommandError(f"{where}: prompt must be a text")
        return [{"type": "text", "text": prompt}]
    if not isinstance(content, list) or not content:
        raise CommandError(f"{where}: content must be a list of blocks, with at least one")
    return [_block(block, f"{where}: content[{at}]", directory) for at, block in enumerate(cast(list[Any], content))]


def _block(block: Any, where: str, directory: Path) -> Block:
    if not isinstance(block, dict):
        raise CommandError(f'{where} must be an object such as {{"type": "text", "text": "..."}}')
    fields = cast(Block, block)
    if "path" not in fields:
        return fields
    if fields.get("type") not in ("image", "file") or set(fields) != {"type", "path"} or not isinstance(fields["path"], str):
        raise CommandError(f'{where}: a block with a path is {{"type": "image", "path": "..."}}, or "file", and nothing else')
    path = directory / fields["path"]
    if not path.is_file():
        raise CommandError(f"{where}: there is no file {path} (a path begins at the directory of the tasks file)")
    return {"type": fields["type"], "path": path.resolve()}


def check_names(tasks: list[Task], llms: list[str]) -> None:
    """Names tell results apart: what would be two results of one name and option is refused."""
    seen: dict[tuple[str, str | None], Task] = {}
    for task in tasks:
        for llm in llms or [task.llm_id]:
            first = seen.setdefault((task.name, llm), task)
            if first is not task:
                raise CommandError(
                    f"{task.where}: the task {json.dumps(task.name, ensure_ascii=False)} stands in {first.where} already: give one of them another name"
                )


def with_uploads(client: Client, tasks: list[Task]) -> list[Task]:
    """The tasks with every named file uploaded, each file once."""
    paths = list(dict.fromkeys(block["path"] for task in tasks for block in task.content if "path" in block))
    if not paths:
        return tasks
    ids = {path: client.post_file(path)["id"] for path in paths}

    def uploaded(block: Block) -> Block:
        return {"type": block["type"], "file_id": ids[block["path"]]} if "path" in block else block

    return [replace(task, content=[uploaded(block) for block in task.content]) for task in tasks]


def _items(agent_id: str, tasks: list[Task], llms: list[str]) -> Iterator[bytes]:
    """Tasks x options, as the lines that are sent."""
    for task in tasks:
        for llm in llms or [task.llm_id]:
            yield _item(agent_id, task, llm)


def _item(agent_id: str, task: Task, llm: str | None) -> bytes:
    item: dict[str, Any] = {
        "agent_id": agent_id,
        "metadata": {"task": task.name, **task.metadata},
        "message": {"content": task.content},
        "llm_id": llm,
        "version_id": task.version_id,
    }
    try:
        line = json.dumps({key: value for key, value in item.items() if value is not None}, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise CommandError(f"{task.where}: holds half of a surrogate pair; remove it") from error
    longest = Limits().item_bytes
    if len(line) > longest:
        raise CommandError(
            f'{task.where}: the task has {len(line)} bytes, and at most {longest} may be sent: put long text into a file and name it, {{"type": "file", "path": "..."}}'
        )
    return line + b"\n"


def check_lines(agent_id: str, tasks: list[Task], llms: list[str]) -> None:
    """Whether every task can be sent: known before the first file is uploaded."""
    for task in tasks:
        _item(agent_id, replace(task, content=[block for block in task.content if "path" not in block]), (llms or [task.llm_id])[0])


def submit(
    client: Client,
    agent_id: str,
    tasks: list[Task],
    llms: list[str],
    key: str,
    max_concurrency: int | None,
    *,
    complete_missing: bool = False,
    verify: dict[str, Any] | None = None,
) -> Any:
    """One batch of tasks x options. The key makes a repeat after a broken connection harmless. `complete_missing` runs
    what of the key's batch never ran or failed, and adds the tasks that stand behind its last. `verify` says how answers are
    verified."""
    try:
        return client.post_lines(
            "/v1/session-batches",
            lambda: _items(agent_id, tasks, llms),
            idempotency_key=key,
            max_concurrency=max_concurrency,
            mode="complete_missing" if complete_missing else None,
            verify=json.dumps(verify) if verify else None,
        )
    except CommandError as error:
        raise type(error)(_placed(str(error), [task for task in tasks for _ in llms or [None]])) from error


def _placed(message: str, sent: list[Task]) -> str:
    """`items[7].metadata` of the server's answer as the line that it came from."""

    def place(found: re.Match[str]) -> str:
        at = int(found[1])
        return f"{sent[at].where}: " if at < len(sent) else found[0]

    return _PLACE.sub(place, message)


def wanted_options(tasks: Iterable[Task], llms: list[str]) -> dict[str | None, dict[str, str]]:
    """By version (None is the active one): each LLM option that is asked for, and where."""
    wanted: dict[str | None, dict[str, str]] = {}
    for task in tasks:
        asked = dict.fromkeys(llms, "--llm") or ({task.llm_id: f"{task.where}: llm_id"} if task.llm_id else {})
        for llm, where in asked.items():
            wanted.setdefault(task.version_id, {}).setdefault(llm, where)
    return wanted
