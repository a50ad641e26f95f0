"""Drives a LangGraph server with LangGraph's own SDK, in its own environment, and prints one JSON line.

One request a turn: `runs.wait` makes the thread, queues the run and answers with the final state; the thread is kept.
Measured is the time from the first request to the last answer, with the look at each answer; the start of this
interpreter is not.
"""

import argparse
import asyncio
import json
import time
import uuid
from collections.abc import Iterator

from langgraph_sdk import get_client
from langgraph_sdk.client import LangGraphClient


async def take_turns(client: LangGraphClient, texts: Iterator[str]) -> None:
    for text in texts:
        state = await client.runs.wait(str(uuid.uuid4()), "turn", input={"text": text}, if_not_exists="create")
        if state.get("answer") != f"echo: {text}":
            raise SystemExit(f"wrong answer to {text!r}: {state}")


async def main(url: str, sessions: int, clients: int, tag: str) -> None:
    texts = (f"{tag} {n}" for n in range(sessions))
    async with get_client(url=url, api_key=None) as client:
        started = time.perf_counter()
        await asyncio.gather(*(take_turns(client, texts) for _ in range(clients)))
        print(json.dumps({"seconds": time.perf_counter() - started}))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--url", required=True)
    parser.add_argument("--sessions", type=int, required=True)
    parser.add_argument("--clients", type=int, required=True)
    parser.add_argument("--tag", required=True)
    asyncio.run(main(**vars(parser.parse_args())))
