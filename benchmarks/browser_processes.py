"""What fewer processes save of a browser session, and what they cost in isolation.

    python -m benchmarks.browser_processes [--rounds 5]

Chromium is started as sessions are, and with flags that put some of its parts into one process. Memory is the PSS of all its processes,
with an empty page and with a page that shows three sites in frames; processor time is all that they took until they were idle.
Isolation is counted as the kernel sees it: processes that read what comes from the network (renderers, the network service, the GPU's) under
a seccomp filter and without one, and how many of the three sites have a renderer of their own.
"""

import argparse
import asyncio
import contextlib
import statistics
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import psutil
import uvloop

from benchmarks.browsers import nothing, pss
from benchmarks.report import print_report
from passel.workloads.browser import chromium
from passel.workloads.browser.driver import Driver
from passel.workloads.browser.limits import family
from passel.workloads.browser.proxy import EgressProxy, Rules

VARIANTS = {
    "as sessions are": (),
    "network in the browser's": ("--enable-features=NetworkServiceInProcess2",),
    "GPU in the browser's": ("--in-process-gpu",),
    "sites not apart": ("--disable-site-isolation-trials", "--renderer-process-limit=1"),
}
_SITES = ("127.0.0.2", "127.0.0.3", "127.0.0.4")
_CALM_SECONDS = 2.0


class _Page(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        port = self.headers["Host"].rpartition(":")[2]
        frames = "".join(f"<iframe src=http://{site}:{port}/frame></iframe>" for site in _SITES) if self.path == "/" else "one"
        body = f"<!doctype html>{frames}".encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None: ...


@dataclass(frozen=True)
class Cost:
    processes: int
    empty: float
    """MiB."""
    sites: float
    """MiB."""
    processor: float
    """Seconds."""
    filtered: int
    unfiltered: int
    renderers: int


def _kind(process: psutil.Process) -> str:
    line = process.cmdline()
    kind = next((one.partition("=")[2] for one in line if one.startswith("--type=")), "browser")
    return next((one.partition("=")[2] for one in line if one.startswith("--utility-sub-type=")), kind)


def _filtered(pid: int) -> bool:
    """Whether a seccomp filter holds for it (`Seccomp: 2`, proc(5))."""
    return "\nSeccomp:\t2\n" in Path(f"/proc/{pid}/status").read_text()


async def _cost(keeper: chromium.Keeper, flags: Sequence[str], page_url: str, name: str) -> Cost:
    proxy = EgressProxy(Rules(allow_private=True))
    await proxy.open()
    ways = [f"--proxy-server={proxy.url}", "--proxy-bypass-list=<-loopback>"]
    try:
        browser = await keeper.start(name, [*ways, *flags], nothing, {}, lambda: None)
        driver = await Driver.of(browser.mux)
        while not (found := await driver.pages()):  # noqa: ASYNC110 - nobody is told
            await asyncio.sleep(0.01)
        session = await driver.attach(found[0]["targetId"])
        await asyncio.sleep(_CALM_SECONDS)
        empty, members = pss(browser.pid), [psutil.Process(pid) for pid in family(browser.pid)]
        took = 0.0
        for member in members:
            with contextlib.suppress(psutil.Error):
                took += sum(member.cpu_times()[:2])
        await driver.call("Page.navigate", {"url": page_url}, session)
        await asyncio.sleep(_CALM_SECONDS)
        kinds = {pid: _kind(psutil.Process(pid)) for pid in family(browser.pid)}
        exposed = [pid for pid, kind in kinds.items() if kind in ("renderer", "network.mojom.NetworkService", "gpu-process")]
        filtered = sum(map(_filtered, exposed))
        spare = 1  # a renderer that is kept for the next page
        return Cost(
            processes=len(members),
            empty=empty / 1024,
            sites=pss(browser.pid) / 1024,
            processor=took,
            filtered=filtered,
            unfiltered=len(exposed) - filtered + ("network.mojom.NetworkService" not in kinds.values()),
            renderers=max(1, list(kinds.values()).count("renderer") - spare),
        )
    finally:
        await browser.end()
        await proxy.close()


async def _measure(rounds: int, page_url: str) -> dict[str, list[Cost]]:
    executable = chromium.find()
    assert executable is not None
    async with chromium.keeping(executable, None) as (keeper, _):
        found: dict[str, list[Cost]] = {name: [] for name in VARIANTS}
        for n in range(rounds):
            for number, (name, flags) in enumerate(VARIANTS.items()):
                found[name].append(await _cost(keeper, flags, page_url, f"{number}-{n}"))
    return found


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    server = ThreadingHTTPServer(("0.0.0.0", 0), _Page)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    found = uvloop.run(_measure(args.rounds, f"http://127.0.0.1:{server.server_port}/"))
    server.shutdown()

    def median(costs: list[Cost], field: str) -> float:
        return statistics.median(getattr(cost, field) for cost in costs)

    rows = [
        (
            name,
            f"{of('processes'):.0f}",
            f"{of('empty'):.0f}",
            f"{of('sites'):.0f}",
            f"{of('processor') * 1000:.0f}",
            f"{of('filtered'):.0f} and {of('unfiltered'):.0f}",
            f"{min(3, of('renderers') - 1):.0f} of 3",
        )
        for name, costs in found.items()
        for of in (partial(median, costs),)
    ]
    columns = ["", "processes", "empty MiB", "3 sites MiB", "CPU ms", "filtered, not", "sites apart"]
    figures = {name: {field: median(costs, field) for field in Cost.__annotations__} for name, costs in found.items()}
    print_report("browser_processes", rows, columns, {**figures, **vars(args)})


if __name__ == "__main__":
    main()
