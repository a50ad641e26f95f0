"""The loop that workloads are: act on the ledger as it is, write what came of it, and again until the attempt has ended."""

from collections.abc import Awaitable, Callable

from passel.core.context import Context, Step


async def until_ended(context: Context, act: Callable[[], Awaitable[Step]]) -> Step:
    """Returns the step that carries the ending; those before it are durable by then."""
    while (step := await act()).ending is None:
        await context.write(step)
    return step
