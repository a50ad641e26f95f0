"""What a call cost: by the price in the manifest, or else by `genai-prices`. A local model costs nothing; an unknown
one has no price, which is not zero."""

from collections.abc import Mapping
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


def _agreed(price: Mapping[str, float], input_tokens: int, output_tokens: int, cached: int) -> Decimal:
    """By the manifest's own price. What it does not say of the cache costs what other input does."""
    # numbers of a manifest are meant as they are written: 0.15 is no binary fraction
    full, out = Decimal(str(price["input_per_million"])), Decimal(str(price["output_per_million"]))
    from_cache = Decimal(str(price["cached_input_per_million"])) if "cached_input_per_million" in price else full
    cached = min(cached, input_tokens)
    return (full * (input_tokens - cached) + from_cache * cached + out * output_tokens) / 1_000_000


def price(option: LlmOption, input_tokens: int, output_tokens: int, cache_read: int, cache_write: int, now: datetime) -> Decimal | None:
    """US dollars, exact; None when no price is known. A base URL of one's own has the price of nobody's list.
    `cache_read` and `cache_write` are part of `input_tokens`."""
    if option.price is not None:
        return _agreed(option.price, input_tokens, output_tokens, cache_read)
    if option.provider == LOCAL:
        return Decimal(0)
    if option.base_url is not None or not _has_price(option.provider, option.model):
        return None
    return _price(option.provider, option.model, (input_tokens, output_tokens, cache_read, cache_write), now.date().isoformat())
