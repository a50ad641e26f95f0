"""The statements, by file name: `SQL["claim_messages"]`."""

from importlib.resources import files

SQL: dict[str, str] = {
    entry.name.removesuffix(".sql"): entry.read_text() for entry in files(__name__).iterdir() if entry.name.endswith(".sql")
}
