"""Facts as they come in: one, a list, or rows of a CSV file. Everything is checked before anything is loaded.

A CSV file has a header with `text`, and with `polarity` (true where it is empty), `source` and `date` if it likes.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import date
from itertools import islice
from typing import IO, Any, cast

import orjson
from fastapi import Request
from starlette.datastructures import UploadFile

from passel.core.errors import FieldError, Invalid, PasselError, Unprocessable
from passel.core.text import require_storable
from passel.core.verification.facts import LONGEST_TEXT, NewFact
from passel.faces.check.csv_records import Unreadable, csv_records
from passel.faces.check.requests import require_json

MOST_IN_LIST = 1000
_AT_ONCE = 256
_SHOWN_PROBLEMS = 20
_COLUMNS = ("text", "polarity", "source", "date")
_POLARITIES = {"": True, "true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


def is_upload(content_type: str) -> bool:
    return content_type.lower().startswith("multipart/form-data")


async def read_facts(request: Request) -> tuple[list[NewFact], bool]:
    """The facts of a JSON body, and whether it was a list. Raises `Invalid` and `Unprocessable`."""
    require_json(request)
    try:
        body = orjson.loads(await request.body())
    except orjson.JSONDecodeError as error:
        raise Invalid(f"Request body is not valid JSON: {error}") from error
    if not isinstance(body, list):
        return [_fact(body, "")], False
    members = cast(list[Any], body)
    if not 1 <= len(members) <= MOST_IN_LIST:
        raise Unprocessable(f"A list has 1 to {MOST_IN_LIST} facts: load more of them as a CSV file", field="facts")
    return _all_or_problems((member, f"facts[{n}].") for n, member in enumerate(members)), True


class CsvUpload:
    """The one CSV file of a multipart request, which the server keeps on disk and closes with the request."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    @classmethod
    async def of(cls, request: Request) -> "CsvUpload":
        """Raises `Unprocessable` where there is no such part."""
        parts = (await request.form(max_files=2)).getlist("file")
        if len(parts) != 1 or not isinstance(parts[0], UploadFile):
            raise Unprocessable("Send one CSV file as the form field file", field="file")
        return cls(parts[0].file)

    async def check(self) -> int:
        """Read it from end to end, and say how many facts there are. Raises `Unprocessable` with the first wrong rows."""
        return await asyncio.to_thread(self._check)

    def _check(self) -> int:
        problems: list[PasselError] = []
        count = 0
        for n, row in enumerate(self._rows(), 1):
            count = n
            try:
                _fact(row, f"row {n}, ")
            except PasselError as error:
                problems.append(error)
            if len(problems) >= _SHOWN_PROBLEMS:
                break
        _raise_all(problems)
        if not count:
            raise Unprocessable("The file holds no facts", field="file")
        return count

    async def groups(self) -> AsyncIterator[Sequence[NewFact]]:
        """Facts of a file that was checked."""
        rows = self._rows()
        while group := await asyncio.to_thread(lambda: [_fact(row, "") for row in islice(rows, _AT_ONCE)]):
            yield group

    def _rows(self) -> Iterator[dict[str, Any]]:
        """The rows, blank lines left out. Raises `Unprocessable` for what is no such file."""
        self._file.seek(0)
        records = csv_records(self._file)
        try:
            names = [name.strip().lower() for name in next(records, (1, []))[1]]
            _check_header(names)
            for line, row in records:
                if len(row) > len(names):
                    raise Unprocessable(f"Line {line} has {len(row)} columns, and the header {len(names)}", field="file")
                if any(cell.strip() for cell in row):
                    yield dict(zip(names, [cell or None for cell in row], strict=False))
        except Unreadable as error:
            raise Unprocessable(str(error), field="file") from error


def _check_header(names: list[str]) -> None:
    if "text" not in names:
        raise Unprocessable(f"The first line must name the columns: text, and any of {', '.join(_COLUMNS[1:])}", field="file")
    for name in names:
        if name not in _COLUMNS or names.count(name) > 1:
            raise Unprocessable(f"The column {name!r} is not one of {', '.join(_COLUMNS)}, or stands twice", field="file")


def _all_or_problems(members: Iterator[tuple[Any, str]]) -> list[NewFact]:
    facts: list[NewFact] = []
    problems: list[PasselError] = []
    for member, place in members:
        try:
            facts.append(_fact(member, place))
        except PasselError as error:
            problems.append(error)
    _raise_all(problems)
    return facts


def _raise_all(problems: list[PasselError]) -> None:
    """As one, which says the first."""
    if problems:
        raise Unprocessable(problems[0].message, errors=[one for problem in problems[:_SHOWN_PROBLEMS] for one in problem.errors])


def _fact(given: Any, place: str) -> NewFact:
    if not isinstance(given, dict):
        raise _wrong(place.rstrip(".") or "body", "must be an object with a text")
    raw = cast(dict[str, Any], given)
    text = _string(raw.get("text"), f"{place}text", LONGEST_TEXT)
    if text is None:
        raise _wrong(f"{place}text", "Required field is missing")
    source = _string(raw.get("source"), f"{place}source", LONGEST_TEXT)
    return NewFact(text, _polarity(raw.get("polarity"), place), source, _date(raw.get("date"), place))


def _string(value: Any, field: str, longest: int) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str):
        raise _wrong(field, "must be a string")
    if len(value) > longest:
        raise _wrong(field, f"must have at most {longest} characters")
    return require_storable(value.strip(), field) or None


def _polarity(value: Any, place: str) -> bool:
    if value is None or isinstance(value, bool):
        return value is not False
    known = _POLARITIES.get(value.strip().lower()) if isinstance(value, str) else None
    if known is None:
        raise _wrong(f"{place}polarity", "must be true or false")
    return known


def _date(value: Any, place: str) -> date | None:
    if value is None or value == "":
        return None
    try:
        return date.fromisoformat(value.strip())
    except (ValueError, AttributeError, TypeError):
        raise _wrong(f"{place}date", "must be a day such as 2026-11-30") from None


def _wrong(field: str, message: str) -> Unprocessable:
    return Unprocessable(f"{field}: {message}", errors=[FieldError(field, message)])
