"""Whether a browser starts here as one of a session does, and what keeps Chromium's sandbox from it if not."""

import asyncio
from pathlib import Path
from typing import Any

from passel.workloads.browser.chromium import CannotStart, keeping
from passel.workloads.browser.mux import CommandFailed, Gone

_START_SECONDS = 30.0
_NOWHERE = ("--proxy-server=http://127.0.0.1:9", "--proxy-bypass-list=<-loopback>")
_SHUT = (
    ("user/max_user_namespaces", "0", "sysctl -w user.max_user_namespaces=15000"),
    ("kernel/unprivileged_userns_clone", "0", "sysctl -w kernel.unprivileged_userns_clone=1"),
    ("kernel/apparmor_restrict_unprivileged_userns", "1", "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0"),
)
"""Files below /proc/sys, the value with which they shut user namespaces, and what opens these."""


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


def shut_namespaces(settings: Path = Path("/proc/sys")) -> str | None:
    """What opens user namespaces here, where a setting of the kernel shuts them. Reading that needs no rights."""
    for name, shut, mend in _SHUT:
        try:
            if (settings / name).read_text().strip() == shut:
                return mend
        except OSError:
            continue  # this kernel has no such setting
    return None
