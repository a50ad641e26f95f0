"""Claims: how a worker gets its work, for each kind as much as it has places for."""

import asyncio
import contextlib
from collections.abc import Callable, Sequence

import structlog

from passel.core.clock import Clock
from passel.core.ids import WorkerId
from passel.engine.attempt import Attempts
from passel.store import attempts as store
from passel.store.admission import Capacity
from passel.store.database import Database, is_passing, patiently, pause_before_retry
from passel.store.leases import Claim

log = structlog.get_logger()

_MOST_AT_ONCE = 500
_POLL_SECONDS = 2.0


class Claimer:
    """Takes ready messages of one kind and starts their attempts, up to `places` at once, until stopped. `worker_id` is
    asked at each claim: it changes when this worker was given up for dead."""

    def __init__(
        self, db: Database, clock: Clock, capacity: Capacity, attempts: Attempts, kind: str, places: int, worker_id: Callable[[], WorkerId]
    ) -> None:
        self._db, self._clock, self._capacity, self._attempts = db, clock, capacity, attempts
        self.kind, self._places, self._worker_id = kind, places, worker_id
        self.running: set[asyncio.Task[None]] = set()
        self._wake = asyncio.Event()
        self._stop = asyncio.Event()
        self._more = True  # whether there may be something that was not taken for want of places

    def wake(self) -> None:
        """There may be something to take."""
        self._more = True
        self._wake.set()

    def stop(self) -> None:
        """Take no more. What runs goes on."""
        self._stop.set()
        self._wake.set()

    async def run(self) -> None:
        """Take until `stop`; an outage of the database is waited out, any other error raised. Attempts may still run
        afterwards."""
        tries = 0
        while not self._stop.is_set():
            self._wake.clear()
            try:
                await self._fill()
                tries = 0
            except Exception as error:
                if not is_passing(error):
                    raise
                if tries % 20 == 0:
                    log.warning("database is away, nothing is taken", error=str(error) or repr(error))
                await pause_before_retry(tries)
                tries += 1
                continue
            await self._pause()

    async def _pause(self) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._wake.wait(), _POLL_SECONDS)

    async def _fill(self) -> None:
        while (free := self._free()) > 0 and not self._stop.is_set():
            limit = min(free, _MOST_AT_ONCE)
            claims = await self._claim(limit)
            await self._start(claims)
            if len(claims) < limit:
                self._more = False
                return

    def _free(self) -> int:
        return self._places - len(self.running)

    async def _claim(self, limit: int) -> list[Claim]:
        async with self._db.write() as c:
            return await store.claim(c, self.kind, limit, self._worker_id(), self._clock(), self._capacity)

    async def _start(self, claims: Sequence[Claim]) -> None:
        if not claims:
            return

        async def read() -> store.Ledgers:
            async with self._db.read() as c:
                return await store.read_ledgers(c, [claim.lease.session_id for claim in claims])

        ledgers = await patiently(read)
        for claim in claims:
            task = asyncio.create_task(self._attempts.run(claim, ledgers.get(claim.lease.session_id, [])))
            self.running.add(task)
            task.add_done_callback(self._ended)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self.running.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("an attempt ended unexpectedly", error=str(error) or repr(error))
        if self._more:
            self._wake.set()


class Gate:
    """Lets one group of suspects in, of whatever kind, and the next only when all of it has gone."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.claimers: list[SuspectClaimer] = []

    @property
    def busy(self) -> bool:
        """Whether a group runs, or is being taken just now."""
        return self.lock.locked() or any(claimer.running for claimer in self.claimers)


class SuspectClaimer(Claimer):
    """Takes suspects, a group or a single one, when nothing else is in this process."""

    gate: Gate

    async def _fill(self) -> None:
        async with self.gate.lock:
            if any(claimer.running for claimer in self.gate.claimers):
                return
            async with self._db.write() as c:
                claims = await store.claim_suspects(c, self.kind, self._worker_id(), self._clock(), self._capacity)
            await self._start(claims)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        super()._ended(task)
        if not self.gate.busy:
            for claimer in self.gate.claimers:
                claimer.wake()
