"""Creating items through HTTP as a stream, beside a bare COPY of the same number of rows into one table.

    python -m benchmarks.creation [--items 100000] [--rounds 3] [--million]

Also says how much the API's resident memory grew; `--million` adds one batch of 1,000,000 items.
"""

import argparse
import asyncio
import json
import statistics
import time
from collections.abc import Iterator

import asyncpg
import psutil

from benchmarks.report import print_report
from tests.support.installation import Installation, item, played_model, scratch_dir


def lines(agent_id: str, count: int) -> Iterator[bytes]:
    chunk: list[bytes] = []
    for n in range(count):
        chunk.append(json.dumps(item(agent_id, f"Summarise document {n} in two sentences.", metadata={"doc": str(n)})).encode())
        if len(chunk) == 500:
            yield b"\n".join(chunk) + b"\n"
            chunk = []
    if chunk:
        yield b"\n".join(chunk)


class PeakMemory:
    """Resident bytes of the API process: at the start, and the highest seen while it works."""

    def __init__(self, process: psutil.Process) -> None:
        self._process = process
        self.before = self.peak = process.memory_info().rss

    async def watch(self) -> None:
        while True:
            self.peak = max(self.peak, self._process.memory_info().rss)
            await asyncio.sleep(0.05)


def create(passel: Installation, agent_id: str, count: int) -> tuple[float, float]:
    """Items a second, and by how many MB the API's memory grew."""
    body = list(lines(agent_id, count))
    memory = PeakMemory(passel.children("api")[0])

    async def go() -> float:
        watcher = asyncio.create_task(memory.watch())
        started = time.perf_counter()
        made = await asyncio.to_thread(passel.client.post_lines, "/v1/session-batches", lambda: iter(body))
        elapsed = time.perf_counter() - started
        watcher.cancel()
        assert made["size"] == count
        await asyncio.to_thread(passel.client.post, f"/v1/session-batches/{made['batch_id']}/cancel")
        return elapsed

    return count / asyncio.run(go()), (memory.peak - memory.before) / 1e6


def bare_copy(url: str, count: int) -> float:
    async def go() -> float:
        connection = await asyncpg.connect(url)
        await connection.execute("create temporary table bare (id text primary key, body jsonb)")
        records = [(f"sess_{n:026d}", json.dumps({"text": f"Summarise document {n} in two sentences."})) for n in range(count)]
        started = time.perf_counter()
        await connection.copy_records_to_table("bare", records=records)
        elapsed = time.perf_counter() - started
        await connection.close()
        return count / elapsed

    return asyncio.run(go())


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--million", action="store_true")
    args = parser.parse_args()
    rates: dict[str, list[float]] = {"passel, NDJSON over HTTP": [], "bare COPY into one table": []}
    growth: list[float] = []
    million: tuple[float, float] | None = None
    with scratch_dir() as directory, played_model() as model:
        passel = Installation(directory, 0).start()
        agent_id = passel.deploy(model.url, ["echo"])
        create(passel, agent_id, 2000)
        for _ in range(args.rounds):
            rate, grown = create(passel, agent_id, args.items)
            rates["passel, NDJSON over HTTP"].append(rate)
            growth.append(grown)
            rates["bare COPY into one table"].append(bare_copy(passel.database_url(), args.items))
        if args.million:
            million = create(passel, agent_id, 1_000_000)
        passel.stop()
    rows = [(name, f"{statistics.median(v):,.0f}", f"{min(v):,.0f} - {max(v):,.0f}") for name, v in rates.items()]
    rows.append(("API memory grew by, MB", f"{statistics.median(growth):.0f}", f"{min(growth):.0f} - {max(growth):.0f}"))
    if million:
        rows.append(("1,000,000 items: items/s", f"{million[0]:,.0f}", f"memory grew by {million[1]:.0f} MB"))
    figures = {"items_per_second": statistics.median(rates["passel, NDJSON over HTTP"]), "memory_growth_mb": statistics.median(growth)}
    if million:
        figures |= {"million_items_per_second": million[0], "million_memory_growth_mb": million[1]}
    print_report("creation", rows, ["what", "items/s (median)", "range"], {**figures, **vars(args)})


if __name__ == "__main__":
    main()
