"""Whether a browser starts here as one of a session does, and what keeps Chromium's sandbox from it if not."""

import asyncio
from pathlib import Path
from typing import Any

from passel.workloads.browser.chromium import CannotStart, keeping
from passel.workloads.browser.mux import CommandFailed, Gone

_START_SECONDS = 30.0
_NOWHERE = ("--proxy-server=http://127.0.0.1:9", "--proxy-bypass-list=<-loopback>")


def try_start(executable: str, directory: Path | None) -> str | None:
    """Why none starts; None where one does."""
    return asyncio.run(_try_start(executable, directory))


async def _try_start(executable: str, directory: Path | None) -> str | None:
    try:
        async with asyncio.timeout(_START_SECONDS), keeping(executable, directory) as (keeper, _):
            browser = await keeper.start("trial", _NOWHERE, _nothing, {}, lambda: None)
            try:
                await browser.mux.call("Browser.getVersion")
            except Gone:
                ended = await browser.ended
                return ended.last_line or str(ended)
            finally:
                await browser.end()
    except TimeoutError:
        return f"it did not answer within {_START_SECONDS:.0f} s"
    except (CannotStart, CommandFailed, OSError) as error:
        return str(error)
    return None


async def _nothing(directory: Path) -> dict[str, Any]:
    return {}
