"""SIGKILL anywhere. Real processes, real signals: workers, the API and PostgreSQL die at random moments.

Afterwards nothing is lost, nothing has two results, every ledger is gapless, counts add up, and each model call
beyond one an item is accounted for: it is in the bill as in doubt.
"""

import asyncio
import contextlib
import json
import random
import signal
import threading
import time
from pathlib import Path
from typing import Any

import asyncpg
import httpx2
import psutil
import pytest

from passel.store.postgres import EmbeddedPostgres
from tests.support.installation import (
    Installation,
    PlayedModel,
    freeze,
    item,
    played_model,
    scratch_dir,
    thaw,
    wait_for_batch,
    wait_until,
)
from tests.support.worlds import INVARIANTS


async def query(url: str, sql: str, *args: Any) -> list[dict[str, Any]]:
    connection = await asyncpg.connect(url)
    try:
        return [dict(row) for row in await connection.fetch(sql, *args)]
    finally:
        await connection.close()


def rows(passel: Installation, sql: str, *args: Any) -> list[dict[str, Any]]:
    return asyncio.run(query(passel.database_url(), sql, *args))


def in_flight(passel: Installation) -> int:
    return rows(passel, "select count(*) as n from effect where state = 'started'")[0]["n"]


def kill_worker(passel: Installation, rng: random.Random) -> int:
    """Returns how many calls may have been cut off: those in flight, of which the killed worker had a part."""
    workers = passel.children("worker")
    if not workers:
        return 0
    cut = in_flight(passel)
    rng.choice(workers).kill()
    # until it is dead more may be started: what it had in its hands is bounded by what is open afterwards
    return max(cut, in_flight(passel))


def kill_database(passel: Installation) -> None:
    postmaster = EmbeddedPostgres(passel.data_dir / "postgres").postmaster()
    assert postmaster is not None
    postmaster.kill()


def is_ready(passel: Installation) -> bool:
    try:
        return passel.http().get("/readyz").status_code == 200
    except httpx2.HTTPError:
        return False  # the API was killed a moment ago, and is on its way


def check_everything(passel: Installation, model: PlayedModel, sizes: dict[str, int], allowed_extra: int) -> None:
    for batch_id, size in sizes.items():
        batch = passel.client.get(f"/v1/session-batches/{batch_id}")
        assert batch["counts"] == {"queued": 0, "running": 0, "completed": size, "failed": 0}, batch["counts"]
        assert len({s["session_id"] for s in batch["sessions"]}) == size
        assert [s["index"] for s in batch["sessions"]] == list(range(size))
    assert rows(passel, INVARIANTS) == []
    asked = model.calls()
    total = sum(sizes.values())
    extra = sum(asked.values()) - total
    booked = {r["state"]: r["n"] for r in rows(passel, "select state, count(*) as n from effect group by state")}
    assert set(booked) <= {"done", "in_doubt"}, booked
    assert booked["done"] == total
    # a call in doubt may never have left: so at least every extra one is in doubt
    assert extra <= booked.get("in_doubt", 0) <= allowed_extra, (extra, booked, allowed_extra)


def check_verifications(passel: Installation, batch_id: str) -> None:
    """Each answer was verified once, and each verification that began is some answer's."""

    def over() -> Any:
        told = passel.client.get(f"/v1/session-batches/{batch_id}", include_sessions=False)
        return told if told["verifications"]["queued"] + told["verifications"]["running"] == 0 else None

    batch = wait_until(over, 120)
    assert batch["verifications"] == batch["counts"]
    with passel.client.lines(f"/v1/session-batches/{batch_id}/results") as lines:
        named = [result["verification"] for result in lines]
    assert all((one["status"], one["decision"]) == ("completed", "escalate") for one in named)  # an echo is no statement
    begun = rows(passel, "select id from session where kind = 'verification'")
    assert sorted(one["id"] for one in named) == sorted(row["id"] for row in begun)


def submit(passel: Installation, agent: str, tag: str, size: int, key: str, **fields: Any) -> Any:
    lines = [json.dumps(item(agent, f"{tag} {n}")).encode() + b"\n" for n in range(size)]
    return passel.client.post_lines("/v1/session-batches", lambda: iter(lines), idempotency_key=key, **fields)


