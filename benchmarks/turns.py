"""Turns against a model that answers at once, beside a loop that makes the same calls and keeps nothing.

    python -m benchmarks.turns [--sessions 6000] [--rounds 3] [--concurrency 200] [--workers 1]

Passel twice: from the request that makes the batch to its end, and its turns alone, from the first one that is taken
(creation has a benchmark of its own). Beside it the bare loop with the same client, a loop that commits intents and
answers in groups and keeps nothing else, and bare aiohttp as the limit of the transport. All on the same machine in the
same run, against the same played model.
"""

import argparse
import asyncio
import json
import statistics
from datetime import datetime
from typing import Any

import asyncpg
import uvloop

from benchmarks.baseline import bare_aiohttp, bare_loop, durable_loop
from benchmarks.report import print_report
from tests.support.installation import Installation, item, played_model, scratch_dir, wait_for_batch

_FIRST_TAKEN = """
select min(e.created_at)
from item i join event e on e.session_id = i.session_id
where i.batch_id = $1 and e.type = 'message.state' and e.data->>'state' = 'running'
"""


def passel_turns(passel: Installation, agent_id: str, sessions: int, tag: str) -> tuple[float, float]:
    """Turns a second, from the batch's creation to its end and from the first that a worker took."""
    lines = [json.dumps(item(agent_id, f"{tag} {n}")).encode() + b"\n" for n in range(sessions)]
    batch = passel.client.post_lines("/v1/session-batches", lambda: iter(lines))
    ended = wait_for_batch(passel.client, batch["batch_id"], 600)
    assert ended["status"] == "completed", ended
    begun, done = (datetime.fromisoformat(ended[name]) for name in ("created_at", "finished_at"))
    taken = asyncio.run(_fetch_value(passel.database_url(), _FIRST_TAKEN, batch["batch_id"]))
    return sessions / (done - begun).total_seconds(), sessions / (done - taken).total_seconds()


async def _fetch_value(url: str, sql: str, *args: Any) -> Any:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(sql, *args)
    finally:
        await connection.close()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--sessions", type=int, default=6000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--concurrency", type=int, default=200)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--client", choices=["auto", "pydantic-ai"], default="auto")
    args = parser.parse_args()
    figures: dict[str, list[float]] = {
        "passel": [],
        "passel, turns alone": [],
        "bare loop, same client": [],
        "minimal durable loop": [],
        "bare aiohttp": [],
    }
    settings = {
        "PASSEL_CONCURRENCY": str(args.concurrency * 2),
        "PASSEL_LANE_CONCURRENCY": str(args.concurrency),
        "PASSEL_MODEL_CLIENT": args.client,
    }
    with scratch_dir() as data, played_model() as model:
        passel = Installation(data, args.workers, settings).start()
        try:
            agent_id = passel.deploy(model.url, ["echo"])
            passel_turns(passel, agent_id, 500, "warm-up")
            for n in range(args.rounds):
                whole, turns = passel_turns(passel, agent_id, args.sessions, f"round {n}")
                figures["passel"].append(whole)
                figures["passel, turns alone"].append(turns)
                figures["bare loop, same client"].append(
                    uvloop.run(bare_loop(model.url, "echo", args.sessions, args.concurrency, direct=args.client == "auto"))
                )
                figures["minimal durable loop"].append(
                    uvloop.run(
                        durable_loop(
                            model.url, passel.database_url(), "echo", args.sessions, args.concurrency, direct=args.client == "auto"
                        )
                    )
                )
                figures["bare aiohttp"].append(uvloop.run(bare_aiohttp(model.url, args.sessions, args.concurrency)))
        finally:
            passel.stop()
    medians = {name: statistics.median(values) for name, values in figures.items()}
    bare, durable = medians["bare loop, same client"], medians["minimal durable loop"]
    print_report(
        "turns",
        [(name, f"{medians[name]:,.0f}", f"{min(values):,.0f} - {max(values):,.0f}") for name, values in figures.items()],
        ["what", "turns/s (median)", "range"],
        {
            "turns_per_second": medians,
            "share_of_bare_loop": medians["passel"] / bare,
            "share_of_durable_loop": medians["passel"] / durable,
            "turns_alone_of_bare_loop": medians["passel, turns alone"] / bare,
            "turns_alone_of_durable_loop": medians["passel, turns alone"] / durable,
            **vars(args),
        },
    )


if __name__ == "__main__":
    main()
