"""A method that is loaded when it is first asked: its libraries take time and memory that most workers never need."""

import asyncio
from collections.abc import Callable

from passel.core.verification.findings import Finding
from passel.workloads.verification.methods import Method, Work


class Later:
    """`load` may take long; it runs in a thread, once."""

    def __init__(self, load: Callable[[], Method]) -> None:
        self._load = load
        self._loading: asyncio.Task[Method] | None = None

    async def __call__(self, work: Work) -> Finding:
        if self._loading is None:
            self._loading = asyncio.create_task(asyncio.to_thread(self._load))
        method = await asyncio.shield(self._loading)
        return await method(work)
