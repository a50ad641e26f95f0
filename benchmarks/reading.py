"""Reading a batch of 100,000 items over HTTP: its state, all its sessions, its results.

    python -m benchmarks.reading [--items 100000] [--rounds 20]

The baseline is `GET /healthz` on the same connection, which touches nothing.
"""

import argparse
import json
import statistics
import time

from benchmarks.creation import lines
from benchmarks.report import print_report
from tests.support.installation import Installation, played_model, scratch_dir


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=20)
    args = parser.parse_args()
    times: dict[str, list[float]] = {}
    with scratch_dir() as directory, played_model() as model:
        passel = Installation(directory, 0).start()
        agent_id = passel.deploy(model.url, ["echo"])
        body = list(lines(agent_id, args.items))
        batch_id = passel.client.post_lines("/v1/session-batches", lambda: iter(body))["batch_id"]
        http = passel.http()
        cases = {
            "healthz (baseline)": ("/healthz", args.rounds),
            "batch without its sessions": (f"/v1/session-batches/{batch_id}?include_sessions=false", args.rounds),
            "batch with all sessions": (f"/v1/session-batches/{batch_id}", 3),
            "results": (f"/v1/session-batches/{batch_id}/results", 3),
        }
        for name, (path, rounds) in cases.items():
            times[name] = []
            for _ in range(rounds):
                started = time.perf_counter()
                response = http.get(path)
                times[name].append((time.perf_counter() - started) * 1000)
                assert response.status_code == 200
                if name == "batch with all sessions":
                    assert len(json.loads(response.content)["sessions"]) == args.items
        passel.stop()
    rows = [(name, f"{statistics.median(v):.1f}", f"{min(v):.1f} - {max(v):.1f}") for name, v in times.items()]
    print_report(
        "reading", rows, ["what", "ms (median)", "range"], {"ms": {n: statistics.median(v) for n, v in times.items()}, **vars(args)}
    )


if __name__ == "__main__":
    main()
