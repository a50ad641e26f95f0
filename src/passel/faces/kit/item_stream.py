"""Items of a large body, read as it comes in: a JSON object with a list in it, or one JSON object a line.

A JSON body is decoded value by value in threads: a body of 60 MB as one value would hold the interpreter for most of a
second, and every other request with it. What has been read is forgotten, so its length costs no memory.
"""

import asyncio
import codecs
import json
from collections.abc import AsyncIterable, AsyncIterator
from dataclasses import dataclass
from typing import Any

from passel.core.errors import TooLarge, Unprocessable

_AT_ONCE = 64
_WHITE = " \t\n\r"


@dataclass(frozen=True, slots=True)
class StreamLimits:
    """`total` bytes of the body, `item` bytes of one item, `items` of them."""

    total: int
    item: int
    items: int


async def read_lines(body: AsyncIterable[bytes], limits: StreamLimits) -> AsyncIterator[list[bytes]]:
    """Complete lines of an NDJSON body, in groups as they come in; blank ones are dropped."""
    rest: list[bytes] = []
    waiting, total, count = 0, 0, 0
    async for chunk in body:
        total += len(chunk)
        _check_total(total, limits)
        *lines, last = chunk.split(b"\n")
        if lines:
            lines[0] = b"".join([*rest, lines[0]])
            rest, waiting = [], 0
        rest.append(last)
        waiting += len(last)
        kept = [line for line in lines if line.strip()]
        for n, size in enumerate([*map(len, kept), waiting]):
            _check_item(size, count + n, limits)
        count += len(kept)
        _check_count(count, limits)
        if kept:
            yield kept
    left = b"".join(rest)
    if left.strip():
        _check_count(count + 1, limits)
        yield [left]


def _check_total(total: int, limits: StreamLimits) -> None:
    if total > limits.total:
        raise TooLarge(f"the body may have {limits.total} bytes")


def _check_item(size: int, index: int, limits: StreamLimits) -> None:
    if size > limits.item:
        raise TooLarge(
            f"items[{index}] has more than {limits.item} bytes, which is the most that an item may have", field=f"items[{index}]"
        )


def _check_count(count: int, limits: StreamLimits) -> None:
    if count > limits.items:
        raise TooLarge(f"a stream may have {limits.items} items")


NO_OBJECT = "it is something else"


class NotJson(Unprocessable):
    """The body is not JSON, or not the object that it should be."""


