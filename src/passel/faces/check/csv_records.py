"""CSV files of strangers, record by record, and lines of text: no file takes more memory than one of them may have.

A record may run over any number of lines, and hold a million fields; so it is bounded as a whole, while it is read.
"""

import csv
from collections.abc import Iterator
from typing import IO

_LARGEST_FIELD = 1024 * 1024
_LONGEST_RECORD = 2 * 1024 * 1024  # bytes

csv.field_size_limit(_LARGEST_FIELD)  # for the whole process


class Unreadable(ValueError):
    """A file that cannot be read any further; the message says why."""


def lines(file: IO[bytes], longest: int) -> Iterator[str]:
    """Of text in UTF-8, with or without a mark of byte order, each of at most `longest` bytes. Raises `Unreadable`."""
    first = True
    while line := file.readline(longest + 1):
        if len(line) > longest:
            raise Unreadable(f"A line is longer than {longest} bytes")
        if b"\0" in line:
            raise Unreadable("The file holds NUL characters")
        if first:
            line, first = line.removeprefix(b"\xef\xbb\xbf"), False
        try:
            yield line.decode("utf-8")
        except UnicodeDecodeError:
            raise Unreadable("The file is not UTF-8") from None


def csv_records(file: IO[bytes]) -> Iterator[tuple[int, list[str]]]:
    """The cells of each record, and the line at which it begins. A blank line is a record without cells. Raises `Unreadable`."""
    taken, begins = 0, 1

    def bounded() -> Iterator[str]:
        nonlocal taken
        for line in lines(file, _LONGEST_RECORD):
            taken += len(line)
            if taken > _LONGEST_RECORD:
                raise Unreadable(f"The record at line {begins} is longer than {_LONGEST_RECORD} bytes")
            yield line

    reader = csv.reader(bounded(), strict=True)
    try:
        for cells in reader:
            yield begins, cells
            taken, begins = 0, reader.line_num + 1
    except csv.Error as error:
        raise Unreadable(f"The CSV cannot be read at line {reader.line_num}: {error}") from None
