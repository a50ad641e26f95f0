"""Files of claims as records: CSV, JSON and JSONL, read part by part (section 5 and D14, D18, D39 of the `check` contract)."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from itertools import islice
from typing import IO, Any, cast

import orjson

from passel.core.errors import TooLarge
from passel.core.text import is_storable
from passel.faces.check.csv_records import Unreadable, csv_records, lines
from passel.faces.kit.item_stream import ItemsInObject, NotJson, StreamLimits
from passel.services.verification.items import ItemRequest
from passel.services.verification.uploads import Record, Unusable

CSV, JSON, JSONL = "csv", "json", "jsonl"

_BY_EXTENSION = {".csv": CSV, ".json": JSON, ".jsonl": JSONL, ".ndjson": JSONL}
_BY_TYPE = {"text/csv": CSV, "application/csv": CSV, "application/json": JSON, "application/x-ndjson": JSONL, "application/jsonl": JSONL}
_LONGEST_LINE = 4 * 1024 * 1024
_DEEPEST = 32
_LARGEST_CONTEXT = 16 * 1024
_AT_ONCE = 200
_PART = 256 * 1024


def format_of(filename: str, content_type: str | None, file: IO[bytes]) -> str:
    """By extension, then by content type, then by how it begins. Raises `Unusable`."""
    name = filename.lower()
    for extension, format in _BY_EXTENSION.items():
        if name.endswith(extension):
            return format
    kind = (content_type or "").partition(";")[0].strip().lower()
    if kind in _BY_TYPE:
        return _BY_TYPE[kind]
    begins = file.read(4096).removeprefix(b"\xef\xbb\xbf").lstrip()
    file.seek(0)
    if begins.startswith(b"["):
        return JSON
    if begins.startswith(b"{"):
        return JSON if b'"items"' in begins.split(b"\n", 1)[0] or b"\n{" not in begins else JSONL
    if b"content" in begins.split(b"\n", 1)[0].lower():
        return CSV
    raise _unusable("Unsupported file format")


def records(file: IO[bytes], format: str, size: int) -> AsyncIterator[Sequence[Record]]:
    """In groups. Raises `Unusable` as it comes to what makes the whole file so."""
    if format == JSON:
        return _of_json(file, size)
    return _in_groups(_of_csv(file) if format == CSV else _of_jsonl(file))


async def _in_groups(found: Iterator[Record]) -> AsyncIterator[Sequence[Record]]:
    try:
        while group := await asyncio.to_thread(lambda: list(islice(found, _AT_ONCE))):
            yield group
    except Unreadable as error:
        raise _unusable(str(error)) from None


def _unusable(error: str, row: int = 1) -> Unusable:
    return Unusable([{"row": row, "error": error}])


# ---- CSV ----------------------------------------------------------------------------------------------------------


def _of_csv(file: IO[bytes]) -> Iterator[Record]:
    found = csv_records(file)
    columns = _columns(next((cells for _, cells in found if any(cell.strip() for cell in cells)), []))
    row = 0
    for line, cells in found:
        if not cells or (len(cells) == 1 and not cells[0].strip()):
            continue  # a blank line
        row += 1
        yield _record(row, line, cells, columns)


def _columns(header: Sequence[str]) -> list[str]:
    """What each column is: `content`, `key`, `key_`, `context.NAME`, or nothing. Raises `Unusable`."""
    columns = [_column(cell.strip()) for cell in header]
    for name, count in Counter(columns).items():
        if name and count > 1:
            raise _unusable(f"Duplicate column: {header[columns.index(name)].strip()}")
    if "content" not in columns:
        raise _unusable("Missing required column: content")
    return columns


def _column(name: str) -> str:
    lower = name.lower()
    if lower == "content":
        return "content"
    if lower in ("idempotencykey", "idempotency_key"):
        return "key" if lower == "idempotencykey" else "key_"
    if lower.startswith("context.") and len(name) > len("context."):
        return "context." + name[len("context.") :]
    return ""


def _record(row: int, line: int, cells: Sequence[str], columns: Sequence[str]) -> Record:
    if len(cells) > len(columns):
        return Record(row, None, "Too many columns", line)
    told = {name: cell for name, cell in zip(columns, cells, strict=False) if name and cell}
    context = {name.removeprefix("context."): cell for name, cell in told.items() if name.startswith("context.")}
    return _item(row, told.get("content"), context or None, told.get("key") or told.get("key_"), line)


# ---- JSON ---------------------------------------------------------------------------------------------------------


def _of_jsonl(file: IO[bytes]) -> Iterator[Record]:
    row = 0
    for line, text in enumerate(lines(file, _LONGEST_LINE), 1):
        if not text.strip():
            continue
        row += 1
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            yield Record(row, None, "The line is not valid JSON", line)
            continue
        yield _of_value(row, value, line)


async def _of_json(file: IO[bytes], size: int) -> AsyncIterator[Sequence[Record]]:
    limits = StreamLimits(size + 1, _LONGEST_LINE, 0)
    reader, row = ItemsInObject(_parts(file), "items", limits, or_list=True), 0
    try:
        async for group in reader.groups():
            yield [_of_value(row + n, value, None) for n, value in enumerate(group, 1)]
            row += len(group)
    except NotJson as error:
        raise _unusable(f"The JSON cannot be read: {error.message.partition(': ')[2]}", row + 1) from None
    except TooLarge:
        raise _unusable(f"An item is larger than {_LONGEST_LINE} bytes", row + 1) from None
    if not reader.found:
        raise _unusable("Missing required field: items")


async def _parts(file: IO[bytes]) -> AsyncIterator[bytes]:
    first = True
    while part := await asyncio.to_thread(file.read, _PART):
        yield part.removeprefix(b"\xef\xbb\xbf") if first else part
        first = False


def _of_value(row: int, value: Any, line: int | None) -> Record:
    if not isinstance(value, dict):
        return Record(row, None, "An item must be an object", line)
    fields = cast(dict[str, Any], value)
    content, key = fields.get("content"), fields.get("idempotencyKey")
    if content is not None and not isinstance(content, str):
        return Record(row, None, "Content must be a string", line)
    if key is not None and not isinstance(key, str):
        return Record(row, None, "idempotencyKey must be a string", line)
    return _item(row, content, fields.get("context"), key, line)


def _item(row: int, content: str | None, context: Any, key: str | None, line: int | None) -> Record:
    """What the database could not keep, or nobody could read, is left out here."""
    if not is_storable(content or "") or not is_storable(key or ""):
        return Record(row, None, "The text holds characters that cannot be stored", line)
    if isinstance(context, dict):
        if _depth(context) > _DEEPEST:
            return Record(row, None, f"Context is nested deeper than {_DEEPEST}", line)
        try:
            told = orjson.dumps(context)
        except orjson.JSONEncodeError:
            return Record(row, None, "The context holds characters that cannot be stored, or numbers of more than 64 bits", line)
        if len(told) > _LARGEST_CONTEXT:
            return Record(row, None, f"Context is larger than {_LARGEST_CONTEXT} bytes", line)
        if b"\\u0000" in told:
            return Record(row, None, "The context holds characters that cannot be stored", line)
    return Record(row, ItemRequest(content, context, key, row), None, line)


def _depth(value: Any) -> int:
    """How deep lists and objects lie in each other, as far as the deepest that is allowed."""
    level, depth = [value], 0
    while level and depth <= _DEEPEST:
        inner: list[Any] = []
        for one in level:
            if isinstance(one, dict):
                inner += cast(dict[str, Any], one).values()
            elif isinstance(one, list):
                inner += cast(list[Any], one)
        depth += any(isinstance(one, dict | list) for one in level)
        level = inner
    return depth
