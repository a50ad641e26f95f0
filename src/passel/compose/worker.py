"""The worker process."""

import asyncio
import contextlib
import faulthandler
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta

import structlog

from passel.compose.kinds import KINDS, Kind
from passel.compose.process import die_with_parent, open_deps, raise_file_limit, settle_heap
from passel.compose.settings import Settings
from passel.core.context import Stoppable, Workload
from passel.core.faults import FaultPolicy
from passel.engine.attempt import Attempts
from passel.engine.claims import Claimer, Gate, SuspectClaimer
from passel.engine.duties import Auditor, Canceller, Deleter, Evictor, Feeder, Impatience, Sweep, Sweeper, Waker
from passel.engine.duty import Duty
from passel.engine.journal import Journal
from passel.engine.liveness import Presence, Reaper
from passel.engine.quarantine import Quarantine, Until
from passel.engine.worker import Worker
from passel.services.agents.sweeping import StaleSnapshots
from passel.services.deps import Deps
from passel.services.files import UnusedFiles
from passel.services.retention import OldBatches, OldOrder, OldSessions
from passel.services.verification.uploads import OldUploads
from passel.store.database import Database, is_passing, pause_before_retry
from passel.store.schema import current_revision, newest_revision

log = structlog.get_logger()

_END_SECONDS = 15.0
_HUNG_SECONDS = 60.0

Ready = Callable[[], None]


def _nobody() -> None:
    return None


async def run_worker(
    settings: Settings,
    kinds: Mapping[str, Kind] = KINDS,
    *,
    quarantine: Sequence[str] | None = None,
    suspects: bool = False,
    ready: Ready = _nobody,
) -> None:
    """Work until SIGTERM or SIGINT, then drain. `quarantine` is the command of a process for suspects of this worker;
    such a process is run with `suspects`, and ends when there are none. `ready` is told once work can be taken."""
    raise_file_limit()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    deps = await open_deps(settings, name="passel worker", connections=8)
    try:
        if await _wait_for_schema(deps.db, stop):
            async with contextlib.AsyncExitStack() as stack:
                workloads = {name: await stack.enter_async_context(kind.open(settings, deps)) for name, kind in kinds.items()}
                settle_heap()
                attempts = _attempts(settings, deps, workloads)
                worker = _Assembly(settings, deps, kinds, attempts, stop).build(quarantine, suspects, ready)
                watching = asyncio.create_task(_end_when_hung())
                stopping = asyncio.create_task(_stop_when(stop, worker, workloads.values()))
                await worker.run()
                stopping.cancel()
                watching.cancel()
    finally:
        await deps.db.close()


def _attempts(settings: Settings, deps: Deps, workloads: Mapping[str, Workload]) -> Attempts:
    journal = Journal(deps.db, deps.clock, deps.capacity, deps.announcing)
    faults = FaultPolicy(settings.fault_patience)
    return Attempts(journal, deps.clock, deps.ids, workloads, settings.max_attempts, faults)


