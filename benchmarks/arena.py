"""A browser session's whole life as its user has it, measured as Browser Arena measures it (repository nottelabs/browserarena): create by
the API, connect Playwright over CDP, go to a page until `domcontentloaded`, release by the API; ten runs to warm up, then runs one
at a time, and runs in waves.

    python -m benchmarks.arena [--runs 100] [--wave 10] [--pool 12]

Cold is the same without browsers that wait. The page is local. Published medians of others (June 2026, milliseconds, with their network in
between): BaseLayer 224 (create 75, connect 54, goto 83, release 12), Notte 358, Kernel 365 (42, 79, 176, 68), Browserbase 578, Steel 972,
Anchor Browser 3,791 (1,467, 168, 1,322, 835).
"""

import argparse
import asyncio
import statistics
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx2
from playwright.async_api import Playwright, async_playwright

from benchmarks.report import print_report
from tests.support.installation import KEY, installed

PARTS = ("create", "connect", "goto", "release")
_PAGE = b"<!doctype html><title>Arena</title><h1>Arena</h1>"
_CONFIGURATION = {"browser": {"headless": {"active": True}}, "session": {"recording": {"active": False}}}
_CALM_SECONDS = 1.0


class _Page(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(_PAGE)))
        self.end_headers()
        self.wfile.write(_PAGE)

    def log_message(self, format: str, *args: Any) -> None: ...


@dataclass
class Runs:
    """Milliseconds of each part, of runs that succeeded."""

    took: dict[str, list[float]] = field(default_factory=lambda: {part: [] for part in PARTS})
    failed: int = 0

    def median(self, part: str) -> float:
        return statistics.median(self.took[part]) if self.took[part] else float("nan")

    def cycle(self, *parts: str) -> float:
        """The median of sums of parts."""
        return statistics.median(map(sum, zip(*(self.took[part] for part in parts), strict=True))) if self.took["create"] else float("nan")


async def _run(client: httpx2.AsyncClient, playwright: Playwright, page_url: str, runs: Runs) -> None:
    try:
        marks = [time.perf_counter()]
        made = (await client.post("/v1/sessions", json=_CONFIGURATION)).raise_for_status().json()["data"]
        marks.append(time.perf_counter())
        browser = await playwright.chromium.connect_over_cdp(made["cdp_url"])
        marks.append(time.perf_counter())
        await browser.contexts[0].pages[0].goto(page_url, wait_until="domcontentloaded")
        marks.append(time.perf_counter())
        (await client.delete(f"/v1/sessions/{made['id']}")).raise_for_status()
        marks.append(time.perf_counter())
    except Exception as error:
        runs.failed += 1
        print(f"failed: {error}")
        return
    for part, begin, end in zip(PARTS, marks, marks[1:], strict=False):
        runs.took[part].append((end - begin) * 1000)


async def _measure(url: str, page_url: str, runs: int, wave: int, warm_up: int) -> tuple[Runs, Runs]:
    one_by_one, in_waves = Runs(), Runs()
    async with httpx2.AsyncClient(base_url=url, headers={"anchor-api-key": KEY}, timeout=120) as client, async_playwright() as playwright:
        for _ in range(warm_up):
            await _run(client, playwright, page_url, Runs())
        for _ in range(runs):
            await _run(client, playwright, page_url, one_by_one)
            await asyncio.sleep(_CALM_SECONDS)  # users come one after another, not at the same moment
        for _ in range(runs // wave):
            await asyncio.gather(*(_run(client, playwright, page_url, in_waves) for _ in range(wave)))
            await asyncio.sleep(_CALM_SECONDS * wave)
    return one_by_one, in_waves


def _row(name: str, runs: Runs, count: int) -> tuple[str, ...]:
    parts = [f"{runs.median(part):.0f}" for part in PARTS]
    return (
        name,
        *parts,
        f"{runs.cycle('create', 'connect', 'release'):.0f}",
        f"{runs.cycle(*PARTS):.0f}",
        f"{count - runs.failed} of {count}",
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--wave", type=int, default=10)
    parser.add_argument("--pool", type=int, default=12)
    args = parser.parse_args()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Page)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    page_url = f"http://127.0.0.1:{server.server_port}/"
    rows: list[tuple[str, ...]] = []
    figures: dict[str, Any] = {}
    for name, pool in (("cold", 0), (f"pool of {args.pool}", args.pool)):
        with installed(1, {"PASSEL_ALLOW_PRIVATE_URLS": "1", "PASSEL_BROWSER_POOL": str(pool)}) as passel:
            one, waves = asyncio.run(_measure(passel.url, page_url, args.runs, args.wave, min(10, args.runs)))
        for mode, runs in (("one at a time", one), (f"waves of {args.wave}", waves)):
            count = args.runs if runs is one else args.runs // args.wave * args.wave
            rows.append(_row(f"{name}, {mode}", runs, count))
            figures[f"{'pool' if pool else 'cold'}_{'one' if runs is one else 'waves'}_ms"] = {
                part: round(runs.median(part), 1) for part in PARTS
            } | {
                "create_connect_release": round(runs.cycle("create", "connect", "release"), 1),
                "failed": runs.failed,
            }
    server.shutdown()
    print_report("arena", rows, ["ms, medians", *PARTS, "c+c+r", "whole", "succeeded"], {**figures, **vars(args)})


if __name__ == "__main__":
    main()
