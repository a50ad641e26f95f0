"""The saved state that a session begins with, and what it saves at its end. A browser that breaks saves nothing: what was saved before
stays."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog

from passel.core.browser import events
from passel.core.browser.configuration import Configuration
from passel.core.browser.profiles import Profiles, Saver, Unfit
from passel.core.context import Task
from passel.core.text import clean
from passel.workloads.browser import state
from passel.workloads.browser.chromium import CannotStart
from passel.workloads.browser.session import Live

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class States:
    """`most` are the bytes that the files of a state may have."""

    profiles: Profiles
    most: int

    async def load(self, task: Task, configuration: Configuration, directory: Path) -> list[Any]:
        """Into the directory of a browser that is about to start. Returns its cookies. Raises `CannotStart`."""
        name = configuration.profile
        if name is None:
            return []
        into = directory / state.ARCHIVE
        try:
            if not await self.profiles.fetch(task.org_id, task.session_id, name, configuration.persist, into):
                return []
            return await asyncio.to_thread(state.unpack, directory, self.most)
        except Unfit as unfit:
            raise CannotStart(str(unfit)) from unfit

    @asynccontextmanager
    async def part(self, live: Live) -> AsyncGenerator[None]:
        """A part of sessions (`passel.workloads.browser.session.Part`)."""
        yield
        if not live.over.done() or live.over.result() == events.CRASH:
            return
        try:
            if savers := await self.profiles.begin_saving(live.id):
                cookies = (await live.tabs.driver.call("Storage.getCookies"))["cookies"]
                live.chromium.keep()
                live.afterwards.append(lambda: self._save(live, savers, cookies))
        except Exception as error:  # whatever it is, the session ends as it would have
            log.warning("the state of a browser is lost", session=live.id, exc_info=error)
            live.notes.add(events.profile_failed(None, clean(str(error))))

    async def _save(self, live: Live, savers: Sequence[Saver], cookies: list[Any]) -> None:
        directory = live.chromium.directory
        try:
            archive = await asyncio.to_thread(state.pack, directory, cookies, self.most)
            for saver in savers:
                saved = await saver.save(archive)
                size = archive.stat().st_size
                live.notes.add(
                    events.profile_saved(saver.name, size) if saved else events.profile_failed(saver.name, "it was deleted meanwhile")
                )
        except Exception as error:
            if not isinstance(error, Unfit):
                log.warning("the state of a browser is lost", session=live.id, exc_info=error)
            for saver in savers:
                live.notes.add(events.profile_failed(saver.name, clean(str(error))))
