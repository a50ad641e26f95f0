"""What an organisation uses in a month, and when it is told that little is left. Pure."""

from datetime import UTC, datetime

WARNING_PERCENT = 80


def period_of(moment: datetime) -> str:
    """The month in UTC, as `2026-11`."""
    return moment.astimezone(UTC).strftime("%Y-%m")


def percent(used: int, most: int) -> int:
    """Whole ones, rounded down; a limit of nothing is used up."""
    return 100 * used // most if most else 100


def crossed(before: int, used: int, most: int) -> list[int]:
    """Which of 80 and 100 percent were reached on the way from `before` to `used`."""
    return [mark for mark in (WARNING_PERCENT, 100) if percent(before, most) < mark <= percent(used, most)]
