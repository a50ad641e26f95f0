"""The worker process."""

import asyncio
import os
import signal
from datetime import timedelta

import structlog

from passel.compose.process import database_url, open_deps, raise_file_limit, settle_heap
from passel.compose.settings import Settings
from passel.engine.attempt import Attempts
from passel.engine.duties import Auditor, Canceller, Evictor, Feeder, Pruner, Reconciler
from passel.engine.journal import Journal
from passel.engine.queue import Queue, QueueSettings
from passel.engine.worker import Worker
from passel.services.turns import TurnLoader
from passel.store.database import Database, is_passing, pause_before_retry
from passel.store.schema import current_revision, newest_revision
from passel.workloads.agent.local import LocalModels
from passel.workloads.agent.models import CallSettings, ModelDirectory
from passel.workloads.agent.turns import AgentWorkload

log = structlog.get_logger()


async def run_worker(settings: Settings) -> None:
    """Work until SIGTERM or SIGINT, then drain."""
    raise_file_limit()
    settle_heap()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    deps = await open_deps(settings, name="passel worker", connections=8)
    pool = await Queue.open_pool(database_url(settings))
    models = _models(settings)
    try:
        if not await _wait_for_schema(deps.db, stop):
            return
        loader = TurnLoader(deps, settings.server_keys)
        queue = Queue(pool, QueueSettings(settings.concurrency, timedelta(seconds=settings.takeover_after)))
        attempts = Attempts(
            Journal(deps.db, deps.clock, deps.capacity),
            deps.clock,
            deps.ids,
            loader.load,
            loader.read_file,
            AgentWorkload(models, settings.retries),
            settings.max_attempts,
        )
        duties = [
            Feeder(deps.db, deps.capacity),
            Reconciler(deps.db),
            Canceller(deps.db, deps.clock, deps.capacity),
            Evictor(deps.db, attempts),
            Auditor(deps.db),
            Pruner(deps.db, deps.clock),
        ]
        worker = Worker(deps.db, queue, attempts, duties, settings.drain_seconds)
        stopping = asyncio.create_task(_stop_when(stop, worker))
        log.info("worker is ready", pid=os.getpid(), concurrency=settings.concurrency)
        await worker.run()
        stopping.cancel()
    finally:
        await models.close()
        pool.terminate()
        await deps.db.close()


def _models(settings: Settings) -> ModelDirectory:
    threads = settings.local_threads or max(1, (os.cpu_count() or 1) // max(1, settings.workers))
    local = LocalModels(
        settings.models_dir, parallel=settings.local_parallel, context_tokens=settings.local_context_tokens, threads=threads
    )
    calls = CallSettings(settings.model_timeout, settings.concurrency, settings.private_urls_allowed, settings.model_client == "auto")
    return ModelDirectory(calls, local.url)


async def _stop_when(stop: asyncio.Event, worker: Worker) -> None:
    await stop.wait()
    worker.stop()


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
