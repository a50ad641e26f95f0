"""Claims compared with thousands of facts, from the request to the last result, over HTTP.

    python -m benchmarks.semantic [--facts 10000] [--claims 2000] [--rounds 3] [--workers 1]

Half of the claims are facts in other words, half have another number. The baseline is the bare encoder in a process of its own:
what is added is the exact scan, the guards, and a verification that is durable.
"""

import argparse
import asyncio
import random
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.report import print_report
from passel.models.embedding import Embedder
from tests.support.installation import Installation, scratch_dir

_SINGLES = 50
_MAKERS = [
    "Aster",
    "Boreal",
    "Cedar",
    "Dorado",
    "Ember",
    "Fjord",
    "Garnet",
    "Harbor",
    "Indigo",
    "Juniper",
    "Krypton",
    "Lumen",
    "Meridian",
    "Nimbus",
    "Orchid",
    "Pioneer",
]
_THINGS = [
    "drill",
    "lamp",
    "kettle",
    "router",
    "printer",
    "bicycle",
    "camera",
    "heater",
    "fridge",
    "scooter",
    "tent",
    "monitor",
    "speaker",
    "vacuum",
    "mixer",
    "pump",
]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--facts", type=int, default=10_000)
    parser.add_argument("--claims", type=int, default=2_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=1)
    args = parser.parse_args()
    r = random.Random(1)
    things = [(f"The {r.choice(_MAKERS)} {r.choice(_THINGS)} {n}", r.randint(2, 900)) for n in range(args.facts)]
    claims = [_claim(r, *r.choice(things), true=n % 2 == 0) for n in range(args.claims)]
    bare, bare_single = asyncio.run(_bare(claims, args.rounds))
    with scratch_dir() as directory:
        passel = Installation(directory, args.workers, {"PASSEL_MAX_BATCH_ITEMS": str(args.claims)}).start()
        loading = _load(passel, things)
        _batch(passel, claims[:100])
        made = [_batch(passel, claims) for _ in range(args.rounds)]
        singles = sorted(_single(passel, claim) for claim in claims[:_SINGLES])
        _, right, wrong = made[-1]
        assert passel.stop() == 0
    rates = [rate for rate, *_ in made]
    single = statistics.median(singles)
    rows: list[Any] = [
        ("bare encoder, all claims at once", f"{bare:,.0f} claims/s"),
        (
            f"batch of {args.claims:,}, {args.facts:,} facts, {args.workers} worker(s)",
            f"{statistics.median(rates):,.0f} claims/s ({min(rates):,.0f} - {max(rates):,.0f})",
        ),
        ("bare encoder, one claim", f"{bare_single:.1f} ms"),
        ("one claim, waited for", f"{single:.1f} ms (95 %: {singles[int(0.95 * len(singles))]:.1f})"),
        (f"loading {args.facts:,} facts as CSV", f"{loading:,.0f} facts/s"),
        ("verdicts that are right, and wrong", f"{right:.1%}, {wrong:.1%}"),
    ]
    figures = {"bare_per_second": bare, "claims_per_second": statistics.median(rates), "bare_single_ms": bare_single, "single_ms": single}
    print_report("semantic", rows, ("what", "median"), figures | {"facts_per_second": loading, "right": right, "wrong": wrong} | vars(args))


def _claim(r: random.Random, thing: str, kilos: int, *, true: bool) -> str:
    said = kilos if true else kilos + r.choice([1, 2, 10])
    return r.choice([f"{thing} weighs {said} kilograms", f"{thing} weighs {said * 1000:,} g", f"{thing} weighs {said} kg."])


async def _bare(claims: list[str], rounds: int) -> tuple[float, float]:
    """Claims a second all at once, and milliseconds for one."""
    embedder = Embedder()
    await embedder.embed(claims[:1])
    rates, singles = list[float](), list[float]()
    for _ in range(rounds):
        began = time.perf_counter()
        await embedder.embed(claims)
        rates.append(len(claims) / (time.perf_counter() - began))
    for claim in claims[:_SINGLES]:
        began = time.perf_counter()
        await embedder.embed([claim])
        singles.append((time.perf_counter() - began) * 1000)
    await embedder.aclose()
    return statistics.median(rates), statistics.median(singles)


def _load(passel: Installation, things: list[tuple[str, int]]) -> float:
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "facts.csv"
        file.write_text("text,source\n" + "".join(f"{thing} weighs {kilos} kg.,a catalogue\n" for thing, kilos in things))
        began = time.perf_counter()
        answer = passel.http().post("/v1/facts", files={"file": ("facts.csv", file.read_bytes())}, timeout=600)
        assert answer.status_code == 201 and answer.json()["created"] == len(things), answer.text
        return len(things) / (time.perf_counter() - began)


def _batch(passel: Installation, claims: list[str]) -> tuple[float, float, float]:
    """Claims a second from before the request until the batch says that it is over, and the shares of right and wrong verdicts."""
    http = passel.http()
    began = time.perf_counter()
    made = http.post("/v1/batch", json={"items": [{"content": claim} for claim in claims], "methods": {"semantic": 1}}).json()
    while True:
        batch = http.get(f"/v1/batch/{made['id']}").json()
        if batch["completedAt"]:
            break
        time.sleep(0.02)
    rate = len(claims) / (time.perf_counter() - began)
    assert batch["successCount"] == len(claims), batch
    verdicts = [
        item["verdict"]
        for offset in range(0, len(claims), 100)
        for item in http.get(f"/v1/batch/{made['id']}/results", params={"limit": "100", "offset": str(offset)}).json()["items"]
    ]
    truth = ["true", "false"] * (len(claims) // 2 + 1)
    right = sum(verdict == true for verdict, true in zip(verdicts, truth, strict=False))
    undecided = verdicts.count("uncertain")
    return rate, right / len(claims), (len(claims) - right - undecided) / len(claims)


def _single(passel: Installation, claim: str) -> float:
    began = time.perf_counter()
    assert passel.http().post("/v1/verify", json={"content": claim, "methods": {"semantic": 1}}).status_code == 200
    return (time.perf_counter() - began) * 1000


if __name__ == "__main__":
    main()
