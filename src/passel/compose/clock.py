"""The machine's clock, in the forms that the rest of Passel takes as parameters."""

import time
from datetime import UTC, datetime


def now() -> datetime:
    return datetime.now(UTC)


def milliseconds() -> int:
    return time.time_ns() // 1_000_000
