"""PgQueuer behind four calls: enqueue (in `passel.store.jobs`), handler, run, stop.

What we add to it:

- Completions and heartbeats are fenced by the owner: a frozen worker that wakes up cannot delete the job of the
  worker that took it over (PgQueuer itself goes by the job's id alone).
- Statements are repeated while the database is away, so a lost database costs no handler its work.
- After a restart of the database nobody takes over jobs before every live worker had time for a heartbeat: else an
  outage longer than the heartbeat's time-out would have live workers' calls made twice.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

import asyncpg
import structlog
from pgqueuer import AsyncpgPoolDriver, PgQueuer
from pgqueuer.adapters.drivers.asyncpg import Relay
from pgqueuer.db import AsyncpgDriver
from pgqueuer.domain.types import JOB_STATUS
from pgqueuer.models import Job as QueueJob
from pgqueuer.models import TracebackRecord
from pgqueuer.ports.driver import NotifyCallback
from pgqueuer.queries import Queries

from passel.store.database import is_passing, pause_before_retry
from passel.store.jobs import TURN, Job, queries_on
from passel.store.queries import SQL

log = structlog.get_logger()

Handler = Callable[[Job], Awaitable[None]]


class PatientDriver(AsyncpgPoolDriver):
    """Asks again while the database is away until `give_up`, and listens again after a lost connection.

    `disturbed` is set whenever a call met an outage, whichever call it was.
    """

    disturbed = False

    def __init__(self, pool: Any) -> None:
        super().__init__(pool)
        self._callbacks: list[tuple[str, NotifyCallback]] = []
        self._relistening: asyncio.Task[None] | None = None

    async def fetch(self, query: str, *args: object) -> list[dict[str, object]]:
        return await self.patiently(super().fetch, query, *args)

    async def execute(self, query: str, *args: object) -> str:
        return await self.patiently(super().execute, query, *args)

    async def notify(self, channel: str, payload: str) -> None:
        await self.patiently(super().notify, channel, payload)

    async def add_listener(self, channel: str, callback: NotifyCallback) -> None:
        self._callbacks.append((channel, callback))
        await self.patiently(self._listen)

    async def _listen(self) -> None:
        connection = await self._pool.acquire()
        try:
            for channel, callback in self._callbacks:
                await connection.add_listener(channel, Relay(callback))
        except BaseException:
            await self._pool.release(connection)
            raise
        connection.add_termination_listener(self._on_lost_connection)
        self._listener_connection = connection

    def _on_lost_connection(self, connection: object) -> None:
        if self._entered and not self.shutdown.is_set():
            self._relistening = asyncio.get_running_loop().create_task(self.patiently(self._listen))

    async def __aexit__(self, *args: object) -> None:
        if self._relistening is not None:
            self._relistening.cancel()
        try:
            await super().__aexit__(*args)
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
            log.debug("the listener's connection was gone already")

    def give_up(self) -> None:
        """From now on an outage is an error: the process ends, and others take over."""
        self.shutdown.set()

    async def patiently(self, call: Callable[..., Awaitable[Any]], *args: object) -> Any:
        tries = 0
        while True:
            try:
                return await call(*args)
            except Exception as error:
                self.disturbed = True
                if not is_passing(error) or self.shutdown.is_set():
                    raise
                if tries % 20 == 0:
                    log.warning("database is away, the queue waits", error=str(error) or repr(error))
                await pause_before_retry(tries)
                tries += 1


class FencedQueries(Queries):
    """Only the owner of a job completes it, and nobody takes jobs over right after an outage."""

    owner: Any = None
    pool: Any = None
    patient: PatientDriver
    takeover_after: timedelta = timedelta(seconds=6)
    _started = False

    async def log_jobs(self, job_status: list[tuple[QueueJob, JOB_STATUS, TracebackRecord | None]]) -> None:
        ids = [job.id for job, _, _ in job_status]

        async def complete_ours() -> int:
            async with self.pool.acquire() as raw, raw.transaction():
                rows = await raw.fetch("select id from pgqueuer where id = any($1) and queue_manager_id = $2 for update", ids, self.owner)
                ours = {row["id"] for row in rows}
                await queries_on(AsyncpgDriver(raw)).log_jobs([entry for entry in job_status if entry[0].id in ours])
                return len(ours)

        if lost := len(ids) - await self.patient.patiently(complete_ours):
            log.info("completions of jobs that others own now were dropped", jobs=lost)

    async def retry_job(self, job: QueueJob, delay: timedelta, traceback_record: TracebackRecord | None) -> None:
        """Back into the queue, as a worker that shuts down does with jobs that it has only just taken; if still ours."""

        async def retry_ours() -> None:
            async with self.pool.acquire() as raw, raw.transaction():
                if await raw.fetchval("select id from pgqueuer where id = $1 and queue_manager_id = $2 for update", job.id, self.owner):
                    await queries_on(AsyncpgDriver(raw)).retry_job(job, delay, traceback_record)

        await self.patient.patiently(retry_ours)

    async def update_heartbeat(self, job_ids: list[Any]) -> None:
        await self.driver.execute(
            "update pgqueuer set heartbeat = now() where id = any($1::bigint[]) and queue_manager_id = $2",
            sorted(set(job_ids)),
            self.owner,
        )

    async def dequeue(self, *args: Any, **kwargs: Any) -> list[QueueJob]:
        if not self._started:
            self._started = True
            await self._wait_after_restart()
        once = queries_on(AsyncpgPoolDriver(self.pool))
        while True:
            if self.patient.disturbed:
                await self._wait_for_heartbeats()
            try:
                return await once.dequeue(*args, **kwargs)
            except Exception as error:
                if not is_passing(error) or self.patient.shutdown.is_set():
                    raise
                log.warning("database is away, no jobs are taken", error=str(error) or repr(error))
                self.patient.disturbed = True

    async def _wait_after_restart(self) -> None:
        """A worker that starts together with its database: those who outlived the outage beat first."""
        rows = await self.driver.fetch(SQL["picked_jobs"])
        up = rows[0]["up"]
        assert isinstance(up, timedelta)
        if rows[0]["any_picked"] and up < self.takeover_after:
            await asyncio.sleep((self.takeover_after - up).total_seconds())

    async def _wait_for_heartbeats(self) -> None:
        """Once the database answers again, every live worker gets the time for a heartbeat."""
        rows = await self.driver.fetch(SQL["picked_jobs"])
        self.patient.disturbed = False
        if rows[0]["any_picked"]:
            await asyncio.sleep(self.takeover_after.total_seconds())


@dataclass(frozen=True, slots=True)
class QueueSettings:
    """`concurrency` messages at once; jobs of a silent worker are taken over after `takeover_after`."""

    concurrency: int = 1000
    takeover_after: timedelta = timedelta(seconds=6)
    poll: timedelta = timedelta(seconds=2)


class Queue:
    """Delivers jobs to one handler until stopped."""

    def __init__(self, pool: Any, settings: QueueSettings) -> None:
        self._settings = settings
        self._driver = PatientDriver(pool)
        self._queries = FencedQueries(self._driver)
        self._pgq = PgQueuer(self._driver, queries=self._queries)
        self._queries.pool = pool
        self._queries.patient = self._driver
        self._queries.owner = self._pgq.qm.queue_manager_id
        self._queries.takeover_after = settings.takeover_after

    @staticmethod
    async def open_pool(url: str) -> Any:
        """Connections of the queue's own: PgQueuer expects asyncpg's default types."""
        return await asyncpg.create_pool(
            url, min_size=0, max_size=5, timeout=10, command_timeout=60, server_settings={"application_name": "passel queue", "jit": "off"}
        )

    async def run(self, handler: Handler) -> None:
        """Deliver until `stop`, then wait for the handlers that run."""

        async def deliver(job: QueueJob) -> None:
            await handler(Job.decode(job.payload))

        self._pgq.entrypoint(TURN)(deliver)
        concurrency = self._settings.concurrency
        await self._pgq.run(
            batch_size=max(1, min(500, concurrency // 2)),
            max_concurrent_tasks=max(2, concurrency),
            dequeue_timeout=self._settings.poll,
            heartbeat_timeout=self._settings.takeover_after,
            log_aggregation_interval=timedelta(0),
        )

    @property
    def owner(self) -> UUID:
        """The name under which this worker picks jobs."""
        return self._pgq.qm.queue_manager_id

    def stop(self) -> None:
        """Take no more jobs. Heartbeats go on for those that run."""
        self._pgq.shutdown.set()

    def give_up(self) -> None:
        """Wait for no database any more: everything is finished or handed back, or cannot be."""
        self._driver.give_up()
