"""Work that is done to its end: what belongs to a browser is given back, though whoever does it is cancelled, perhaps again and again."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


async def finish(work: Coroutine[Any, Any, T]) -> T:
    """Returns and raises what `work` does; or that it was cancelled, once `work` has ended."""
    working, cancelled = asyncio.ensure_future(work), False
    while not working.done():
        try:
            await asyncio.wait([working])
        except asyncio.CancelledError:
            cancelled = True
    if cancelled:
        if not working.cancelled():
            working.exception()  # it is nobody's any more
        raise asyncio.CancelledError
    return working.result()
