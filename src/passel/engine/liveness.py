"""Who is alive: each worker's presence, and who takes messages from the hands of the dead.

A worker keeps a connection that lives as long as its process: it says there twice a second that it is alive, holds an
advisory lock with its id, and hears what concerns it. Two signs of death:

    silent, and the lock is free     the process has ended or its machine is cut off: after 1.5 s
    silent, whatever else            frozen, or a connection that hangs: after `takeover_after`

After an outage of the database all are silent and unplugged. Whoever lives tries to come back at least every two
seconds, so nobody is given up for the first sign before the one who judges has been there without a break for three,
and for the second before it was there for `takeover_after`. A worker that was given up and comes back gets a new id;
its attempts are lost, and their writes meet no row.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

import structlog

from passel.core.clock import Clock
from passel.core.ids import WorkerId
from passel.engine.duty import Duty
from passel.store import attempts, workers
from passel.store.admission import EVICT_CHANNEL, READY_CHANNEL, Capacity
from passel.store.database import Database, is_passing, pause_before_retry
from passel.store.workers import Silence

log = structlog.get_logger()

BEAT_SECONDS = 0.5
_UNPLUGGED = timedelta(seconds=1.5)
_GRACE = timedelta(seconds=3)  # longer than `pause_before_retry` ever waits
_NEVER = timedelta(days=36500)
_ANSWER_SECONDS = 5.0


class Presence:
    """This worker among the others, which runs as many messages of each kind at once as `places` says. `on_ready` is told kinds that have something to take, `on_evict` that attempts of
    this worker may be lost."""

    def __init__(
        self, db: Database, name: str, places: Mapping[str, int], on_ready: Callable[[str], None], on_evict: Callable[[], None]
    ) -> None:
        self._db, self._name, self._places = db, name, places
        self._on_ready, self._on_evict = on_ready, on_evict
        self._id: WorkerId | None = None
        self._present = asyncio.Event()
        self._stop = asyncio.Event()
        self._last_beat = self._steady_since = float("-inf")
        self._locked = False

    @property
    def worker_id(self) -> WorkerId:
        """Known from `arrive` on. Another one once this worker was given up for dead."""
        assert self._id is not None, "asked before `arrive`"
        return self._id

    @property
    def registered_as(self) -> WorkerId | None:
        """The worker's id, None before it has arrived."""
        return self._id

    def steady_for(self, total: timedelta) -> bool:
        """Whether beats have come without a break for that long: then another's silence is not our own deafness."""
        now = time.monotonic()
        return now - self._last_beat < 4 * BEAT_SECONDS and now - self._steady_since > total.total_seconds()

    async def arrive(self) -> None:
        """Wait until this worker is registered."""
        await self._present.wait()

    def stop(self) -> None:
        """`run` signs off and returns; during an outage of the database it returns without."""
        self._stop.set()

    async def run(self) -> None:
        """Be present until `stop`, across outages."""
        tries = 0
        while not self._stop.is_set():
            try:
                async with self._db.dedicated() as raw:
                    await self._attend(raw)
                    tries = 0
                    await self._keep_beating(raw)
            except Exception as error:
                if not is_passing(error):
                    raise
                log.debug("this worker's presence is interrupted", error=str(error) or repr(error))
                await pause_before_retry(tries)
                tries += 1

    async def _attend(self, raw: Any) -> None:
        """On a fresh connection: register, listen, and look at once for what was missed. Whatever interrupted us may
        have interrupted others, so our judgement of them begins anew."""
        self._steady_since = time.monotonic()
        self._locked = False
        if self._id is None or not await self._beat(raw):
            await self._register(raw)
        await raw.add_listener(READY_CHANNEL, self._heard_ready)
        await raw.add_listener(EVICT_CHANNEL, self._heard_evict)
        self._present.set()
        for kind in self._places:
            self._on_ready(kind)
        self._on_evict()

    async def _register(self, raw: Any) -> None:
        self._id = await workers.register_on(raw, self._name, self._places)
        self._beaten()
        self._on_evict()

    async def _keep_beating(self, raw: Any) -> None:
        while not self._stop.is_set():
            self._locked = self._locked or await workers.hold_alive_lock(raw, self.worker_id)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), BEAT_SECONDS)
            if not self._stop.is_set() and not await self._beat(raw):
                log.warning("this worker was given up for dead: its attempts are lost")
                await self._register(raw)
                self._locked = False
        await workers.sign_off_on(raw, self.worker_id)

    async def _beat(self, raw: Any) -> bool:
        alive = await asyncio.wait_for(workers.beat_on(raw, self.worker_id), _ANSWER_SECONDS)
        if alive:
            self._beaten()
        return alive

    def _beaten(self) -> None:
        now = time.monotonic()
        if now - self._last_beat > 4 * BEAT_SECONDS:
            self._steady_since = now
        self._last_beat = now

    def _heard_ready(self, connection: object, pid: int, channel: str, kind: str) -> None:
        self._on_ready(kind)

    def _heard_evict(self, connection: object, pid: int, channel: str, worker: str) -> None:
        if worker == str(self._id):
            self._on_evict()


class Reaper(Duty):
    """Takes messages from dead workers. Any number of workers may do it at once."""

    interval = BEAT_SECONDS

    def __init__(self, db: Database, clock: Clock, capacity: Capacity, presence: Presence, takeover_after: timedelta) -> None:
        super().__init__()
        self._db, self._clock, self._capacity, self._presence = db, clock, capacity, presence
        self._takeover_after = takeover_after

    async def tick(self) -> None:
        if not self._presence.steady_for(_GRACE):
            return
        total = self._takeover_after if self._presence.steady_for(self._takeover_after) else _NEVER
        async with self._db.write() as c:
            dead = await workers.dead_workers(c, Silence(total, _UNPLUGGED))
            if dead:
                taken = await attempts.reap(c, [worker for worker, _ in dead], self._clock(), self._capacity)
                log.warning("workers are gone, their messages are taken over", workers=[name for _, name in dead], messages=taken)
