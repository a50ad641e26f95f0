"""A method that asks a model, against the turns of agents, with the same model that answers at once, in the same run.

    python -m benchmarks.asking [--claims 3000] [--rounds 3] [--workers 1]

Each verification is one call of a model, as each turn is. What is added to a turn is the method: its prompt, its reading of the
answer, its finding in the ledger.
"""

import argparse
import json
import statistics
import time
from typing import Any

from benchmarks.report import print_report
from tests.support.installation import Installation, item, played_model, scratch_dir, wait_for_batch


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--claims", type=int, default=3000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=1)
    args = parser.parse_args()
    with scratch_dir() as directory, played_model() as model:
        settings = {
            "PASSEL_MAX_BATCH_ITEMS": str(args.claims),
            "PASSEL_VERIFICATION_MODEL": "verifier",
            "PASSEL_VERIFICATION_BASE_URL": model.url,
        }
        passel = Installation(directory, args.workers, settings).start()
        agent = passel.deploy(model.url, ["echo"])
        _turns(passel, agent, 200)
        _verified(passel, 200)
        rounds = [(_turns(passel, agent, args.claims), _verified(passel, args.claims)) for _ in range(args.rounds)]
        assert passel.stop() == 0
    turns, verified = (statistics.median(each) for each in zip(*rounds, strict=True))
    share = statistics.median(verified / turns for turns, verified in rounds)
    rows: list[Any] = [
        ("turns of agents", f"{turns:,.0f}/s"),
        ("verifications by `reasoning`", f"{verified:,.0f}/s"),
        ("share of the turns, of each round", f"{share:.0%}"),
    ]
    print_report("asking", rows, ("what", "median"), {"turns": turns, "verifications": verified, "share": share} | vars(args))


def _turns(passel: Installation, agent: str, size: int) -> float:
    """From before the request until all have ended, a second."""
    lines = [json.dumps(item(agent, f"claim {n}")).encode() + b"\n" for n in range(size)]
    started = time.perf_counter()
    made = passel.client.post_lines("/v1/session-batches", lambda: iter(lines))
    wait_for_batch(passel.client, made["batch_id"], 300)
    return size / (time.perf_counter() - started)


def _verified(passel: Installation, size: int) -> float:
    http, started = passel.http(), time.perf_counter()
    body = {"items": [{"content": f"Claim {n} holds"} for n in range(size)], "methods": {"reasoning": 1}}
    made = http.post("/v1/batch", json=body).json()
    while not (batch := http.get(f"/v1/batch/{made['id']}").json())["completedAt"]:
        time.sleep(0.02)
    assert batch["successCount"] == size, batch
    return size / (time.perf_counter() - started)


if __name__ == "__main__":
    main()
