"""Metadata on the command line: `--metadata name=value`, any number of times."""

from collections.abc import Sequence

from passel.cli.output import CommandError


def metadata_of(pairs: Sequence[str] | None) -> dict[str, str] | None:
    """None without any. Raises `CommandError` for what is no pair."""
    split = [pair.partition("=") for pair in pairs or []]
    if wrong := [name for name, mark, _ in split if not mark]:
        raise CommandError(f"--metadata {wrong[0]}: write name=value")
    return {name: value for name, _, value in split} or None
