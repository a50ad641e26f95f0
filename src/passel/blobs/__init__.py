"""The object store: bundles and files by name, in a directory or in S3, GCS or Azure."""

import contextlib
from collections.abc import AsyncIterable, AsyncIterator
from pathlib import Path
from typing import Any

import obstore
from obstore.store import LocalStore, from_url

_PART = 256 * 1024


class BlobStore:
    """`url` is what obstore takes: `file:///path`, `s3://bucket/prefix`, `gs://...`, `az://...`, `memory:///`."""

    def __init__(self, url: str) -> None:
        if url.startswith("file://"):
            path = Path(url.removeprefix("file://"))
            path.mkdir(mode=0o700, parents=True, exist_ok=True)  # browsers run as other accounts of this machine
            self._store: Any = LocalStore(path)
        else:
            self._store = from_url(url)

    async def put(self, path: str, data: bytes | AsyncIterable[bytes]) -> None:
        """Whole or not at all: a reader never sees a half-written object."""
        await obstore.put_async(self._store, path, data)

    async def get(self, path: str) -> bytes:
        """Raises `KeyError` when there is no such object."""
        try:
            result = await obstore.get_async(self._store, path)
            return bytes(await result.bytes_async())
        except FileNotFoundError as error:
            raise KeyError(path) from error

    async def stream(self, path: str) -> AsyncIterator[bytes]:
        """The same, part by part."""
        try:
            result = await obstore.get_async(self._store, path)
        except FileNotFoundError as error:
            raise KeyError(path) from error
        async for part in result.stream(min_chunk_size=_PART):
            yield bytes(part)

    async def stream_range(self, path: str, first: int, end: int) -> AsyncIterator[bytes]:
        """From byte `first` up to `end`, which is left out, part by part. Raises `KeyError` when there is no such object."""
        if first >= end:
            return
        try:
            result = await obstore.get_async(self._store, path, options={"range": (first, end)})
        except FileNotFoundError as error:
            raise KeyError(path) from error
        async for part in result.stream(min_chunk_size=_PART):
            yield bytes(part)

    async def delete(self, path: str) -> None:
        """Nothing happens when there is no such object."""
        with contextlib.suppress(FileNotFoundError):
            await obstore.delete_async(self._store, path)
