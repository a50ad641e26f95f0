"""From the commit of an event to the sockets of those who follow its session, and what a reader costs.

    python -m benchmarks.streams [--readers 2000] [--rate 200] [--seconds 10] [--rounds 3] [--together 2000]

One API process with as many readers, on real sockets, each with a connection of its own. A process of its own appends events
by the store's own function, each in a transaction of its own, at a steady rate that waits for nobody. Three shapes:

    alone      each reader has a session of its own: 200 events/s are 200 deliveries/s
    tens       ten readers follow each session: 200 events/s are 2,000 deliveries/s
    together   all readers follow one session: an event a second for 2,000 of them is 2,000 deliveries/s, each 2,000 due at once

Latency is counted from the moment that the commit has returned to its writer, by the one clock that all processes of a
machine share, to the moment at which a reader has the whole event; beside it from the moment before the commit, which is an
upper limit whatever the scheduler does. Every reader must get every event once. Memory is what is the process's own (USS) with
all readers connected and idle, less what it was before them, a reader; the kernel's buffers of sockets are not in it.

The baseline is a bare server of aiohttp with the same readers at the same rates: the writer inserts a row and notifies with
the event itself, which the server passes on. It keeps, checks and replays nothing.
"""

import argparse
import asyncio
import json
import math
import multiprocessing
import random
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import asyncpg
import psutil
import uvloop

from benchmarks.readers import BARE_CHANNEL, Readers, raise_file_limit
from benchmarks.report import print_report
from passel.core.agent import events as agent_events
from passel.faces.dari.events import event_id
from passel.store import ledgers
from passel.store.database import Database
from passel.store.ledgers import Telling
from tests.support.installation import KEY, Installation, Program, item, played_model, scratch_dir

_TARGETS = "select m.org_id, m.session_id, m.id from message m where m.batch_id = $1 order by m.item_index"
_PATIENCE = 60
_TEXT = "What the agent says, in some two hundred characters of which nobody needs to make anything. " * 2


@dataclass(frozen=True)
class Shape:
    """`followers` readers a session, and how many events are committed a second."""

    name: str
    followers: int
    rate: float


@dataclass
class Measured:
    """Milliseconds, a value a round."""

    p50: list[float] = field(default_factory=list)
    p99: list[float] = field(default_factory=list)
    p99_with_commit: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    kilobytes: float = 0.0


class Writer:
    """Commits events one by one. `append` gives the event's id and the moment before the commit."""

    def __init__(self, db: Database, *, bare: bool) -> None:
        self._db, self._append = db, self._append_bare if bare else self._append_to_ledger
        self.committed: dict[bytes, tuple[int, int]] = {}
        self._number = 0

    async def write(self, target: tuple[str, str, str]) -> None:
        async with self._db.write() as c:
            id = await self._append(c, target)
            before = time.monotonic_ns()
        self.committed[id.encode()] = before, time.monotonic_ns()

    async def _append_to_ledger(self, c: Any, target: Any) -> str:
        org, session, message = target
        draft = agent_events.assistant_message(_TEXT, (), "stop", {"model": "none"})
        told = await ledgers.append(c, [Telling(org, session, message, [draft])], datetime.now(UTC))
        return event_id(session, told[session].last_seq)

    async def _append_bare(self, c: Any, target: Any) -> str:
        _, session, message = target
        self._number += 1
        id = f"{session}:evt_{self._number}-{time.monotonic_ns()}"
        told = json.dumps({"id": id, "session_id": session, "message_id": message, "type": "said", "data": {"text": _TEXT}})
        await c.raw.execute("insert into bare_event values ($1, $2)", id, told)
        await c.raw.execute("select pg_notify($1, $2)", BARE_CHANNEL, told)
        return id


async def _write(
    url: str, targets: Sequence[tuple[str, str, str]], rate: float, seconds: float, bare: bool
) -> dict[bytes, tuple[int, int]]:
    db = await Database.open(url, name="writer", connections=8)
    writer = Writer(db, bare=bare)
    for target in targets[:8]:  # connections are open, statements prepared
        await writer.write(target)
    await asyncio.sleep(0.5)
    writer.committed.clear()
    loop, tasks = asyncio.get_running_loop(), list[asyncio.Task[None]]()
    begun = loop.time()
    for n in range(int(rate * seconds)):
        await asyncio.sleep(max(0.0, begun + n / rate - loop.time()))
        tasks.append(asyncio.create_task(writer.write(targets[n % len(targets)])))
    await asyncio.gather(*tasks)
    await asyncio.sleep(1)  # the last ones arrive
    await db.close()
    return writer.committed


def _run_writer(pipe: Any, *args: Any) -> None:
    pipe.send(uvloop.run(_write(*args)))


