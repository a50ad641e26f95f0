"""Extensions that a session loads: unpacked into its browser's directory before that starts, loaded before anybody connects.

Chromium lets extensions that lie unpacked read files, unless the profile says otherwise of their place. It is told so for each
(`newAllowFileAccess`), and asked afterwards whether it heeds that: an extension that may read files is never let near a page.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from passel.core.browser import extensions as rules
from passel.core.browser.configuration import Configuration
from passel.core.browser.package import BadPackage, unpack
from passel.core.context import Task
from passel.workloads.browser.certificates import Trust
from passel.workloads.browser.chromium import CannotStart
from passel.workloads.browser.driver import Driver
from passel.workloads.browser.mux import CommandFailed, Multiplexer

FLAG = "--enable-unsafe-extension-debugging"
"""With which extensions are loaded over the pipe, where clients have no such command."""

_PACKAGE = "extension.zip"
_LOOK_SECONDS, _ORIGIN_SECONDS = 0.02, 10.0
_MAY_READ_FILES = (
    "new Promise(done => globalThis.chrome?.extension?.isAllowedFileSchemeAccess"
    " ? chrome.extension.isAllowedFileSchemeAccess(done) : done(null))"
)


@dataclass(frozen=True, slots=True)
class Loading:
    """Of a worker. `state` puts the saved state of a browser where the extensions are put, and `trust` what it trusts."""

    extensions: rules.Extensions
    trust: Trust
    state: Callable[[Task, Configuration, Path], Awaitable[list[Any]]]

    async def load(self, task: Task, configuration: Configuration, directory: Path) -> list[Any]:
        """Into the directory of a browser that is about to start. Returns the cookies of its state. Raises `CannotStart` and `OSError`."""
        await self._place(task, configuration, directory)
        await self.trust.place(task, configuration, directory)
        return await self.state(task, configuration, directory)

    async def _place(self, task: Task, configuration: Configuration, directory: Path) -> None:
        for number, id in enumerate(configuration.extensions):
            package = directory / _PACKAGE
            try:
                if not await self.extensions.fetch(task.org_id, id, package):
                    raise CannotStart(f"browser.extensions.{number}: this extension has been deleted")
                await asyncio.to_thread(_unpack, package, place_of(directory, number), id)
            except (BadPackage, ValueError) as bad:
                raise CannotStart(f"browser.extensions.{number}: {bad}") from bad
            finally:
                package.unlink(missing_ok=True)


def place_of(directory: Path, number: int) -> Path:
    return directory / f"x{number}"


def _unpack(package: Path, into: Path, id: str) -> None:
    """What it was judged by when it was uploaded is looked at again: rules may be newer than the package."""
    unpack(package, into)
    path = into / rules.MANIFEST
    given = json.loads(path.read_text(encoding="utf-8-sig"))
    rules.judge(given)
    path.write_text(json.dumps(rules.as_loaded(given, id)), encoding="utf-8")


def settings_of(directory: Path, configuration: Configuration) -> dict[str, Any]:
    """The part `extensions` of a profile's preferences."""
    if not configuration.extensions:
        return {}
    shut = {"newAllowFileAccess": False}
    ids = [rules.chromium_id_of(str(place_of(directory, n))) for n in range(len(configuration.extensions))]
    ids += map(rules.chromium_id, configuration.extensions)
    return {"extensions": {"settings": dict.fromkeys(ids, shut), "ui": {"developer_mode": True}}}  # else one that reloads itself stays away


async def load(mux: Multiplexer, directory: Path, configuration: Configuration) -> None:
    """Into a browser that nobody uses yet. Raises `CannotStart` with what Chromium says of one that it does not load."""
    if not configuration.extensions:
        return
    driver = await Driver.of(mux)
    try:
        async with asyncio.timeout(_ORIGIN_SECONDS):
            for number, id in enumerate(configuration.extensions):
                try:
                    loaded = await driver.call("Extensions.loadUnpacked", {"path": str(place_of(directory, number))})
                except CommandFailed as failed:
                    raise CannotStart(f"browser.extensions.{number}: Chromium says: {failed.message}") from failed
                if loaded["id"] != rules.chromium_id(id):
                    raise CannotStart(f"browser.extensions.{number}: Chromium gave it another id than its own")
                await _require_no_files(driver, loaded["id"], number)
    except TimeoutError as slow:
        raise CannotStart(f"browser.extensions: they were not loaded after {_ORIGIN_SECONDS:.0f} s") from slow
    finally:
        await driver.leave()


async def _require_no_files(driver: Driver, id: str, number: int) -> None:
    """Asked in a page of the extension's own, which goes then."""
    page = (await driver.call("Target.createTarget", {"url": f"chrome-extension://{id}/{rules.MANIFEST}", "background": True}))["targetId"]
    session = await driver.attach(page)
    try:
        while (told := await _ask(driver, session)) is None:  # noqa: ASYNC110 - it is still on its way there
            await asyncio.sleep(_LOOK_SECONDS)
    finally:
        await driver.call("Target.closeTarget", {"targetId": page})
    if told is not False:
        raise CannotStart(f"browser.extensions.{number}: this Chromium would let it read files of the server")


async def _ask(driver: Driver, session: str) -> Any:
    try:
        answer = await driver.call(
            "Runtime.evaluate", {"expression": _MAY_READ_FILES, "awaitPromise": True, "returnByValue": True}, session
        )
    except CommandFailed:  # its document has just gone
        return None
    return answer["result"].get("value")


def allowed(configuration: Configuration) -> Sequence[str]:
    """Their addresses, as a list of allowed ones has them."""
    return [f"chrome-extension://{rules.chromium_id(id)}" for id in configuration.extensions]


def own_ids(configuration: Configuration) -> frozenset[str]:
    return frozenset(map(rules.chromium_id, configuration.extensions))
