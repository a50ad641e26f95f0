"""How long after a SIGKILL of a worker its sessions run in another one.

    python -m benchmarks.takeover [--rounds 5]

The baseline is the heartbeat's time-out itself: nobody can know earlier that a silent worker is dead.
"""

import argparse
import statistics
import time

from benchmarks.report import print_report
from tests.support.installation import Installation, played_model, scratch_dir, wait_for_batch, wait_until
from tests.test_chaos import in_flight, rows, submit

TAKEOVER_AFTER = 6.0


def _until_taken_over(passel: Installation, batch_id: str, count: int) -> float:
    """The moment at which `count` sessions have begun a second attempt."""
    sql = "select count(*) as n from message where attempt > 1 and batch_id = $1"
    wait_until(lambda: rows(passel, sql, batch_id)[0]["n"] >= count)
    return time.monotonic()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    first: list[float] = []
    every: list[float] = []
    with scratch_dir() as directory, played_model() as model:
        passel = Installation(directory, 2, {"PASSEL_TAKEOVER_AFTER": str(TAKEOVER_AFTER)}).start()
        agent = passel.deploy(model.url, ["wait-2"])
        for n in range(args.rounds):
            made = submit(passel, agent, f"round {n}", 40, f"round-{n}")
            wait_until(lambda: in_flight(passel) == 40)
            for worker in passel.children("worker"):
                worker.kill()
            died = time.monotonic()
            first.append(_until_taken_over(passel, made["batch_id"], 1) - died)
            every.append(_until_taken_over(passel, made["batch_id"], 40) - died)
            wait_for_batch(passel.client, made["batch_id"])
        passel.stop()
    report = [
        ("heartbeat time-out (baseline)", f"{TAKEOVER_AFTER:.1f}", ""),
        ("first session runs elsewhere", f"{statistics.median(first):.1f}", f"{min(first):.1f} - {max(first):.1f}"),
        ("all 40 run elsewhere", f"{statistics.median(every):.1f}", f"{min(every):.1f} - {max(every):.1f}"),
    ]
    print_report(
        "takeover",
        report,
        ["what", "s (median)", "range"],
        {"first_s": statistics.median(first), "all_s": statistics.median(every), **vars(args)},
    )


if __name__ == "__main__":
    main()
