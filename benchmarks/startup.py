"""How soon a worker is ready after its start, and how large it is then; how long `passel version` takes.

    python -m benchmarks.startup [--rounds 7]

The baseline is the interpreter itself: `python -c pass`.
"""

import argparse
import statistics
import subprocess
import sys
import time

import psutil

from benchmarks.report import print_report
from tests.support.installation import Installation, Program, scratch_dir


def command_seconds(*command: str) -> float:
    started = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - started


def worker_start(passel: Installation) -> tuple[float, float]:
    """Seconds from the start to ready, and MB of resident memory then."""
    worker = Program([sys.executable, "-m", "passel", "worker"], passel.environment(), stderr_path=passel.data_dir / "worker.err")
    started = time.perf_counter()
    worker.start(ready="ready")
    elapsed = time.perf_counter() - started
    size = psutil.Process(worker.process.pid).memory_info().rss / 1e6
    worker.stop()
    return elapsed, size


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=7)
    args = parser.parse_args()
    times: dict[str, list[float]] = {"python -c pass (baseline)": [], "passel version": [], "worker is ready": []}
    sizes: list[float] = []
    with scratch_dir() as directory:
        passel = Installation(directory, 0).start()
        for _ in range(args.rounds):
            times["python -c pass (baseline)"].append(command_seconds(sys.executable, "-c", "pass"))
            times["passel version"].append(command_seconds(sys.executable, "-m", "passel", "version"))
            elapsed, size = worker_start(passel)
            times["worker is ready"].append(elapsed)
            sizes.append(size)
        passel.stop()
    rows = [(name, f"{statistics.median(v):.2f} s", f"{min(v):.2f} - {max(v):.2f}") for name, v in times.items()]
    rows.append(("worker's memory when it is ready", f"{statistics.median(sizes):.0f} MB", f"{min(sizes):.0f} - {max(sizes):.0f}"))
    figures = {"seconds": {name: statistics.median(v) for name, v in times.items()}, "worker_mb": statistics.median(sizes)}
    print_report("startup", rows, ["what", "median", "range"], {**figures, **vars(args)})


if __name__ == "__main__":
    main()
