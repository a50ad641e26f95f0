"""What it takes to watch sessions whose pages never stand still.

    python -m benchmarks.screencast [--sessions 4] [--rate 10] [--changes 10] [--seconds 15]

Each session shows a page of 1440x900 that changes so often a second, and has one viewer of its live view who wants so many pictures a second.
A page that is watched is drawn as often as it changes, which without a GPU takes most of it: 60 times a second where it may. The baseline is the
same with nobody watching: what the pages themselves take. Figures are processor seconds a second, all processes of Chromium and all of
Passel; recording is a second viewer, whose pictures are made a film, and is measured the same way.
"""

import argparse
import asyncio
import time
from typing import Any

import aiohttp
import httpx2
import psutil
import uvloop

from benchmarks.report import print_report
from tests.support.installation import KEY, Installation, installed

_PAGE = """data:text/html,<!doctype html><title>clock</title><style>div{position:absolute;width:200px;height:200px;background:teal}</style>
<h1 id=n></h1><p>What is written here stands still.</p><div id=d></div><script>
let n = 0; const step = () => { d.style.left = (n * 3) % 1200 + 'px'; document.getElementById('n').textContent = n++; setTimeout(step, {pause}) }; step()
</script>"""
_CALM_SECONDS = 3.0


def _taken(passel: Installation) -> tuple[float, float]:
    """Processor seconds: of Passel's own processes, and of Chromium's."""
    own = chromium = 0.0
    for process in psutil.Process(passel.program.process.pid).children(recursive=True):
        try:
            line, times = process.cmdline(), process.cpu_times()
        except psutil.Error:
            continue
        if line and "chrom" in line[0]:
            chromium += times.user + times.system
        else:
            own += times.user + times.system
    return own, chromium


async def _watch(url: str, rate: float, seconds: float) -> int:
    """How many pictures came."""
    pictures, until = 0, time.monotonic() + seconds
    socket_url = url.replace("?", "/socket?", 1).replace("http", "ws", 1) + f"&rate={rate}"
    async with aiohttp.ClientSession() as session, session.ws_connect(socket_url, max_msg_size=0) as socket:
        while (left := until - time.monotonic()) > 0:
            try:
                message = await socket.receive(timeout=left)
            except TimeoutError:
                break
            pictures += message.type is aiohttp.WSMsgType.BINARY
    return pictures


def _measure(sessions: int, rate: float, changes: float, seconds: float, recorded: bool) -> list[dict[str, Any]]:
    configuration = {
        "session": {"initial_url": _PAGE.replace("{pause}", str(1000 / changes)), "recording": {"active": recorded}},
        "browser": {"headless": {"active": True}},
    }
    found: list[dict[str, Any]] = []
    with (
        installed(1, {"PASSEL_BROWSERS": str(sessions)}) as passel,
        httpx2.Client(base_url=passel.url, headers={"anchor-api-key": KEY}) as http,
    ):
        made = [http.post("/v1/sessions", json=configuration, timeout=60).raise_for_status().json()["data"] for _ in range(sessions)]
        time.sleep(_CALM_SECONDS)

        async def watched(watching: bool) -> int:
            if not watching:
                await asyncio.sleep(seconds)
                return 0
            return sum(await asyncio.gather(*(_watch(one["live_view_url"], rate, seconds) for one in made)))

        for watching in (False,) if recorded else (False, True):
            own, chromium = _taken(passel)
            pictures = uvloop.run(watched(watching))
            then_own, then_chromium = _taken(passel)
            found.append(
                {
                    "passel": (then_own - own) / seconds,
                    "chromium": (then_chromium - chromium) / seconds,
                    "pictures": pictures / seconds / sessions,
                }
            )
        for one in made:
            http.delete(f"/v1/sessions/{one['id']}")
    return found


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--sessions", type=int, default=4)
    parser.add_argument("--rate", type=float, default=10)
    parser.add_argument("--changes", type=float, default=10)
    parser.add_argument("--seconds", type=float, default=15)
    args = parser.parse_args()
    alone, watched = _measure(args.sessions, args.rate, args.changes, args.seconds, recorded=False)
    [recorded] = _measure(args.sessions, args.rate, args.changes, args.seconds, recorded=True)
    rows = [
        (
            name,
            f"{one['pictures']:.1f}",
            f"{one['passel']:.2f}",
            f"{one['chromium']:.2f}",
            f"{one['passel'] + one['chromium'] - alone['passel'] - alone['chromium']:.2f}",
        )
        for name, one in (("nobody watches", alone), ("watched", watched), ("recorded", recorded))
    ]
    columns = [f"{args.sessions} sessions", "pictures/s each", "Passel, cores", "Chromium, cores", "more than nobody"]
    print_report("screencast", rows, columns, {"alone": alone, "watched": watched, "recorded": recorded, **vars(args)})


if __name__ == "__main__":
    main()
