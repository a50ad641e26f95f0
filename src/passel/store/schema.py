"""The schema: made at the first start, brought forward at later ones. Safe to call from many processes at once."""

from pathlib import Path
from typing import Any

import asyncpg
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from pgqueuer.db import AsyncpgDriver
from pgqueuer.queries import Queries
from sqlalchemy import Connection, pool
from sqlalchemy.ext.asyncio import create_async_engine

from passel.store.database import ReadConnection

_LOCK = 7_254_001  # any constant: one migration at a time in a database


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    return config


def newest_revision() -> str:
    head = ScriptDirectory.from_config(_config()).get_current_head()
    assert head is not None
    return head


async def migrate(url: str) -> str:
    """Bring the database to the newest revision and return it."""
    connection = await asyncpg.connect(url)
    try:
        await connection.execute("select pg_advisory_lock($1)", _LOCK)
        await _upgrade(url)
        await _install_queue(connection)
    finally:
        await connection.close()
    return newest_revision()


async def _upgrade(url: str) -> None:
    engine = create_async_engine("postgresql+asyncpg://", async_creator=lambda: asyncpg.connect(url), poolclass=pool.NullPool)

    def run(connection: Connection) -> None:
        config = _config()
        config.attributes["connection"] = connection
        command.upgrade(config, "head")

    async with engine.begin() as connection:
        await connection.run_sync(run)
    await engine.dispose()


async def _install_queue(connection: Any) -> None:
    queries = Queries(AsyncpgDriver(connection))
    if await queries.schema_is_installed():
        await queries.upgrade()
    else:
        await queries.install()
    await queries.optimize_autovacuum()


async def current_revision(c: ReadConnection) -> str | None:
    """The database's revision; None when it has no schema yet."""
    try:
        return await c.raw.fetchval("select version_num from alembic_version")
    except asyncpg.UndefinedTableError:
        return None
