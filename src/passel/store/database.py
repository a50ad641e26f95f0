"""Connections. What reads and what writes are different types, and a transaction is the only way to write."""

import asyncio
import random
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import asyncpg
import orjson

from passel.store.queries import SQL

Row = Mapping[str, Any]
T = TypeVar("T")

# SQLSTATE classes after which the same transaction may well succeed: connection exceptions, rollbacks (deadlock),
# insufficient resources (disk full, too many connections), operator intervention (shutdown, starting up).
# Also a server that only reads just now (a fail-over), and system errors of its machine.
_PASSING_CLASSES = ("08", "25006", "40", "53", "57", "58")

_BINARY_JSONB = b"\x01"


def is_passing(error: BaseException) -> bool:
    """Whether the database may answer the same call later: away, restarting, full, or a lost race."""
    if isinstance(error, asyncpg.PostgresError):
        return str(getattr(error, "sqlstate", "")).startswith(_PASSING_CLASSES)
    if isinstance(error, ValueError | TypeError):
        return False  # asyncpg's own errors about arguments are InterfaceErrors too, and stay what they are
    # the internal error is what asyncpg raises for a connection that the server ended in the middle of something
    return isinstance(error, OSError | asyncpg.InterfaceError | asyncpg.InternalClientError | asyncio.TimeoutError)


def _encode_jsonb(value: Any) -> bytes:
    if isinstance(value, bytes):
        return _BINARY_JSONB + value
    return _BINARY_JSONB + orjson.dumps(value)


def _decode_jsonb(data: bytes) -> Any:
    return orjson.loads(memoryview(data)[1:])


async def _prepare_connection(connection: Any) -> None:
    await connection.set_type_codec("jsonb", schema="pg_catalog", format="binary", encoder=_encode_jsonb, decoder=_decode_jsonb)


async def _nothing_to_reset(connection: Any) -> None:
    """Connections of the pool are told nothing that outlasts a transaction: one round trip less each time."""


class ReadConnection:
    """Runs statements by the name of their file. JSON columns are Python values; `bytes` for one are taken as JSON that
    is ready."""

    def __init__(self, raw: Any) -> None:
        self.raw = raw

    async def fetch(self, name: str, *args: Any) -> list[Row]:
        return await self.raw.fetch(SQL[name], *args)

    async def fetchrow(self, name: str, *args: Any) -> Row | None:
        return await self.raw.fetchrow(SQL[name], *args)

    async def fetchval(self, name: str, *args: Any) -> Any:
        return await self.raw.fetchval(SQL[name], *args)


class WriteConnection(ReadConnection):
    """A connection inside a transaction."""

    async def execute(self, name: str, *args: Any) -> str:
        """Returns the command's tag, such as `UPDATE 3`."""
        return await self.raw.execute(SQL[name], *args)

    async def copy(self, table: str, columns: Sequence[str], records: Iterable[Sequence[Any]]) -> None:
        """By COPY; a record has its values in the order of `columns`."""
        await self.raw.copy_records_to_table(table, columns=columns, records=records)


class Database:
    """A pool of connections to one PostgreSQL. After 30 s without a free connection and after 300 s of a statement it
    is `TimeoutError`, which is passing (`is_passing`)."""

    def __init__(self, pool: Any, url: str, name: str) -> None:
        self._pool, self._url, self._name = pool, url, name

    @classmethod
    async def open(cls, url: str, *, name: str, connections: int = 10) -> "Database":
        """Connect lazily, so that a process can start before its database does. `name` shows in pg_stat_activity."""
        pool = await asyncpg.create_pool(
            url,
            min_size=0,
            max_size=connections,
            init=_prepare_connection,
            reset=_nothing_to_reset,
            command_timeout=300,
            timeout=10,
            max_inactive_connection_lifetime=60,
            server_settings={"application_name": name, "jit": "off"},
        )
        return cls(pool, url, name)

    async def close(self) -> None:
        """Connections that are in use are waited for, 5 s long, and then broken off."""
        try:
            await asyncio.wait_for(self._pool.close(), 5)
        except TimeoutError:
            self._pool.terminate()

    @asynccontextmanager
    async def read(self) -> AsyncGenerator[ReadConnection]:
        """Each statement sees the database at its own moment."""
        async with self._pool.acquire(timeout=30) as raw:
            yield ReadConnection(raw)

    @asynccontextmanager
    async def snapshot(self) -> AsyncGenerator[ReadConnection]:
        """Several statements that see one state of the database."""
        async with self._pool.acquire(timeout=30) as raw, raw.transaction(isolation="repeatable_read", readonly=True):
            yield ReadConnection(raw)

    @asynccontextmanager
    async def dedicated(self) -> AsyncGenerator[Any]:
        """A connection of one's own beside the pool, for what lives as long as it does: session locks, listening. It
        lacks the pool's conversion of JSON."""
        raw = await asyncpg.connect(self._url, timeout=10, command_timeout=60, server_settings={"application_name": self._name})
        try:
            yield raw
        finally:
            raw.terminate()

    @asynccontextmanager
    async def write(self) -> AsyncGenerator[WriteConnection]:
        """One transaction; it is committed when the block ends, and rolled back when it raises."""
        async with self._pool.acquire(timeout=30) as raw, raw.transaction():
            yield WriteConnection(raw)


async def patiently(call: Callable[[], Awaitable[T]]) -> T:
    """Repeat `call` until the database answers; any other error is raised. For reads, and for writes that may be made
    twice."""
    tries = 0
    while True:
        try:
            return await call()
        except Exception as error:
            if not is_passing(error):
                raise
            await pause_before_retry(tries)
            tries += 1


async def pause_before_retry(tries: int) -> None:
    """Wait for a database to come back: 0.05 s at first, at most 2 s, jittered."""
    await asyncio.sleep(min(0.05 * 2 ** min(tries, 8), 2.0) * (0.5 + random.random() / 2))
