"""Hearing notices of the database, across its outages."""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

import structlog

from passel.store.database import Database, is_passing, pause_before_retry
from passel.store.queries import SQL

log = structlog.get_logger()

TOLD_CHANNEL = "passel_told"
"""Ids of sessions and batches whose ledgers have grown, and of their organisations, with commas between them."""

_ALIVE_SECONDS = 10.0


async def listen(db: Database, channel: str, heard: Callable[[str], None], connected: Callable[[], None], stop: asyncio.Event) -> None:
    """Until `stop`. `connected` is told each time that a connection stands: whatever was said before it is missed."""
    tries = 0
    while not stop.is_set():
        try:
            async with db.dedicated() as raw:
                lost = asyncio.Event()
                raw.add_termination_listener(lambda _, lost=lost: lost.set())
                await raw.add_listener(channel, lambda *notice: heard(notice[3]))
                tries = 0
                connected()
                await _stay(raw, lost, stop)
        except Exception as error:
            if not is_passing(error):
                raise
            log.debug("listening is interrupted", channel=channel, error=str(error) or repr(error))
            await pause_before_retry(tries)
            tries += 1


async def _stay(raw: Any, lost: asyncio.Event, stop: asyncio.Event) -> None:
    """Until the connection is lost. A server that vanished without a word is noticed, since it is asked."""
    ends = [asyncio.ensure_future(lost.wait()), asyncio.ensure_future(stop.wait())]
    try:
        while not (await asyncio.wait(ends, timeout=_ALIVE_SECONDS, return_when=asyncio.FIRST_COMPLETED))[0]:
            await asyncio.wait_for(raw.execute(SQL["ping"]), _ALIVE_SECONDS)
    finally:
        for end in ends:
            end.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait(ends)
