"""Batches of claims that need no model, from the request to the last result, over HTTP; and reading them.

    python -m benchmarks.verification [--claims 10000] [--rounds 3] [--workers 1]

Claims of arithmetic, half of them false, in one batch. The baseline is the bare check in this process: what is added is a
verification that is durable, with its ledger and its counts.
"""

import argparse
import random
import statistics
import time
from typing import Any

from benchmarks.report import print_report
from passel.workloads.verification.formal import check
from tests.support.claims import arithmetic
from tests.support.installation import Installation, scratch_dir

_READS = 50


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--claims", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=1)
    args = parser.parse_args()
    r = random.Random(1)
    claims = [arithmetic(r, n % 2 == 0) for n in range(args.claims)]
    bare = statistics.median(_bare(claims) for _ in range(args.rounds))
    with scratch_dir() as directory:
        passel = Installation(directory, args.workers, {"PASSEL_MAX_BATCH_ITEMS": str(args.claims)}).start()
        _batch(passel, claims[:200])
        made = [_batch(passel, claims) for _ in range(args.rounds)]
        batch_id = made[-1][0]
        read = {path: _read(passel, path) for path in (f"/v1/batch/{batch_id}", f"/v1/batch/{batch_id}/results?limit=100", "/healthz")}
        single = statistics.median(_single(passel, claim) for claim in claims[:_READS])
        assert passel.stop() == 0
    rate = statistics.median(rate for _, rate in made)
    rows: list[Any] = [
        ("bare check", f"{bare:,.0f} claims/s"),
        (
            f"batch of {args.claims:,}, {args.workers} worker(s)",
            f"{rate:,.0f} claims/s ({min(x for _, x in made):,.0f} - {max(x for _, x in made):,.0f})",
        ),
        ("one claim, waited for", f"{single:.1f} ms"),
        *((f"GET {path.replace(batch_id, 'ID')}", f"{ms:.1f} ms") for path, ms in read.items()),
    ]
    figures = {"bare_per_second": bare, "claims_per_second": rate, "single_ms": single, "read_ms": list(read.values())}
    print_report("verification", rows, ("what", "median"), figures | vars(args))


def _bare(claims: list[str]) -> float:
    started = time.perf_counter()
    for claim in claims:
        check(claim)
    return len(claims) / (time.perf_counter() - started)


def _batch(passel: Installation, claims: list[str]) -> tuple[str, float]:
    """The batch's id, and claims a second from before the request until the batch says that it is over."""
    http = passel.http()
    started = time.perf_counter()
    made = http.post("/v1/batch", json={"items": [{"content": claim} for claim in claims], "methods": {"formal": 1}}).json()
    while True:
        batch = http.get(f"/v1/batch/{made['id']}").json()
        if batch["completedAt"]:
            break
        time.sleep(0.02)
    assert batch["successCount"] == len(claims), batch
    return made["id"], len(claims) / (time.perf_counter() - started)


def _read(passel: Installation, path: str) -> float:
    http, times = passel.http(), list[float]()
    for _ in range(_READS):
        started = time.perf_counter()
        assert http.get(path).status_code == 200
        times.append((time.perf_counter() - started) * 1000)
    return statistics.median(times)


def _single(passel: Installation, claim: str) -> float:
    started = time.perf_counter()
    assert passel.http().post("/v1/verify", json={"content": claim, "methods": {"formal": 1}}).status_code == 200
    return (time.perf_counter() - started) * 1000


if __name__ == "__main__":
    main()
