"""A worker: takes messages of its kinds, runs attempts, and drains when asked to stop."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence

import structlog

from passel.core.clock import Clock
from passel.engine.attempt import Attempts
from passel.engine.claims import Claimer
from passel.engine.duty import Duty
from passel.engine.liveness import Presence
from passel.store import attempts as store
from passel.store.admission import Capacity
from passel.store.database import Database, is_passing, pause_before_retry

log = structlog.get_logger()

_LAST_WRITES_SECONDS = 10.0


class Worker:
    """`ready` is told once work can be taken; `hand_back_adrift` hands back what has been with this worker, and not
    held, for so many seconds. After `stop` what runs may go on for `drain_seconds`."""

    def __init__(
        self,
        db: Database,
        clock: Clock,
        capacity: Capacity,
        presence: Presence,
        attempts: Attempts,
        claimers: Sequence[Claimer],
        duties: Sequence[Duty],
        drain_seconds: float,
        ready: Callable[[], None],
        hand_back_adrift: Callable[[float], Awaitable[None]],
    ) -> None:
        self._db, self._clock, self._capacity = db, clock, capacity
        self._presence, self._attempts, self._claimers, self._duties = presence, attempts, claimers, duties
        self._drain_seconds, self._ready, self._hand_back_adrift = drain_seconds, ready, hand_back_adrift
        self._stop = asyncio.Event()
        self._give_up_at = 0.0

    def stop(self) -> None:
        self._stop.set()

    async def run(self) -> None:
        """Work until `stop`, then drain. What cannot be handed back while the database is away is left for others to
        take over. Raises what ended the claims, the journal or the presence by itself, after draining too."""
        presence = asyncio.create_task(self._presence.run())
        journal = asyncio.create_task(self._attempts.journal.run())
        duties = [asyncio.create_task(duty.run()) for duty in self._duties]
        claiming = asyncio.create_task(self._claim())
        stopped = asyncio.create_task(self._stop.wait())
        try:
            await asyncio.wait([claiming, journal, presence, stopped], return_when=asyncio.FIRST_COMPLETED)
            for task in (claiming, journal, presence):
                if task.done() and not self._stop.is_set():
                    await task  # raises what ended it; the parent starts a new process
        finally:
            self._stop.set()
            await self._drain(claiming)
            for duty in self._duties:
                duty.stop()
            await asyncio.gather(*duties, return_exceptions=True)
            self._attempts.journal.stop()
            left = max(1.0, self._give_up_at - asyncio.get_running_loop().time())
            if not (await asyncio.wait([journal], timeout=left))[0]:
                log.warning("the database is away: the last writes could not be made")
                journal.cancel()
            self._presence.stop()
            await asyncio.wait([presence], timeout=2)
            presence.cancel()
            stopped.cancel()

    async def _claim(self) -> None:
        await self._presence.arrive()
        self._ready()
        async with asyncio.TaskGroup() as group:
            for claimer in self._claimers:
                group.create_task(claimer.run())

    @property
    def _running(self) -> list[asyncio.Task[None]]:
        return [task for claimer in self._claimers for task in claimer.running]

    async def _drain(self, claiming: "asyncio.Task[None]") -> None:
        """Take nothing new, let what runs finish for a while, hand back the rest."""
        for claimer in self._claimers:
            claimer.stop()
        if not claiming.done() and not (await asyncio.wait([claiming], timeout=_LAST_WRITES_SECONDS))[0]:
            claiming.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await claiming
        if self._running:
            log.info("draining", running=len(self._running), seconds=self._drain_seconds)
            await asyncio.wait(self._running, timeout=self._drain_seconds)
        while left := self._running:
            for task in left:
                task.cancel()
            await asyncio.wait(left)
            await asyncio.sleep(0)  # their callbacks take them from the list
        await self._write_what_was_asked_for()
        await self._hand_back()
        try:
            await self._hand_back_adrift(0)
        except Exception as error:
            if not is_passing(error):
                raise
            log.debug("the database is away: what was adrift is taken over by others")

    async def _write_what_was_asked_for(self) -> None:
        """What was on its way into the ledger still gets there: it may be a paid answer."""
        self._give_up_at = asyncio.get_running_loop().time() + _LAST_WRITES_SECONDS
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._attempts.journal.settled(), _LAST_WRITES_SECONDS)

    async def _hand_back(self) -> None:
        leases = [held.lease for held in self._attempts.held.values()]
        tries = 0
        while leases and (tries == 0 or asyncio.get_running_loop().time() < self._give_up_at):
            try:
                async with self._db.write() as c:
                    handed = await store.hand_back(c, leases, self._clock(), self._capacity)
            except Exception as error:
                if not is_passing(error):
                    raise
                await pause_before_retry(tries)
                tries += 1
                continue
            log.info("handed back", messages=handed)
            self._attempts.held.clear()
            return
        if leases:
            log.warning("the database is away: others will take these messages over", messages=len(leases))
