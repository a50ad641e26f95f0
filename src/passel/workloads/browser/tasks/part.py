"""The web tasks of a session: one at a time, begun by a call, ended with the session at the latest."""

import asyncio
import itertools
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import structlog

from passel.core.browser import tasks
from passel.core.browser.events import API
from passel.core.browser.tasks import WebTask
from passel.core.context import Step
from passel.core.errors import LeaseLost, NotReady
from passel.core.events import Draft
from passel.core.ids import SessionId
from passel.core.text import clean
from passel.workloads.browser.calls import WrongCall
from passel.workloads.browser.mux import Gone
from passel.workloads.browser.session import Live
from passel.workloads.browser.tasks.asking import Asker, Desk
from passel.workloads.browser.tasks.hands import Hands
from passel.workloads.browser.tasks.loop import Failed, Loop
from passel.workloads.browser.tasks.secrets import Secrets

log = structlog.get_logger()

_LAST_SECONDS = 5.0
"""A task that ends with its session has so long for its last words."""


Open = Callable[[SessionId, str], dict[str, str]]
"""The secrets of a task of a session, which came sealed."""


class WebTasks:
    """Of a worker. `part` goes along with each session."""

    def __init__(self, desk: Desk, open: Open) -> None:
        self._desk, self._open = desk, open

    @asynccontextmanager
    async def part(self, live: Live) -> AsyncGenerator[None]:
        own = _Tasks(self._desk, self._open, live)
        live.calls |= {"task": own.begin, "stop_task": own.stop}
        try:
            yield
        finally:
            await own.close()


class _Tasks:
    """Of a session."""

    def __init__(self, desk: Desk, open: Open, live: Live) -> None:
        self._desk, self._open, self._live = desk, open, live
        self._numbers, self._calls = itertools.count(1), itertools.count(1)
        self._running: asyncio.Task[None] | None = None
        self._number = 0
        self._stopped = False
        self._begun = self._told = False

    async def begin(self, live: Live, asked: Mapping[str, Any]) -> Any:
        """`wanted` is a task, `secrets` are its own. It is in the ledger when this returns its number."""
        if self._told and self._running is not None:
            await asyncio.wait([self._running])  # its end is in the ledger, and it is about to be gone
        if self._begun:
            raise WrongCall("a web task runs in this session: there is one at a time", 409)
        self._begun = True
        try:
            self._told = self._stopped = False
            wanted = WebTask.from_json(asked["wanted"], self._open(live.id, asked["secrets"]))
            number = self._number = next(self._numbers)
            requested = tasks.requested(number, wanted)
            await live.context.write(Step((requested,)))
            self._say(requested)
        except BaseException:
            self._begun = False
            raise
        self._running = asyncio.create_task(self._run(number, wanted))
        return {"task": number}

    async def stop(self, live: Live, asked: Mapping[str, Any]) -> Any:
        """`task` ends where it is; what was done stays done. Returns when its ledger says so."""
        if self._running is None or self._running.done() or self._told or asked["task"] != self._number:
            raise WrongCall("this task has ended", 409)
        self._stopped = True
        self._running.cancel()
        await asyncio.wait([self._running])
        return {}

    async def _run(self, number: int, wanted: WebTask) -> None:
        live = self._live
        secrets = Secrets(wanted.secrets)
        asker = Asker(self._desk, live.context, wanted.option, self._calls, self._say)
        loop = Loop(number, wanted, Hands(live, secrets, wanted.highlight), asker, secrets)
        live.timers.connected()
        live.hands += 1  # dialogs are the model's to answer
        try:
            try:
                await self._end(loop, await self._carry_out(loop))
            except asyncio.CancelledError:
                if self._told:
                    return
                if not self._stopped or live.over.done():
                    reason = live.over.result() if live.over.done() else "its worker stopped"
                    for draft in (*asker.untold, tasks.failed(number, tasks.broken_off(reason), loop.step, asker.spent)):
                        live.notes.add(draft)
                    raise
                await self._end(loop, tasks.failed(number, "cancelled", loop.step, asker.spent))
        except LeaseLost:
            return  # the session is not ours any more, and ends
        except Exception:
            log.exception("the end of a web task could not be told", session=live.id, task=number)
        finally:
            loop.hands.close()
            self._begun = live.over.done()
            live.hands -= 1
            live.timers.disconnected()

    def _say(self, draft: Draft) -> None:
        for hear in list(self._live.steps):
            hear(draft)

    async def _end(self, loop: Loop, ended: Draft) -> None:
        self._told = True
        last = (*loop.asker.untold, ended)
        await self._live.context.write(Step(last))
        for draft in last:
            self._say(draft)
        if loop.wanted.ends_session:
            self._live.end(API)

    async def _carry_out(self, loop: Loop) -> Draft:
        """What the ledger is told of its end."""
        deadline = asyncio.timeout(loop.wanted.seconds)
        try:
            async with deadline:
                return tasks.completed(loop.number, await loop.run(), loop.step, loop.asker.spent)
        except Failed as failed:
            error = loop.secrets.hide(clean(str(failed)))
        except NotReady as missing:
            error = str(missing)
        except Gone:
            error = "the browser ended"
        except LeaseLost:
            raise
        except TimeoutError:
            error = f"not done within {loop.wanted.seconds / 60:g} minutes: PASSEL_WEB_TASK_MINUTES says how long a task may take"
            if not deadline.expired():
                error = "the page or its browser did not answer in time"
        except Exception as failure:
            log.exception("a web task failed", session=self._live.id, task=loop.number)
            error = f"internal error: {type(failure).__name__}"
        return tasks.failed(loop.number, error, loop.step, loop.asker.spent)

    async def close(self) -> None:
        """The session ends, and its task with it."""
        self._begun = True
        if self._running is not None:
            self._running.cancel()
            await asyncio.wait([self._running], timeout=_LAST_SECONDS)
