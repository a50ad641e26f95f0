"""SIGKILL while batches of several methods run: no verification is lost, no method ends twice, no answer is paid twice, and the
counts add up at every look."""

import random
import time
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.support.installation import Installation, PlayedModel, played_model, scratch_dir, wait_until
from tests.support.worlds import INVARIANTS
from tests.test_chaos import is_ready, kill_database, rows

METHODS = {"formal": 1, "reasoning": 1, "ensemble": 0.5, "biprm": 0.5}
PRICE_CENTS = 0.25

METHODS_TWICE = """
select session_id, data ->> 'method' as method, count(*) as n from event
where type in ('method.ended', 'method.failed') group by 1, 2 having count(*) > 1
"""
ANSWERED_TWICE = """
select session_id, data ->> 'method' as method, data ->> 'question' as question, count(*) as n from event
where type = 'model.answered' group by 1, 2, 3 having count(*) > 1
"""
UNTOLD = """
select f.id from effect f
where f.state = 'done' and not exists (
    select from event e where e.session_id = f.session_id and e.type = 'model.answered' and e.data -> 'call' ->> 'id' = f.id)
"""
NOT_BILLED = """
select m.session_id from message m
where m.state = 'completed' and (m.result ->> 'cost_usd')::numeric is distinct from
    (select coalesce(sum(cost_usd), 0) from effect f where f.session_id = m.session_id and f.state = 'done')
"""


def looked_at(passel: Installation, batch_id: str) -> Any:
    """The batch, whose counts add up; None while the server is away."""
    try:
        answer = passel.http().get(f"/v1/batch/{batch_id}")
    except httpx2.HTTPError:
        return None
    if answer.status_code >= 500:
        return None
    batch = answer.json()
    assert batch["processedItems"] == batch["successCount"] + batch["failureCount"] <= batch["totalItems"], batch
    return batch


def content(n: int) -> str:
    if n % 3 == 0:
        return f"{n} * 3 = {n * 3}"
    return f"1. Thing {n} is known.\n2. It is {'not so' if n % 2 else 'so'}.\n3. Therefore all is said."


def run_chaos(directory: Path, model: PlayedModel, size: int, kills: int, seed: int) -> None:
    rng = random.Random(seed)
    settings = {
        "PASSEL_TAKEOVER_AFTER": "2",
        "PASSEL_MAX_ATTEMPTS": "50",
        "PASSEL_LANE_CONCURRENCY": "20",
        "PASSEL_VERIFICATION_MODEL": "wait-0.2+verifier",
        "PASSEL_VERIFICATION_BASE_URL": model.url,
        "PASSEL_VERIFICATION_PRICE": "100,200",
    }
    passel = Installation(directory, 2, settings).start()
    try:
        items = [{"content": content(n)} for n in range(size)]
        made = passel.http().post("/v1/batch", json={"items": items, "methods": METHODS, "options": {"timeout": 60_000}}).json()
        for n in range(kills):
            time.sleep(rng.uniform(0.3, 1.0))
            looked_at(passel, made["id"])
            if n % 3 == 2:
                kill_database(passel)
                wait_until(lambda: is_ready(passel), 60)
            elif workers := passel.children("worker"):
                rng.choice(workers).kill()

        def over() -> Any:
            batch = looked_at(passel, made["id"])
            return batch if batch and batch["completedAt"] else None

        batch = wait_until(over, 300)
        assert (batch["successCount"], batch["failureCount"], batch["skippedCount"]) == (size, 0, 0)
        for check in (INVARIANTS, METHODS_TWICE, ANSWERED_TWICE, UNTOLD, NOT_BILLED):
            assert rows(passel, check) == [], check
        charged = rows(passel, "select sum((result ->> 'cost_cents')::int) as cents from message where kind = 'verification'")
        assert batch["totalCostCents"] == charged[0]["cents"] > size * PRICE_CENTS
        booked = {row["state"]: row["n"] for row in rows(passel, "select state, count(*) as n from effect group by state")}
        assert set(booked) <= {"done", "in_doubt"}
        assert sum(model.calls().values()) <= sum(booked.values())
        assert passel.stop() == 0
    finally:
        passel.program.kill()


def test_kills_lose_and_pay_nothing_twice() -> None:
    with scratch_dir() as directory, played_model() as model:
        run_chaos(directory, model, 60, 4, 1)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [2, 3, 4])
def test_many_kills_lose_and_pay_nothing_twice(seed: int) -> None:
    with scratch_dir() as directory, played_model() as model:
        run_chaos(directory, model, 400, 20, seed)
