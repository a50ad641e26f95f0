"""Web pages and PDFs as text, read in a process of its own.

A page of 2 MB that is made for it keeps its reader busy for 20 seconds, a PDF of less for minutes, and a thread of ours would hold up
the event loop as long. The process is started for the first page, kept, and killed over one that takes too long. On its pipes a page
and its text each come after their length, in four bytes; a first byte says whether it is the text, or why there is none.
"""

import asyncio
import importlib.util
import io
import resource
import sys
from collections.abc import Callable
from types import TracebackType
from typing import Any, Literal, Self

_LENGTH = 4
_MEMORY = 1024 * 1024 * 1024
_LONGEST_TEXT = 8 * 1024 * 1024  # characters of a PDF

Form = Literal["text", "markdown", "pdf"]


class Unreadable(Exception):
    """A page that nothing can be made of; the message says why."""


def lacking(form: Form = "text") -> str | None:
    """What keeps this machine from reading HTML, or PDFs; None where nothing does."""
    if form == "pdf":
        return None if importlib.util.find_spec("pypdf") else "reading PDFs needs pypdf: pip install 'passel[browser]'"
    return None if importlib.util.find_spec("trafilatura") else "reading HTML needs trafilatura: pip install 'passel[verify]'"


class HtmlReader:
    """Reads one page at a time, each in at most so many seconds. What it makes of one is its text, or Markdown; with the form `pdf` the
    text of a PDF, page by page."""

    def __init__(self, seconds: float, form: Form = "text") -> None:
        self._seconds = seconds
        self._form: Form = form
        self._process: asyncio.subprocess.Process | None = None
        self._reading = asyncio.Lock()

    async def text(self, page: bytes) -> str:
        """What people read of a page, without what stands around it; empty where there is nothing. Raises `Unreadable`."""
        if (lack := lacking(self._form)) is not None:
            raise Unreadable(lack)
        async with self._reading:
            process = self._process or await self._start()
            self._process = None  # whoever breaks off in the middle leaves an answer behind that nobody may take for his own
            try:
                async with asyncio.timeout(self._seconds):
                    read, text = await _ask(process, page)
            except BaseException as error:
                await _end(process)
                if isinstance(error, TimeoutError):
                    raise Unreadable(f"the page takes longer than {self._seconds:g} seconds to read") from error
                if isinstance(error, OSError | asyncio.IncompleteReadError):
                    raise Unreadable("the process that reads pages died of it") from error
                raise
            self._process = process
        if not read:
            raise Unreadable(text)
        return text

    async def _start(self) -> asyncio.subprocess.Process:
        pipe = asyncio.subprocess.PIPE
        return await asyncio.create_subprocess_exec(sys.executable, "-m", "passel.html", self._form, stdin=pipe, stdout=pipe)

    async def close(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            await _end(process)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.close()


async def _ask(process: asyncio.subprocess.Process, page: bytes) -> tuple[bool, str]:
    """Whether it could be read, and its text or why not."""
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write(len(page).to_bytes(_LENGTH) + page)
    await process.stdin.drain()
    length = int.from_bytes(await process.stdout.readexactly(_LENGTH))
    told = await process.stdout.readexactly(length)
    return told[:1] == b"+", told[1:].decode("utf-8", "replace")


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.kill()
    await process.wait()


def _of_html(form: str) -> Callable[[bytes], str]:
    import trafilatura

    markdown: dict[str, Any] = (
        {"output_format": "markdown", "include_links": True, "include_formatting": True} if form == "markdown" else {}
    )

    def text(page: bytes) -> str:
        return trafilatura.extract(page, include_comments=False, include_tables=True, fast=True, **markdown) or ""

    return text


def _of_pdf() -> Callable[[bytes], str]:
    import logging

    import pypdf

    logging.getLogger("pypdf").setLevel(logging.CRITICAL)  # what it finds odd in somebody's file is no news of this server

    def text(data: bytes) -> str:
        pages: list[str] = []
        length = 0
        try:
            reader = pypdf.PdfReader(io.BytesIO(data))
            if reader.is_encrypted and not reader.decrypt(""):
                raise Unreadable("the PDF opens with a password only")
            for page in reader.pages:
                pages.append(page.extract_text())
                length += len(pages[-1])
                if length > _LONGEST_TEXT:
                    raise Unreadable(f"the PDF has more than {_LONGEST_TEXT} characters")
        except Unreadable:
            raise
        except Exception as wrong:  # a file that is made for it makes the library raise anything
            raise Unreadable(f"this is no PDF that can be read: {wrong}") from wrong
        return "\n\n".join(pages)

    return text


def _serve(form: str) -> None:
    """Reads pages until there are no more."""
    text_of = _of_pdf() if form == "pdf" else _of_html(form)
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    while head := sys.stdin.buffer.read(_LENGTH):
        page = sys.stdin.buffer.read(int.from_bytes(head))
        try:
            told = b"+" + text_of(page).encode("utf-8", "replace")
        except Unreadable as unreadable:
            told = b"-" + str(unreadable).encode("utf-8", "replace")
        sys.stdout.buffer.write(len(told).to_bytes(_LENGTH) + told)
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    _serve(sys.argv[1])
