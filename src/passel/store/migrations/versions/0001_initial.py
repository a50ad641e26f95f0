"""The first schema. Until the first release it is edited in place: there are no users' databases yet."""

from pathlib import Path

from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    script = Path(__file__).parent.parent / "0001_initial.sql"
    # asyncpg prepares each statement, so the script goes in one by one; it has no `;` inside a statement
    for statement in script.read_text().split(";\n"):
        if statement.strip():
            op.execute(statement)
