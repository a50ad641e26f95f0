"""What a batch or a session cost, in words. No known price is not zero."""

from decimal import Decimal
from typing import Any


def cost(usage: Any) -> str:
    """Of a `usage` or a session's bill: `$1.23`, `$1.23 + 4 unpriced calls`, or `unknown` where nothing has a price."""
    total, unpriced = usage["total_cost_usd"], usage["unpriced_calls"]
    if not unpriced:
        return f"${total}"
    calls = f"{unpriced} unpriced call{'s' if unpriced > 1 else ''}"
    return f"${total} + {calls}" if Decimal(total) else f"unknown ({calls})"
