"""What a browser session costs beside a bare Chromium that is started the same way: until it can be connected to, by the batch, in memory,
and for each command of CDP.

    python -m benchmarks.browsers [--rounds 15] [--batch 50]

The baseline starts the same executable with the same flags on a pipe, by the same keeper, and waits until its page answers. Memory is the
PSS of a browser's processes, once it has been idle for a moment. Commands are `Browser.getVersion` on ten sessions at once: as clients send
them, with a pause between one and the next, and without any, where what all ten and their client take of the processor decides.
"""

import argparse
import asyncio
import os
import statistics
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2
import uvloop

from benchmarks.report import print_report
from passel.core.browser.configuration import Configuration
from passel.workloads.browser import chromium
from passel.workloads.browser.driver import Driver
from passel.workloads.browser.limits import family
from passel.workloads.browser.pool import Browsers, Started
from passel.workloads.browser.proxy import Rules
from tests.support.installation import KEY, Installation, installed

_CONFIGURATION = {"browser": {"headless": {"active": True}}, "session": {"recording": {"active": False}}}
_COMMANDS, _AT_ONCE = 300, 10
_PAUSES = {"trip": 0.02, "pressed": 0.0}
_CALM_SECONDS = 2.0


async def nothing(directory: Path) -> dict[str, Any]:
    return {}


