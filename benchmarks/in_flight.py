"""Thousands of sessions in flight in one worker, with a model that takes a second.

    python -m benchmarks.in_flight [--sessions 25000] [--concurrency 5000] [--latency 1]

The ideal is sessions / concurrency x latency; beside it a bare loop with the same client that keeps nothing.
"""

import argparse
import json
import time
from datetime import datetime

import psutil
import uvloop

from benchmarks.baseline import bare_loop
from benchmarks.report import print_report
from tests.support.installation import Installation, item, played_model, scratch_dir


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--sessions", type=int, default=25_000)
    parser.add_argument("--concurrency", type=int, default=5_000)
    parser.add_argument("--latency", type=float, default=1.0)
    args = parser.parse_args()
    ideal = args.sessions / args.concurrency * args.latency
    rule = f"wait-{args.latency:g}"
    settings = {"PASSEL_CONCURRENCY": str(args.concurrency), "PASSEL_LANE_CONCURRENCY": str(args.concurrency)}
    with scratch_dir() as directory, played_model() as model:
        passel = Installation(directory, 1, settings).start()
        agent_id = passel.deploy(model.url, [rule])
        worker = passel.children("worker")[0]
        lines = [json.dumps(item(agent_id, f"flight {n}")).encode() + b"\n" for n in range(args.sessions)]
        made = passel.client.post_lines("/v1/session-batches", lambda: iter(lines))
        memory = 0
        while not (batch := passel.client.get(f"/v1/session-batches/{made['batch_id']}", include_sessions=False))["finished_at"]:
            memory = max(memory, worker.memory_info().rss)
            time.sleep(0.1)
        assert batch["status"] == "completed", batch
        events = passel.client.get("/v1/sessions", limit=1)["sessions"]
        assert events
        begun, ended = datetime.fromisoformat(batch["created_at"]), datetime.fromisoformat(batch["finished_at"])
        elapsed = (ended - begun).total_seconds()
        cpu = psutil.Process(worker.pid).cpu_times()
        peak = model.state()["peak"]
        passel.stop()
        bare = args.sessions / uvloop.run(bare_loop(model.url, rule, args.sessions, args.concurrency, direct=True))
    rows = [
        ("ideal", f"{ideal:.1f}", "1.0"),
        ("passel, one worker", f"{elapsed:.1f}", f"{elapsed / ideal:.2f}"),
        ("bare loop, same client", f"{bare:.1f}", f"{bare / ideal:.2f}"),
        ("worker: peak memory, MB", f"{memory / 1e6:.0f}", ""),
        ("worker: CPU seconds", f"{cpu.user + cpu.system:.1f}", ""),
        ("model: most calls at once", str(peak), ""),
    ]
    figures = {
        "seconds": elapsed,
        "ideal": ideal,
        "ratio": elapsed / ideal,
        "bare_seconds": bare,
        "worker_rss_mb": memory / 1e6,
        "peak_in_flight": peak,
    }
    print_report("in flight", rows, ["what", "seconds", "x ideal"], {**figures, **vars(args)})


if __name__ == "__main__":
    main()
