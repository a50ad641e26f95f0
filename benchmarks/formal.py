"""How many claims a second the method `formal` decides: the bare check in this process, and through a `Checker`.

    python -m benchmarks.formal [--claims 4000]

By kind of claim. The plain ones need no solver; algebra takes sympy, logic z3. The baseline is the bare check: what a
checker adds is a message to another process and back.
"""

import argparse
import asyncio
import random
import time
from collections.abc import Sequence

from benchmarks.report import print_report
from passel.workloads.verification.formal import Checker, check
from tests.support.claims import PLAIN, arguments, arithmetic, identities, weekdays

Claims = list[tuple[str, Sequence[str]]]


def claims(count: int) -> dict[str, Claims]:
    r = random.Random(1)
    few = max(count // 20, 50)
    return {
        "arithmetic": [(arithmetic(r, n % 2 == 0), ()) for n in range(count)],
        "dates": [(weekdays(r, n % 2 == 0), ()) for n in range(count)],
        "all plain forms": [(PLAIN[n % len(PLAIN)](r, n % 2 == 0), ()) for n in range(count)],
        "identities": [(identities(r, n % 2 == 0), ()) for n in range(few)],
        "logic": [(claim, premises) for premises, claim, _ in arguments(1, few)],
    }


def bare(made: Claims) -> float:
    for claim, premises in made[:10]:
        check(claim, premises)  # what is loaded once
    started = time.perf_counter()
    for claim, premises in made:
        check(claim, premises)
    return len(made) / (time.perf_counter() - started)


async def through(made: Claims, processes: int) -> float:
    async with Checker(processes) as checker:
        await checker.check_many(made[:10])
        started = time.perf_counter()
        await checker.check_many(made)
        return len(made) / (time.perf_counter() - started)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--claims", type=int, default=4000)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    rows: list[tuple[str, str, str, str]] = []
    figures: dict[str, object] = {}
    for name, made in claims(args.claims).items():
        alone = sorted(bare(made) for _ in range(args.rounds))[args.rounds // 2]
        checked = sorted(asyncio.run(through(made, 1)) for _ in range(args.rounds))[args.rounds // 2]
        rows.append((name, f"{alone:,.0f}", f"{checked:,.0f}", f"{checked / alone:.2f}"))
        key = name.replace(" ", "_")
        figures |= {f"{key}_bare_per_second": alone, f"{key}_checker_per_second": checked}
    print_report("formal", rows, ("claims", "bare/s", "checker/s", "ratio"), figures)


if __name__ == "__main__":
    main()