class _Assembly:
    """Puts a worker together: who claims, who watches."""

    def __init__(self, settings: Settings, deps: Deps, kinds: Mapping[str, Kind], attempts: Attempts, stop: asyncio.Event) -> None:
        self._settings, self._deps, self._kinds, self._attempts, self._stop = settings, deps, kinds, attempts, stop
        self._evictor = Evictor(deps.db, deps.clock, deps.capacity, attempts, lambda: self._presence.registered_as)
        name = f"{socket.gethostname()}:{os.getpid()}"
        self._places = {one: kind.places(settings) for one, kind in kinds.items()}
        self._presence = Presence(deps.db, name, self._places, self._on_ready, self._evictor.wake)
        self._claimers: dict[str, Claimer] = {}

    def build(self, quarantine: Sequence[str] | None, suspects: bool, ready: Ready) -> Worker:
        deps, settings = self._deps, self._settings
        make = SuspectClaimer if suspects else Claimer
        for name, places in self._places.items():
            self._claimers[name] = make(deps.db, deps.clock, deps.capacity, self._attempts, name, places, lambda: self._presence.worker_id)
        duties = [self._evictor, self._until_no_suspects()] if suspects else self._duties(quarantine)
        return Worker(
            deps.db,
            deps.clock,
            deps.capacity,
            self._presence,
            self._attempts,
            list(self._claimers.values()),
            duties,
            settings.drain_seconds,
            ready,
            self._evictor.hand_back_adrift,
        )

    def _on_ready(self, kind: str) -> None:
        if kind in self._claimers:
            self._claimers[kind].wake()

    def _until_no_suspects(self) -> Duty:
        gate = Gate()
        for claimer in self._claimers.values():
            assert isinstance(claimer, SuspectClaimer)
            claimer.gate = gate
            gate.claimers.append(claimer)
        return Until(self._deps.db, list(self._kinds), lambda: gate.busy, self._stop.set)

    def _duties(self, quarantine: Sequence[str] | None) -> list[Duty]:
        db, clock, capacity, settings = self._deps.db, self._deps.clock, self._deps.capacity, self._settings
        takeover_after = timedelta(seconds=settings.takeover_after)
        duties: list[Duty] = [
            Feeder(db, clock, capacity),
            Waker(db, clock, capacity),
            Canceller(db, clock, capacity, self._deps.announcing),
            Deleter(db, clock, capacity, self._deps.announcing),
            Auditor(db, clock, capacity),
            Reaper(db, clock, capacity, self._presence, takeover_after),
            self._evictor,
            Sweeper(db, self._sweeps()),
            *self._patience(),
        ]
        if quarantine:
            run = _Process(quarantine, settings)
            duties.append(Quarantine(db, list(self._kinds), settings.quarantine, run))
        return duties

    def _patience(self) -> list[Duty]:
        """For kinds that are not waited for without end, also where this worker does not serve them: perhaps nobody does."""
        db, clock, capacity, announcing = self._deps.db, self._deps.clock, self._deps.capacity, self._deps.announcing
        patience = {name: kind.patience(self._settings) for name, kind in KINDS.items() if kind.patience is not None}
        return [Impatience(db, clock, capacity, announcing, name, timedelta(seconds=most)) for name, most in patience.items() if most]

    def _sweeps(self) -> list[Sweep]:
        deps, settings = self._deps, self._settings
        sweeps: list[Sweep] = [
            StaleSnapshots(deps),
            UnusedFiles(deps, timedelta(hours=settings.unused_file_hours)),
            OldBatches(deps, None if settings.batch_retention_days is None else timedelta(days=settings.batch_retention_days)),
            OldUploads(deps),
            OldOrder(deps, timedelta(days=settings.firehose_days)),
        ]
        if settings.session_retention_days is not None:
            sweeps.append(OldSessions(deps, timedelta(days=settings.session_retention_days)))
        return sweeps


class _Process:
    """Runs one quarantine process to its end; ends it when the caller is cancelled."""

    def __init__(self, command: Sequence[str], settings: Settings) -> None:
        self._command, self._environment = command, {**os.environ, **settings.environment()}

    async def __call__(self) -> int:
        process = await asyncio.create_subprocess_exec(
            *self._command,
            env=self._environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=die_with_parent,
        )
        try:
            return await process.wait()
        except asyncio.CancelledError:
            process.terminate()
            try:
                await asyncio.wait_for(process.wait(), _END_SECONDS)
            except TimeoutError:
                process.kill()
            raise


def quarantine_command(kinds: Sequence[str]) -> list[str]:
    return [sys.executable, "-m", "passel", "worker", "--kinds", ",".join(kinds), "--suspects"]


async def _end_when_hung() -> None:
    """A worker whose loop stands still for a minute can do nothing, not even end: it is ended from outside the loop, its
    stacks on stderr, and what it had in its hands goes to others."""
    try:
        while True:
            faulthandler.dump_traceback_later(_HUNG_SECONDS, exit=True)
            await asyncio.sleep(_HUNG_SECONDS / 4)
    finally:
        faulthandler.cancel_dump_traceback_later()


async def _stop_when(stop: asyncio.Event, worker: Worker, workloads: Iterable[Workload]) -> None:
    await stop.wait()
    worker.stop()
    for workload in workloads:
        if isinstance(workload, Stoppable):
            workload.stop()


async def _wait_for_schema(db: Database, stop: asyncio.Event) -> bool:
    """Workers may start before `passel migrate` has run, or before there is a database."""
    newest, tries = newest_revision(), 0
    while not stop.is_set():
        try:
            async with db.read() as c:
                if await current_revision(c) == newest:
                    return True
        except Exception as error:
            if not is_passing(error):
                raise
        if tries % 20 == 0:
            log.warning("waiting for a database with the newest schema: run `passel migrate`", revision=newest)
        await pause_before_retry(tries)
        tries += 1
    return False
