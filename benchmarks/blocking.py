"""How long other requests wait while the API takes in a JSON batch of 60 MB.

    python -m benchmarks.blocking [--megabytes 60] [--rounds 3]

The baseline is the same request, `GET /healthz`, while nothing else is going on. Each of them is asked on a connection
of its own, one after the other, by a process of its own.
"""

import argparse
import json
import multiprocessing
import statistics
import time
from multiprocessing.connection import Connection

import httpx2

from benchmarks.report import print_report
from tests.support.installation import Installation, item, played_model, scratch_dir


def ping(url: str, pipe: Connection) -> None:
    """Milliseconds of each answer, until told to stop."""
    times: list[float] = []
    with httpx2.Client(base_url=url, timeout=60) as http:
        http.get("/healthz")
        pipe.send("ready")
        while not pipe.poll():
            started = time.perf_counter()
            http.get("/healthz")
            times.append((time.perf_counter() - started) * 1000)
            time.sleep(0.002)
    pipe.send(times)


class Pings:
    def __init__(self, url: str) -> None:
        self._pipe, theirs = multiprocessing.Pipe()
        self._process = multiprocessing.get_context("spawn").Process(target=ping, args=(url, theirs))
        self._process.start()
        self._pipe.recv()

    def stop(self) -> list[float]:
        self._pipe.send("stop")
        times = self._pipe.recv()
        self._process.join()
        return times


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--megabytes", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    quiet: list[float] = []
    longest: list[float] = []
    seconds: list[float] = []
    with scratch_dir() as directory, played_model() as model:
        passel = Installation(directory, 0).start()
        agent = passel.deploy(model.url, ["echo"])
        count = 9000
        text = "x" * (args.megabytes * 1_000_000 // count - 120)
        body = json.dumps({"items": [item(agent, f"{n} {text}") for n in range(count)]}).encode()
        for _ in range(args.rounds):
            pings = Pings(passel.url)
            time.sleep(2)
            quiet.append(max(pings.stop()))
            pings = Pings(passel.url)
            started = time.perf_counter()
            made = passel.http().post("/v1/session-batches", content=body, params={"include_sessions": "false"}, timeout=120)
            seconds.append(time.perf_counter() - started)
            assert made.status_code == 201 and made.json()["size"] == count, made.text[:300]
            longest.append(max(pings.stop()))
            passel.client.post(f"/v1/session-batches/{made.json()['batch_id']}/cancel")
        passel.stop()
    rows = [
        ("longest GET /healthz, nothing else (baseline)", f"{statistics.median(quiet):.1f} ms", f"{min(quiet):.1f} - {max(quiet):.1f}"),
        ("longest GET /healthz beside the batch", f"{statistics.median(longest):.1f} ms", f"{min(longest):.1f} - {max(longest):.1f}"),
        (f"the batch of {len(body) / 1e6:.0f} MB, {count} items", f"{statistics.median(seconds):.2f} s", ""),
    ]
    figures = {"quiet_ms": statistics.median(quiet), "longest_ms": statistics.median(longest), "seconds": statistics.median(seconds)}
    print_report("blocking", rows, ["what", "median", "range"], {**figures, **vars(args)})


if __name__ == "__main__":
    main()