def write(*args: Any) -> dict[bytes, tuple[int, int]]:
    """In a process of its own: the ids of events with the moments before and after their commit."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_run_writer, args=(theirs, *args))
    process.start()
    committed = ours.recv()
    process.join()
    return committed


def quantile(values: Sequence[float], share: float) -> float:
    return sorted(values)[math.ceil(len(values) * share) - 1]


def own_memory(process: psutil.Process) -> int:
    return process.memory_full_info().uss


def cpu_seconds(process: psutil.Process) -> float:
    return sum(process.cpu_times()[:2])


def measure(
    process: psutil.Process, url: str, path: str, database_url: str, shape: Shape, targets: list[Any], args: argparse.Namespace
) -> Measured:
    """One server and shape, all rounds."""
    measured, bare = Measured(), path == "/{id}"
    sessions = [target[1] for target in targets]
    paths = [path.format(id=sessions[n % len(sessions)]) for n in range(args.readers)]
    before = own_memory(process)
    readers = Readers(url, f"Authorization: Bearer {KEY}\r\n", paths)
    time.sleep(2)
    measured.kilobytes = (own_memory(process) - before) / 1000 / args.readers
    random.Random(7).shuffle(targets)
    for _ in range(args.rounds):
        readers.take()
        busy, begun = cpu_seconds(process), time.monotonic()
        committed = write(database_url, targets, shape.rate, args.seconds, bare)
        measured.cpu.append((cpu_seconds(process) - busy) / (time.monotonic() - begun))
        came = [(committed[id], at) for id, at in readers.take() if id in committed]
        while len(came) < len(committed) * shape.followers and time.monotonic() - begun < args.seconds + _PATIENCE:
            time.sleep(0.5)  # late ones count too
            came += [(committed[id], at) for id, at in readers.take() if id in committed]
        assert len(came) == len(committed) * shape.followers, f"{len(came)} deliveries of {len(committed)} events"
        latencies = [(at - after) / 1e6 for (_, after), at in came]
        measured.p50.append(quantile(latencies, 0.5))
        measured.p99.append(quantile(latencies, 0.99))
        measured.p99_with_commit.append(quantile([(at - sent) / 1e6 for (sent, _), at in came], 0.99))
    readers.close()
    return measured


def make_sessions(passel: Installation, agent: str, count: int) -> list[Any]:
    """Organisations, sessions and messages that no worker takes."""
    lines = [json.dumps(item(agent, f"stream {n}")).encode() + b"\n" for n in range(count)]
    batch = passel.client.post_lines("/v1/session-batches", lambda: iter(lines))["batch_id"]

    async def go() -> list[Any]:
        connection = await asyncpg.connect(passel.database_url())
        try:
            await connection.execute("create table if not exists bare_event (id text, event jsonb)")
            return [tuple(row) for row in await connection.fetch(_TARGETS, batch)]
        finally:
            await connection.close()

    return asyncio.run(go())


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--readers", type=int, default=2000)
    parser.add_argument("--rate", type=float, default=200)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--together", type=float, default=2000, help="deliveries a second where all follow one session")
    args = parser.parse_args()
    raise_file_limit()
    shapes = (Shape("alone", 1, args.rate), Shape("tens", 10, args.rate), Shape("together", args.readers, args.together / args.readers))
    found: dict[tuple[str, str], Measured] = {}
    with scratch_dir() as directory, played_model() as model:
        passel = Installation(directory, 0).start()
        bare = Program([sys.executable, "-m", "benchmarks.readers", "--database-url", passel.database_url()], passel.environment())
        bare_url = bare.start("listening").split()[1]
        servers = {
            "passel": (passel.children("api")[0], passel.url, "/v1/sessions/{id}/stream"),
            "bare": (psutil.Process(bare.process.pid), bare_url, "/{id}"),
        }
        try:
            agent = passel.deploy(model.url, ["echo"])
            for shape in shapes:
                targets = make_sessions(passel, agent, args.readers // shape.followers)
                for name, server in servers.items():
                    found[name, shape.name] = measure(*server, passel.database_url(), shape, targets, args)
        finally:
            bare.kill()
            passel.stop()
    report(found, shapes, args)


def report(found: dict[tuple[str, str], Measured], shapes: Sequence[Shape], args: argparse.Namespace) -> None:
    rows = []
    for (server, name), one in found.items():
        shape = next(s for s in shapes if s.name == name)
        rows.append(
            (
                f"{server}, {name}",
                f"{shape.rate * shape.followers:,.0f}",
                *(f"{statistics.median(values):.1f}" for values in (one.p50, one.p99)),
                f"{min(one.p99):.1f} - {max(one.p99):.1f}",
                f"{statistics.median(one.p99_with_commit):.1f}",
                f"{statistics.median(one.cpu):.0%}",
                f"{one.kilobytes:.1f}" if name == shapes[0].name else "",  # later ones find memory that earlier ones left
            )
        )
    medians = {
        f"{server}, {name}": {
            "p50_ms": statistics.median(one.p50),
            "p99_ms": statistics.median(one.p99),
            "p99_with_commit_ms": statistics.median(one.p99_with_commit),
        }
        for (server, name), one in found.items()
    }
    memory = {server: one.kilobytes for (server, name), one in found.items() if name == shapes[0].name}
    columns = ["what", "deliveries/s", "p50, ms", "p99, ms (median)", "p99, range", "p99 with the commit", "CPU", "KB a reader"]
    print_report("streams", rows, columns, {"latency": medians, "kilobytes_a_reader": memory, **vars(args)})


if __name__ == "__main__":
    main()
