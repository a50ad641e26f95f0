"""What a call cost, by `genai-prices`. A local model costs nothing; an unknown one has no price, which is not zero."""

from datetime import datetime
from decimal import Decimal
from functools import lru_cache

import genai_prices

from passel.core.llm.options import LOCAL, LlmOption

_PRICED_FOR = 10_000  # answers; prices change with the day at most


@lru_cache(maxsize=4096)
def _has_price(provider: str, model: str) -> bool:
    try:
        genai_prices.calc_price(genai_prices.Usage(input_tokens=1), model, provider_id=provider)
    except LookupError:
        return False
    return True


@lru_cache(maxsize=_PRICED_FOR)
def _price(provider: str, model: str, tokens: tuple[int, int, int, int], day: str) -> Decimal:
    given = genai_prices.Usage(input_tokens=tokens[0], output_tokens=tokens[1], cache_read_tokens=tokens[2], cache_write_tokens=tokens[3])
    return Decimal(genai_prices.calc_price(given, model, provider_id=provider).total_price)


def price(option: LlmOption, input_tokens: int, output_tokens: int, cache_read: int, cache_write: int, now: datetime) -> Decimal | None:
    """US dollars, exact; None when no price is known. A base URL of one's own has the price of nobody's list."""
    if option.provider == LOCAL:
        return Decimal(0)
    if option.base_url is not None or not _has_price(option.provider, option.model):
        return None
    return _price(option.provider, option.model, (input_tokens, output_tokens, cache_read, cache_write), now.date().isoformat())
