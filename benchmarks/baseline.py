"""What the same machine does without Passel: loops that make the same calls, and keep nothing or only the least."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import asyncpg

from passel.core.llm.options import LlmOption
from passel.models.directory import CallSettings, ModelDirectory
from passel.models.questions import Answer, Question, Spoken

Ask = Callable[[int], Awaitable[Answer]]

_LARGEST_GROUP = 500


async def _nothing(model: str) -> str:
    raise AssertionError("no local model here")


async def _timed(url: str, model: str, calls: int, concurrency: int, *, direct: bool, one: Callable[[Ask, int], Awaitable[None]]) -> float:
    """Calls a second of `concurrency` loops that do `one` after the other with Passel's own model client."""
    models = ModelDirectory(CallSettings(concurrency=concurrency, allow_private_urls=True, direct=direct), _nothing)
    option = LlmOption("openai", model, f"{url}/v1")
    todo = iter(range(calls))

    async def ask(n: int) -> Answer:
        return await models.ask(option, None, Question("You are a test.", (Spoken("user", (f"loop {n}",)),)))

    async def one_after_the_other() -> None:
        for n in todo:
            await one(ask, n)

    started = time.perf_counter()
    await asyncio.gather(*(one_after_the_other() for _ in range(concurrency)))
    elapsed = time.perf_counter() - started
    await models.close()
    return calls / elapsed


async def bare_loop(url: str, model: str, calls: int, concurrency: int, *, direct: bool) -> float:
    """Calls a second of an asyncio loop with Passel's own model client, keeping nothing."""

    async def one(ask: Ask, n: int) -> None:
        await ask(n)

    return await _timed(url, model, calls, concurrency, direct=direct, one=one)


class Grouped:
    """Rows of many loops inserted together: a group starts when one of two connections is free."""

    def __init__(self, connections: list[Any]) -> None:
        self._waiting: list[tuple[str, int, str, asyncio.Future[None]]] = []
        self._wake = asyncio.Event()
        self._tasks = [asyncio.create_task(self._flush(connection)) for connection in connections]

    def add(self, table: str, n: int, text: str) -> "asyncio.Future[None]":
        done = asyncio.get_running_loop().create_future()
        self._waiting.append((table, n, text, done))
        self._wake.set()
        return done

    async def _flush(self, connection: Any) -> None:
        while True:
            await self._wake.wait()
            group, self._waiting = self._waiting[:_LARGEST_GROUP], self._waiting[_LARGEST_GROUP:]
            if not group:
                self._wake.clear()
                continue
            async with connection.transaction():
                for table in ("intent", "answer"):
                    rows = [(n, text) for name, n, text, _ in group if name == table]
                    if rows:
                        numbers, texts = zip(*rows, strict=True)
                        await connection.execute(f"insert into {table} select * from unnest($1::int[], $2::text[])", numbers, texts)
            for *_, done in group:
                if not done.done():
                    done.set_result(None)

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()


async def durable_loop(url: str, database_url: str, model: str, calls: int, concurrency: int, *, direct: bool) -> float:
    """Calls a second when each call's intent and answer are committed, in groups, and nothing else is."""
    connections = [await asyncpg.connect(database_url) for _ in range(2)]
    for table in ("intent", "answer"):
        await connections[0].execute(f"drop table if exists {table}")
        await connections[0].execute(f"create table {table} (n int primary key, text text not null)")
    grouped = Grouped(connections)

    async def one(ask: Ask, n: int) -> None:
        await grouped.add("intent", n, f"loop {n}")
        answer = await ask(n)
        await grouped.add("answer", n, answer.text)

    try:
        return await _timed(url, model, calls, concurrency, direct=direct, one=one)
    finally:
        await grouped.close()
        for connection in connections:
            await connection.close()


async def bare_aiohttp(url: str, calls: int, concurrency: int) -> float:
    """Calls a second of aiohttp alone."""
    todo = iter(range(calls))
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def one_after_the_other() -> None:
            for n in todo:
                messages = [{"role": "system", "content": "You are a test."}, {"role": "user", "content": f"raw {n}"}]
                async with session.post(f"{url}/v1/chat/completions", json={"model": "echo", "messages": messages}) as response:
                    await response.json()

        started = time.perf_counter()
        await asyncio.gather(*(one_after_the_other() for _ in range(concurrency)))
        return calls / (time.perf_counter() - started)
