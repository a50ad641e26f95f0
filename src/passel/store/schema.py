"""The schema: made at the first start, brought forward at later ones. Safe to call from many processes at once."""

from pathlib import Path

import asyncpg

from passel.store.database import ReadConnection
from passel.store.queries import SQL

_LOCK = 7_254_001  # any constant: one migration at a time in a database
_MIGRATIONS = Path(__file__).parent / "migrations"


def newest_revision() -> str:
    """The number at the start of the newest migration's name. Workers ask at their start, so Alembic is not asked."""
    return max(path.name.split("_")[0] for path in (_MIGRATIONS / "versions").glob("[0-9]*.py"))


async def migrate(url: str) -> str:
    """Bring the database to the newest revision and return it."""
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(SQL["lock_migration"], _LOCK)
        if not await _is_newest(connection):
            await _upgrade(url)
    finally:
        await connection.close()
    return newest_revision()


async def _is_newest(connection: asyncpg.Connection) -> bool:
    """Then nothing is to be done, and Alembic, which takes half a second to load, is not asked."""
    try:
        return await connection.fetchval(SQL["current_revision"]) == newest_revision()
    except asyncpg.UndefinedTableError:
        return False


async def _upgrade(url: str) -> None:
    from alembic import command
    from alembic.config import Config
    from sqlalchemy import Connection, pool
    from sqlalchemy.ext.asyncio import create_async_engine

    engine = create_async_engine("postgresql+asyncpg://", async_creator=lambda: asyncpg.connect(url), poolclass=pool.NullPool)

    def run(connection: Connection) -> None:
        config = Config()
        config.set_main_option("script_location", str(_MIGRATIONS))
        config.attributes["connection"] = connection
        command.upgrade(config, "head")

    async with engine.begin() as connection:
        await connection.run_sync(run)
    await engine.dispose()


async def current_revision(c: ReadConnection) -> str | None:
    """The database's revision; None when it has no schema yet."""
    try:
        return await c.fetchval("current_revision")
    except asyncpg.UndefinedTableError:
        return None