def run_chaos(directory: Path, model: PlayedModel, *, size: int, kills: int, seed: int, latency: str) -> None:
    rng = random.Random(seed)
    passel = Installation(
        directory, 2, {"PASSEL_LANE_CONCURRENCY": "40", "PASSEL_TAKEOVER_AFTER": "2", "PASSEL_MAX_ATTEMPTS": "50"}
    ).start()
    try:
        agent = passel.deploy(model.url, [f"wait-{latency}"])
        sizes: dict[str, int] = {}
        # the API dies in the middle of a creation; the same request with the same key makes the batch then
        killer = threading.Timer(0.05, lambda: [api.kill() for api in passel.children("api")])
        killer.start()
        made = submit(passel, agent, "first", size, "chaos-first")
        killer.join()
        assert submit(passel, agent, "first", size, "chaos-first")["batch_id"] == made["batch_id"]
        sizes[made["batch_id"]] = size
        allowed = 0
        for n in range(kills):
            time.sleep(rng.uniform(0.5, 2.0))
            victim = n % 4
            if victim == 2:
                kill_database(passel)
                wait_until(lambda: is_ready(passel), 60)
            elif victim == 3:
                for api in passel.children("api"):
                    api.kill()
            else:
                with contextlib.suppress(psutil.Error):
                    allowed += kill_worker(passel, rng)
            if n == kills // 2:
                verified = submit(passel, agent, "second", size // 5, "chaos-second", verify='{"methods": {"formal": 1}}')["batch_id"]
                sizes[verified] = size // 5
        for batch_id in sizes:
            wait_for_batch(passel.client, batch_id, 300)
        check_verifications(passel, verified)
        check_everything(passel, model, sizes, allowed)
        assert passel.stop() == 0
    finally:
        passel.program.kill()
        EmbeddedPostgres(directory / "postgres").stop()


def test_kills_lose_nothing() -> None:
    """The short form: six kills over 200 sessions."""
    with scratch_dir() as directory, played_model() as model:
        run_chaos(directory, model, size=200, kills=6, seed=1, latency="0.8")


@pytest.mark.slow
@pytest.mark.parametrize("seed", [11, 12, 13])
def test_twenty_kills_lose_nothing(seed: int) -> None:
    """The long form: 20 kills over 500 sessions (and 100 more in between)."""
    with scratch_dir() as directory, played_model() as model:
        run_chaos(directory, model, size=500, kills=20, seed=seed, latency="2")


def test_a_frozen_worker_writes_nothing_when_it_wakes_up() -> None:
    """SIGSTOP past the heartbeat, take-over by the other, SIGCONT: one result each, by the one who took over."""
    with scratch_dir() as directory, played_model() as model:
        passel = Installation(directory, 2, {"PASSEL_TAKEOVER_AFTER": "2"}).start()
        agent = passel.deploy(model.url, ["wait-4"])
        made = submit(passel, agent, "frozen", 20, "frozen")
        wait_until(lambda: in_flight(passel) == 20)
        # every session of the frozen one is taken over; which worker has which does not matter here
        frozen = passel.children("worker")[0]
        freeze(frozen)
        wait_for_batch(passel.client, made["batch_id"], 60)
        before = rows(passel, "select * from event order by session_id, seq"), rows(passel, "select * from effect order by id")
        thaw(frozen)
        # its answers have come by now; when it takes new work, it has tried to write all of them
        after_id = submit(passel, agent, "thawed", 30, "thawed")["batch_id"]
        wait_for_batch(passel.client, after_id, 60)
        after = (
            rows(
                passel,
                "select * from event where session_id in (select session_id from item where batch_id = $1) order by session_id, seq",
                made["batch_id"],
            ),
            rows(
                passel,
                "select * from effect where session_id in (select session_id from item where batch_id = $1) order by id",
                made["batch_id"],
            ),
        )
        assert before == after
        assert rows(passel, INVARIANTS) == []
        assert sum(model.calls().values()) == 50 + rows(passel, "select count(*) as n from effect where state = 'in_doubt'")[0]["n"]
        assert passel.stop() == 0


@pytest.mark.slow
def test_a_dead_workers_sessions_run_elsewhere_within_15_seconds() -> None:
    with scratch_dir() as directory, played_model() as model:
        passel = Installation(directory, 2).start()
        agent = passel.deploy(model.url, ["wait-1"])
        made = submit(passel, agent, "taken", 20, "taken")
        wait_until(lambda: in_flight(passel) == 20)
        # only one worker is left; the supervisor's new one counts as elsewhere too
        for worker in passel.children("worker"):
            worker.send_signal(signal.SIGKILL)
        died = time.monotonic()
        wait_until(lambda: rows(passel, "select count(*) as n from message where attempt > 1")[0]["n"] == 20, 60)
        taken_over_after = time.monotonic() - died
        wait_for_batch(passel.client, made["batch_id"])
        print(f"taken over after {taken_over_after:.1f} s")
        assert passel.stop() == 0
