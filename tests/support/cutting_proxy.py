"""A proxy before PostgreSQL that cuts the connection after a COMMIT was done and before its answer is told."""

import asyncio
import contextlib
from pathlib import Path

_SOCKET = ".s.PGSQL.5432"
_COMMIT = b"COMMIT;\x00"


class CuttingProxy:
    """Listens in `directory` for what lives in `server`. The `cut_at`-th COMMIT is done and never answered."""

    def __init__(self, directory: Path, server: Path, cut_at: int) -> None:
        self._directory, self._server, self._cut_at = directory, server, cut_at
        self.commits = 0
        self.cuts = 0
        self._listener: asyncio.Server | None = None

    async def __aenter__(self) -> "CuttingProxy":
        self._listener = await asyncio.start_unix_server(self._serve, str(self._directory / _SOCKET))
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._listener is not None
        self._listener.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from_server, to_server = await asyncio.open_unix_connection(str(self._server / _SOCKET))
        cutting = asyncio.Event()
        tasks = [
            asyncio.create_task(self._to_server(reader, to_server, cutting)),
            asyncio.create_task(self._from_server(from_server, writer, cutting)),
        ]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        for end in (writer, to_server):
            end.close()

    async def _to_server(self, reader: asyncio.StreamReader, to_server: asyncio.StreamWriter, cutting: asyncio.Event) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                if data.endswith(_COMMIT):
                    self.commits += 1
                    if self.commits == self._cut_at:
                        self.cuts += 1
                        cutting.set()
                to_server.write(data)

    async def _from_server(self, from_server: asyncio.StreamReader, writer: asyncio.StreamWriter, cutting: asyncio.Event) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await from_server.read(65536):
                if cutting.is_set():
                    return  # the server has done it; the client will never know
                writer.write(data)