class ItemsInObject:
    """The members of one list of a JSON object, in groups; its other fields are in `fields` at the end. With `or_list` the body
    may be the list alone.

    Raises `NotJson` for what is no such object, `TooLarge` past the limits.
    """

    def __init__(self, body: AsyncIterable[bytes], name: str, limits: StreamLimits, *, or_list: bool = False) -> None:
        self._body, self._name, self._limits, self._or_list = body, name, limits, or_list
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._scan = json.JSONDecoder(strict=True).raw_decode
        self._text, self._at = "", 0
        self._more = True
        self._total = 0
        self._iterator = aiter(body)
        self.fields: dict[str, Any] = {}
        self.found = False
        self.count = 0

    async def groups(self) -> AsyncIterator[list[Any]]:
        """Groups of members, each decoded."""
        if self._or_list and await self._peek() == "[":
            self.found = True
            async for group in self._members():
                yield group
        else:
            async for group in self._of_object():
                yield group
        if await self._peek():
            raise _not_json("there is something behind it")

    async def _of_object(self) -> AsyncIterator[list[Any]]:
        if (begins := await self._peek()) and begins in '["-0123456789tfn':
            raise _not_json(NO_OBJECT)
        await self._expect("{")
        if await self._peek() == "}":
            await self._expect("}")
        else:
            while True:
                name = await self._value()
                if not isinstance(name, str):
                    raise _not_json("a field's name must be a string")
                await self._expect(":")
                if name == self._name and await self._peek() == "[":
                    if self.found:
                        raise Unprocessable(f"{self._name} stands twice in the body", field=self._name)
                    self.found = True
                    async for group in self._members():
                        yield group
                else:
                    self.fields[name] = await self._value()
                if await self._one_of(",}") == "}":
                    break

    async def _members(self) -> AsyncIterator[list[Any]]:
        await self._expect("[")
        if await self._peek() == "]":
            await self._expect("]")
            return
        ended = False
        while not ended:
            group, ended = await self._group()
            self.count += len(group)
            yield group

    async def _group(self) -> tuple[list[Any], bool]:
        """Some members, and whether the list has ended."""
        group, ended = await asyncio.to_thread(self._scan_members)
        if not group and not ended:
            group = [await self._value(self.count)]
            ended = await self._one_of(",]") == "]"
        return group, ended

    def _scan_members(self) -> tuple[list[Any], bool]:
        """Whole members that are here already, each with the comma or bracket behind it."""
        group: list[Any] = []
        while len(group) < _AT_ONCE:
            try:
                start = self._skip(self._at)
                value, end = self._scan(self._text, start)
            except (ValueError, RecursionError):
                return group, False
            _check_item(end - start, self.count + len(group), self._limits)
            end = self._skip(end)
            mark = self._text[end : end + 1]
            if mark not in (",", "]") or not mark:
                return group, False
            group.append(value)
            self._at = end + 1
            if mark == "]":
                return group, True
        return group, False

    async def _value(self, index: int | None = None) -> Any:
        """The next value, for which more of the body is read as long as it is not whole."""
        while True:
            await self._peek()
            try:
                value, end = await asyncio.to_thread(self._scan, self._text, self._at)
                self._check_size(end - self._at, index)
                if end < len(self._text) or not self._more:  # else a number may go on
                    self._at = end
                    return value
            except RecursionError as error:
                raise _not_json("it is nested too deep") from error
            except ValueError as error:
                if not self._more:
                    raise _not_json(f"{error}" if index is None else f"items[{index}]: {error}") from error
            self._check_size(len(self._text) - self._at, index)
            await self._read(max(65536, len(self._text) - self._at))

    def _check_size(self, size: int, index: int | None) -> None:
        """Of a member, or of anything beside them."""
        if index is not None:
            _check_item(size, index, self._limits)
        elif size > self._limits.item:
            raise TooLarge(f"a field beside {self._name} has more than {self._limits.item} bytes", field="body")

    def _skip(self, at: int) -> int:
        while at < len(self._text) and self._text[at] in _WHITE:
            at += 1
        return at

    async def _peek(self) -> str:
        """The next character that is no white space; empty at the end."""
        while True:
            self._at = self._skip(self._at)
            if self._at < len(self._text) or not self._more:
                return self._text[self._at : self._at + 1]
            await self._read(1)

    async def _expect(self, mark: str) -> None:
        await self._one_of(mark)

    async def _one_of(self, marks: str) -> str:
        found = await self._peek()
        if not found or found not in marks:
            raise _not_json(f"expected {' or '.join(marks)}, found {found!r}" if found else "it ends in the middle")
        self._at += 1
        return found

    async def _read(self, least: int) -> None:
        """At least so many bytes more, if there are; what has been scanned is dropped."""
        parts, got = [self._text[self._at :]], 0
        while self._more and got < least:
            try:
                chunk = await anext(self._iterator)
            except StopAsyncIteration:
                self._more = False
                chunk = b""
            self._total += len(chunk)
            _check_total(self._total, self._limits)
            got += len(chunk)
            try:
                parts.append(self._decoder.decode(chunk, final=not self._more))
            except UnicodeDecodeError as error:
                raise _not_json("it is not UTF-8") from error
        self._text, self._at = "".join(parts), 0


def _not_json(what: str) -> NotJson:
    return NotJson(f"the body is not a valid JSON object: {what}", field="body")
