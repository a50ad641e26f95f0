"""A second kind of work, made only for the tests: `echo`. It does what later kinds will do: several effects at once, a
wait that costs nothing, an item that is settled while its attempt goes on, tries that are put off, and a poison.

    python -m tests.support.echo_kind [--suspects]      a worker of all kinds and this one
"""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import orjson

from passel.compose import logs
from passel.compose.kinds import KINDS, Kind
from passel.compose.settings import Settings
from passel.compose.worker import run_worker
from passel.core.context import Context, Step, Workload
from passel.core.costs import Usage
from passel.core.effects import Effect, Outcome
from passel.core.endings import Done, Fail, Retry, Wait
from passel.core.events import MESSAGE_REQUESTED, MESSAGE_STATE, Draft
from passel.services.deps import Deps
from passel.services.planning import Planned, Refused
from passel.store.database import WriteConnection

SAID = "echo.said"
ASKED = {"text": "", "effects": 1, "seconds": 0.0, "wait": 0.0, "settle": False, "retries": 0, "fail": False, "die": ""}


class EchoPlanner:
    """Every item can be made but the one that says `refused`, the first time."""

    kind, subject_id = "echo", None

    async def take_subject(self, subject_id: str | None) -> None: ...

    async def learn(self, index: int, item: dict[str, Any]) -> None: ...

    async def prepare(self) -> Sequence[str]:
        return ["echo/all"]

    async def lock(self, c: WriteConnection) -> None: ...

    def build(self, index: int, item: dict[str, Any]) -> Planned | Refused:
        if item.get("text") == "refused":
            return Refused("the text is refused", item | {"text": "accepted"})
        return Planned(None, {}, "echo/all", item.get("metadata", {}), ASKED | item)

    def pack(self, item: dict[str, Any]) -> bytes:
        return orjson.dumps(item, option=orjson.OPT_APPEND_NEWLINE)

    def identity(self, item: dict[str, Any], line: bytes) -> bytes:
        return line

    def unpack(self, line: bytes) -> dict[str, Any]:
        return orjson.loads(line)

    def again(self, asked: dict[str, Any]) -> dict[str, Any]:
        return asked


class Echo:
    """One attempt; where it stands is folded from the ledger, as in every kind."""

    def __init__(self, context: Context) -> None:
        self._context = context
        own = [e for e in context.ledger if e.message_id == context.task.message_id]
        self._asked = next(e.data for e in own if e.type == MESSAGE_REQUESTED)
        self._said = {e.data["n"] for e in own if e.type == SAID}
        self._states = [e.data["state"] for e in own if e.type == MESSAGE_STATE]

    async def run(self) -> Step:
        asked, now = self._asked, self._context.now()
        if asked["die"] == "first":
            os.kill(os.getpid(), signal.SIGKILL)
        if self._states.count("delayed") < asked["retries"]:
            return Step(ending=Retry(now + timedelta(seconds=0.05), "not yet"))
        await asyncio.gather(*(self._say(n) for n in range(asked["effects"]) if n not in self._said))
        if asked["settle"]:
            await self._context.write(Step(settles=Done({"text": "settled"})))
        if asked["wait"] and "waiting" not in self._states:
            return Step(ending=Wait(now + timedelta(seconds=asked["wait"]), "nobody"))
        return Step(ending=Fail("asked to") if asked["fail"] else Done({"text": f"echo: {asked['text']}"}))

    async def _say(self, n: int) -> None:
        """One effect: the intent, the act, the outcome with its event."""
        effect = Effect(self._context.new_effect_id(), "say", "echo", n + 1, "", self._context.now())
        await self._context.write(Step(began=(effect,)))
        await asyncio.sleep(self._asked["seconds"])
        if self._asked["die"] == "last":
            os.kill(os.getpid(), signal.SIGKILL)
        outcome = Outcome(effect.id, "done", Usage(1, 1, 0), None, self._context.now())
        await self._context.write(Step((Draft(SAID, {"n": n}),), ended=(outcome,)))


async def echo(context: Context) -> Step:
    return await Echo(context).run()


@asynccontextmanager
async def _open(settings: Settings, deps: Deps) -> AsyncGenerator[Workload]:
    yield echo


WITH_ECHO = {**KINDS, "echo": Kind(_open, places=lambda settings: settings.concurrency)}

if __name__ == "__main__":
    command = [sys.executable, "-m", "tests.support.echo_kind", "--suspects"]
    suspects = "--suspects" in sys.argv
    settings = Settings()
    logs.configure(settings)
    asyncio.run(run_worker(settings, WITH_ECHO, quarantine=None if suspects else command, suspects=suspects))
