"""`passel browsers demo`: ten sessions in one batch, each with a job of its own, watched and recorded."""

import asyncio
import contextlib
import importlib.util
import threading
import time
from collections.abc import Generator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Annotated, Any

import typer

from passel.cli.browsers import open_client, wait_for_batch
from passel.cli.client import Client, Refused
from passel.cli.demo import LOG, demo_key, example, started_server
from passel.cli.output import CommandError, note, print_table

_NAMES = ("Ada", "Ben", "Cleo", "Dan", "Eva", "Finn", "Gia", "Hugo", "Ida", "Jon")
_GOODS = ("apples", "bread", "coffee")
_GRID, _RECORDING = "grid.png", "recording.mp4"
_RECORDED_SECONDS = 30


def demo(
    count: Annotated[int, typer.Option(min=1, max=50, help="How many sessions.")] = 10,
    data_dir: Annotated[Path, typer.Option(help="Where the demo keeps its data and leaves its pictures.")] = Path("passel-demo-browsers"),
) -> None:
    """Start a server, open ten browser sessions as one batch, do a small job in each by Playwright, and leave a picture of all of them and
    the recording of one to look at."""
    from passel.workloads.browser.chromium import find

    if importlib.util.find_spec("playwright") is None:
        raise CommandError("the demo drives its sessions with Playwright: pip install playwright (it needs no browser of its own)")
    if (chromium := find()) is None:
        raise CommandError("there is no Chromium here: install Debian's `chromium`, or name one in PASSEL_CHROMIUM; see `passel doctor`")
    data_dir = data_dir.resolve()
    with _shop() as shop, started_server(data_dir, PASSEL_ALLOW_PRIVATE_URLS="1", PASSEL_BROWSERS=str(count + 1)) as (_, started):
        client = open_client(started["url"], demo_key(data_dir, started))
        note(f"server: {started['url']}  data: {data_dir}  log: {data_dir / LOG}")
        began = time.monotonic()
        asked = {"count": count, "configuration": {"session": {"tags": ["demo"]}, "browser": {"headless": {"active": True}}}}
        made = client.post("/v1/batch-sessions", asked)["data"]
        note(f"batch {made['batch_id']}: {count} sessions")
        batch = wait_for_batch(client, made["batch_id"])
        note(f"{batch['completed_requests']} browsers are ready after {time.monotonic() - began:.1f} s")
        ready = [one for one in batch["sessions"] if one["status"] == "completed"]
        done = asyncio.run(_shop_together(shop, ready, chromium, batch["live_view_url"], data_dir / _GRID))
        print_table(["session", "item", "what its page says", "seconds"], done)
        for one in ready:
            client.delete(f"/v1/sessions/{one['session_id']}")
        _keep_recording(client, ready[0]["session_id"], data_dir / _RECORDING)
        print(f"all of them at work: {data_dir / _GRID}\nthe first one, recorded: {data_dir / _RECORDING}")
    raise typer.Exit(0 if len(done) == count and all("Order" in row[2] for row in done) else 1)


@contextlib.contextmanager
def _shop() -> Generator[str]:
    """A shop on this machine; returns the address of its page."""

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(example("browsers"))))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/shop.html"
    finally:
        server.shutdown()
        server.server_close()


async def _shop_together(shop: str, sessions: list[Any], chromium: str, grid_url: str, picture: Path) -> list[list[Any]]:
    """What each session's page says in the end, and how long it took. The picture is taken while all pages are open."""
    from playwright.async_api import async_playwright

    async with async_playwright() as playwright:
        done = await asyncio.gather(*(_job(playwright, shop, one) for one in sessions))
        browser = await playwright.chromium.launch(executable_path=chromium)
        try:
            page = await browser.new_page(viewport={"width": 1600, "height": 1000})
            await page.goto(grid_url)
            await page.wait_for_timeout(3000)  # pictures come one after another
            await page.screenshot(path=picture)
        finally:
            await browser.close()
    return done


async def _job(playwright: Any, shop: str, session: Any) -> list[Any]:
    began, index = time.monotonic(), session["item_index"]
    browser = await playwright.chromium.connect_over_cdp(session["cdp_url"])
    page = browser.contexts[0].pages[0]
    await page.goto(f"{shop}?session={index}")
    await page.get_by_label("Your name").press_sequentially(_NAMES[index % len(_NAMES)], delay=60)
    await page.get_by_label("What may it be?").select_option(_GOODS[index % len(_GOODS)])
    await page.get_by_label("How many?").fill(str(index + 1))
    await page.get_by_role("button", name="Order").click()
    said = await page.locator("output").inner_text()
    await browser.close()  # the connection; the session goes on
    return [session["session_id"], index, said, f"{time.monotonic() - began:.1f}"]


def _keep_recording(client: Client, session_id: str, to: Path) -> None:
    """It is there when its session has ended."""
    until = time.monotonic() + _RECORDED_SECONDS
    while True:
        try:
            client.save(f"/v1/sessions/{session_id}/recordings/primary/fetch", to)
            return
        except Refused as refused:
            if refused.status != 404 or time.monotonic() > until:
                raise
        time.sleep(0.2)
