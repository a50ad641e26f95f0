"""Deliveries of webhooks by one worker to a receiver that answers at once.

    python -m benchmarks.webhooks [--deliveries 5000] [--rounds 3] [--single 100]

Throughput: deliveries that wait already, from the first try to the last acknowledgement, both as the ledgers tell. Latency:
single turns on an idle server, from the commit of a turn's end (its time stamp, taken before the commit) to the receiver.
Beside it aiohttp alone, which posts the same bodies and keeps nothing.
"""

import argparse
import asyncio
import json
import statistics
import sys
import time
from typing import Any

import asyncpg
import httpx2
import uvloop

from benchmarks.receiver import bare_posts
from benchmarks.report import print_report
from tests.support.installation import Installation, Program, item, played_model, scratch_dir, wait_for_batch, wait_until

_RATE = """
select count(*) as n, extract(epoch from max(e.created_at) - min(b.created_at)) as seconds
from delivery d
join event e on e.session_id = d.id and e.type = 'delivery.tried'
join event b on b.session_id = d.id and b.type = 'message.state' and b.data ->> 'state' = 'running'
where d.created_at >= to_timestamp($1)
"""
_CAUSED = "select d.id, extract(epoch from d.created_at)::float8 as at from delivery d where d.created_at >= to_timestamp($1)"


def rows(passel: Installation, sql: str, *args: Any) -> list[Any]:
    async def go() -> list[Any]:
        connection = await asyncpg.connect(passel.database_url())
        try:
            return await connection.fetch(sql, *args)
        finally:
            await connection.close()

    return asyncio.run(go())


def received(url: str) -> dict[str, Any]:
    return httpx2.get(url, timeout=30).json()


def throughput(passel: Installation, agent: str, count: int, tag: str) -> float:
    """Deliveries a second of one worker that does nothing else; what it delivers was written before it starts."""
    begun = time.time()
    lines = [json.dumps(item(agent, f"{tag} {n}")).encode() + b"\n" for n in range(count)]
    batch = passel.client.post_lines("/v1/session-batches", lambda: iter(lines))
    agents = Program([sys.executable, "-m", "passel", "worker", "--kinds", "agent"], passel.environment())
    agents.start()
    wait_for_batch(passel.client, batch["batch_id"], 600)
    agents.stop()
    worker = Program([sys.executable, "-m", "passel", "worker", "--kinds", "webhook"], passel.environment())
    worker.start()
    wait_until(lambda: rows(passel, _RATE, begun)[0]["n"] >= count, 600, 0.5)
    worker.stop()
    [told] = rows(passel, _RATE, begun)
    return float(told["n"]) / float(told["seconds"])


def latencies(passel: Installation, agent: str, url: str, count: int) -> list[float]:
    """Milliseconds from the moment that a turn's end was written to its receipt, one turn at a time."""
    begun = time.time()
    for n in range(count):
        passel.client.post(f"/v1/agents/{agent}/messages", {"type": "user.message", "content": [{"type": "text", "text": f"idle {n}"}]})
        wait_until(lambda n=n: len(caused := rows(passel, _CAUSED, begun)) > n and caused[-1]["id"] in received(url)["ids"], 30, 0.02)
    ids = received(url)["ids"]
    return [(ids[row["id"]] - row["at"]) * 1000 for row in rows(passel, _CAUSED, begun)]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--deliveries", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--single", type=int, default=100)
    parser.add_argument("--width", type=int, default=32)
    args = parser.parse_args()
    receiver = Program([sys.executable, "-m", "benchmarks.receiver"], {})
    rates: list[float] = []
    bare: list[float] = []
    with scratch_dir() as directory, played_model() as model:
        passel = Installation(directory, 0, {"PASSEL_WEBHOOK_CONCURRENCY": str(args.width)}).start()
        receiver.environment = passel.environment()
        url = receiver.start("listening").split()[1]
        try:
            agent = passel.deploy(model.url, ["echo"])
            passel.client.put(f"/v1/agents/{agent}/webhook", {"webhook_url": url, "event_types": ["session.completed"]})
            throughput(passel, agent, 300, "warm-up")
            for n in range(args.rounds):
                rates.append(throughput(passel, agent, args.deliveries, f"round {n}"))
                bare.append(uvloop.run(bare_posts(url, received(url)["sample"].encode(), args.deliveries, args.width)))
            worker = Program([sys.executable, "-m", "passel", "worker"], passel.environment())
            worker.start()
            latencies(passel, agent, url, 5)
            single = sorted(latencies(passel, agent, url, args.single))
            worker.stop()
        finally:
            passel.stop()
            receiver.kill()
    p50, p99 = statistics.median(single), single[int(len(single) * 0.99) - 1]
    print_report(
        "webhooks",
        [
            ("deliveries/s, one worker", f"{statistics.median(rates):,.0f}", f"{min(rates):,.0f} - {max(rates):,.0f}"),
            ("bare aiohttp, same bodies", f"{statistics.median(bare):,.0f}", f"{min(bare):,.0f} - {max(bare):,.0f}"),
            ("commit to receipt, p50, ms", f"{p50:.1f}", f"{single[0]:.1f} - {single[-1]:.1f}"),
            ("commit to receipt, p99, ms", f"{p99:.1f}", ""),
        ],
        ["what", "median", "range"],
        {
            "deliveries_per_second": statistics.median(rates),
            "bare_posts_per_second": statistics.median(bare),
            "receipt_ms_p50": p50,
            "receipt_ms_p99": p99,
            **vars(args),
        },
    )


if __name__ == "__main__":
    main()
