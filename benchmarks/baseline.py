"""What the same machine does without Passel: loops that make the same calls and keep nothing."""

import asyncio
import time

import aiohttp

from passel.core.llm.options import LlmOption
from passel.models.directory import CallSettings, ModelDirectory
from passel.models.questions import Question, Spoken


async def _nothing(model: str) -> str:
    raise AssertionError("no local model here")


async def bare_loop(url: str, model: str, calls: int, concurrency: int, *, direct: bool) -> float:
    """Calls a second of an asyncio loop with Passel's own model client, keeping nothing."""
    models = ModelDirectory(CallSettings(concurrency=concurrency, allow_private_urls=True, direct=direct), _nothing)
    option = LlmOption("openai", model, f"{url}/v1")
    todo = iter(range(calls))

    async def one_after_the_other() -> None:
        for n in todo:
            await models.ask(option, None, Question("You are a test.", (Spoken("user", (f"loop {n}",)),)))

    started = time.perf_counter()
    await asyncio.gather(*(one_after_the_other() for _ in range(concurrency)))
    elapsed = time.perf_counter() - started
    await models.close()
    return calls / elapsed


async def bare_aiohttp(url: str, calls: int, concurrency: int) -> float:
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
