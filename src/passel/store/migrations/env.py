"""Alembic's entry point. The connection comes from `passel.store.schema`, which owns the lock and the URL."""

from alembic import context

connection = context.config.attributes["connection"]
context.configure(connection=connection)
with context.begin_transaction():
    context.run_migrations()
