"""What a model call used and cost."""

from decimal import Decimal
from typing import NamedTuple


class Usage(NamedTuple):
    """Tokens as the provider counted them. `cost_usd` is None when no price is known for the model."""

    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cost_usd: Decimal | None = None


def decimal_string(amount: Decimal) -> str:
    """`amount` without an exponent and without trailing zeros: "0.0123", "0"."""
    text = format(amount, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text