def pss(pid: int) -> int:
    """KiB of a browser's processes."""
    found = 0
    for one in family(pid):
        try:
            lines = Path(f"/proc/{one}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        found += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return found


async def _bare(rounds: int, batch: int) -> dict[str, float]:
    executable = chromium.find()
    assert executable is not None
    async with chromium.keeping(executable, None) as (keeper, _):
        browsers = Browsers(keeper, Rules(), asyncio.Semaphore(os.cpu_count() or 1))

        async def start(n: int) -> Started:
            started = await browsers.get(f"bare-{n}", Configuration(), None, nothing)
            driver = await Driver.of(started.chromium.mux)
            [page] = await driver.pages()
            await driver.call("Runtime.evaluate", {"expression": "1"}, await driver.attach(page["targetId"]))
            return started

        took: list[float] = []
        for n in range(rounds):
            begun = time.perf_counter()
            started = await start(n)
            took.append(time.perf_counter() - begun)
            await started.end()
        begun = time.perf_counter()
        many = await asyncio.gather(*(start(1000 + n) for n in range(batch)))
        together = time.perf_counter() - begun
        await asyncio.sleep(_CALM_SECONDS)
        memory = statistics.median(pss(one.chromium.pid) for one in many)

        async def ask(started: Started, pause: float) -> list[float]:
            times: list[float] = []
            for _ in range(_COMMANDS):
                begun = time.perf_counter()
                await started.chromium.mux.call("Browser.getVersion")
                times.append(time.perf_counter() - begun)
                await asyncio.sleep(pause)
            return times

        trips = {name: _median(await asyncio.gather(*(ask(one, pause) for one in many[:_AT_ONCE]))) for name, pause in _PAUSES.items()}
        await asyncio.gather(*(one.end() for one in many))
    return {"create": statistics.median(took) * 1000, "batch": together, "pss": memory / 1024, **trips}


def _median(times: list[list[float]]) -> float:
    """Milliseconds."""
    return statistics.median([one for of_one in times for one in of_one]) * 1000


class _Client(asyncio.Protocol):
    """A client that does next to nothing, so that what is measured is not its own: one command at a time, and answers that are not read."""

    def __init__(self, url: str) -> None:
        self._url = urlsplit(url)
        self._loop = asyncio.get_running_loop()
        self._answer: asyncio.Future[None] = self._loop.create_future()
        self._upgraded = False

    async def open(self) -> None:
        self._transport, _ = await self._loop.create_connection(lambda: self, self._url.hostname, self._url.port)
        head = (
            f"GET {self._url.path}?{self._url.query} HTTP/1.1\r\nHost: {self._url.netloc}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        )
        self._transport.write(f"{head}Sec-WebSocket-Key: {'A' * 22}==\r\nSec-WebSocket-Version: 13\r\n\r\n".encode())
        await self._answer

    async def ask(self, command: bytes) -> None:
        """A masked frame (RFC 6455, 5.3) whose mask changes nothing."""
        self._answer = self._loop.create_future()
        self._transport.write(bytes((0x81, 0x80 | len(command), 0, 0, 0, 0)) + command)
        await self._answer

    def close(self) -> None:
        self._transport.close()

    def data_received(self, data: bytes) -> None:
        if not self._upgraded:
            assert data.startswith(b"HTTP/1.1 101"), data
            self._upgraded = True
        if not self._answer.done():
            self._answer.set_result(None)


async def _trips(urls: list[str]) -> dict[str, float]:
    clients = [_Client(url) for url in urls]
    for client in clients:
        await client.open()

    async def ask(client: _Client, pause: float) -> list[float]:
        times: list[float] = []
        for n in range(_COMMANDS):
            begun = time.perf_counter()
            await client.ask(f'{{"id":{n},"method":"Browser.getVersion"}}'.encode())
            times.append(time.perf_counter() - begun)
            await asyncio.sleep(pause)
        return times

    found = {name: _median(await asyncio.gather(*(ask(client, pause) for client in clients))) for name, pause in _PAUSES.items()}
    for client in clients:
        client.close()
    return found


def _mains(passel: Installation) -> list[int]:
    below = [child for worker in passel.children("worker") for child in worker.children(recursive=True)]
    lines = [(child.pid, child.cmdline()) for child in below]
    return [pid for pid, line in lines if "--remote-debugging-pipe" in line and not any(one.startswith("--type=") for one in line)]


def _ours(passel: Installation, rounds: int, batch: int) -> dict[str, float]:
    with httpx2.Client(base_url=passel.url, headers={"anchor-api-key": KEY}, timeout=120) as http:
        took: list[float] = []
        for _ in range(rounds):
            begun = time.perf_counter()
            made = http.post("/v1/sessions", json=_CONFIGURATION).raise_for_status().json()["data"]
            took.append(time.perf_counter() - begun)
            http.delete(f"/v1/sessions/{made['id']}")
            time.sleep(0.3)
        begun = time.perf_counter()
        asked = {"count": batch, "configuration": _CONFIGURATION}
        batch_id = http.post("/v1/batch-sessions", json=asked).raise_for_status().json()["data"]["batch_id"]
        while (found := http.get(f"/v1/batch-sessions/{batch_id}").json()["data"])["status"] in ("pending", "processing"):
            time.sleep(0.1)
        together = time.perf_counter() - begun
        assert found["completed_requests"] == batch, found
        time.sleep(_CALM_SECONDS)
        memory = statistics.median(pss(pid) for pid in _mains(passel))
        trips = uvloop.run(_trips([one["cdp_url"] for one in found["sessions"][:_AT_ONCE]]))
        http.delete(f"/v1/batch-sessions/{batch_id}")
    return {"create": statistics.median(took) * 1000, "batch": together, "pss": memory / 1024, **trips}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--batch", type=int, default=50)
    args = parser.parse_args()
    bare = uvloop.run(_bare(args.rounds, args.batch))
    with installed(1, {"PASSEL_BROWSERS": str(args.batch)}) as passel:
        ours = _ours(passel, args.rounds, args.batch)
    names = {
        "create": "one, until it can be connected to (ms, median)",
        "batch": f"{args.batch} together, until all can be (s)",
        "pss": "memory of one, idle (MiB PSS, median)",
        "trip": f"a command, {_AT_ONCE} clients, {1 / _PAUSES['trip']:.0f} a second each (ms, median)",
        "pressed": f"a command, {_AT_ONCE} clients, as fast as it goes (ms, median)",
    }
    rows = [(said, f"{bare[name]:.2f}", f"{ours[name]:.2f}", f"{ours[name] / bare[name]:.2f}") for name, said in names.items()]
    print_report("browsers", rows, ["what", "bare", "Passel", "ratio"], {"bare": bare, "passel": ours, **vars(args)})


if __name__ == "__main__":
    main()
