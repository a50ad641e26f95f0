"""Starting, stopping and draining real processes."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import asyncpg
import httpx2
import psutil

from passel.compose.api import build_app
from passel.compose.process import open_deps
from passel.compose.serve import _Child
from passel.compose.settings import Settings
from passel.models.embedding import Embedder
from passel.services.following import Following
from passel.store.postgres import EmbeddedPostgres
from tests.support.installation import KEY, Installation, Program, item, played_model, scratch_dir, wait_for_batch, wait_until
from tests.test_chaos import in_flight, rows, submit


def test_sigterm_stops_everything_the_database_last() -> None:
    with scratch_dir() as directory:
        passel = Installation(directory, 2).start()
        family = psutil.Process(passel.program.process.pid).children(recursive=True)
        postmaster = EmbeddedPostgres(directory / "postgres").postmaster()
        assert postmaster is not None and len(family) >= 3
        assert passel.stop() == 0
        assert not [p for p in [*family, postmaster] if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]


def test_a_process_that_is_being_made_when_the_server_stops_is_stopped_too() -> None:
    async def go() -> None:
        child = _Child("test", [sys.executable, "-c", "import time; time.sleep(600)"], dict(os.environ))
        keeping = asyncio.create_task(child.keep())
        await asyncio.sleep(0)
        assert child.process is None, "it is being made"
        child.stop()
        await asyncio.wait_for(keeping, 60)

    asyncio.run(go())


def test_a_second_serve_on_the_same_directory_says_so() -> None:
    with scratch_dir() as directory:
        passel = Installation(directory).start()
        second = subprocess.run(
            [sys.executable, "-m", "passel", "serve", "--port", "0"], env=passel.environment(), capture_output=True, text=True
        )
        assert second.returncode == 3 and str(passel.program.process.pid) in second.stderr and "--data-dir" in second.stderr
        assert passel.http().get("/healthz").status_code == 200
        assert passel.stop() == 0
        again = Installation(directory).start()  # the lock went with its process
        assert again.client.get("/v1/agents") == {"agents": []}
        assert again.stop() == 0


def test_a_draining_worker_finishes_what_it_can_and_hands_back_the_rest() -> None:
    """A worker alone gets SIGTERM with short and long calls in flight: exit code 0, no call made twice that was finished."""
    with scratch_dir() as directory, played_model() as model:
        passel = Installation(directory, 0, {"PASSEL_DRAIN_SECONDS": "2", "PASSEL_TAKEOVER_AFTER": "30"}).start()
        agent = passel.deploy(model.url, ["wait-1", "wait-8", "echo"])
        worker = Program([sys.executable, "-m", "passel", "worker"], passel.environment(), stderr_path=directory / "worker.err")
        worker.start()
        items = [item(agent, f"drain {n}", llm_id="wait-1" if n < 5 else "wait-8") for n in range(8)]
        made = passel.client.post("/v1/session-batches", {"items": items})
        wait_until(lambda: in_flight(passel) == 8)
        begun = time.monotonic()
        assert worker.stop(20) == 0, worker.errors()
        assert time.monotonic() - begun < 15
        batch = passel.client.get(f"/v1/session-batches/{made['batch_id']}")
        assert batch["counts"] == {"queued": 3, "running": 0, "completed": 5, "failed": 0}
        # handed back, not abandoned: they are ready, long before the take-over time, and have lost no try
        assert rows(passel, "select state, lost from message where ended_at is null") == [{"state": "ready", "lost": 0}] * 3
        second = Program([sys.executable, "-m", "passel", "worker"], passel.environment(), stderr_path=directory / "worker.err")
        second.start()
        done = wait_for_batch(passel.client, made["batch_id"], 60)
        assert done["counts"]["completed"] == 8 and done["usage"]["in_doubt_calls"] == 3
        assert sum(model.calls().values()) == 11
        assert second.stop() == 0 and passel.stop() == 0


def test_readiness_follows_the_database() -> None:
    with scratch_dir() as directory:
        server = EmbeddedPostgres(directory / "postgres")
        server.start()
        environment = Installation(directory).environment()
        api = Program([sys.executable, "-m", "passel", "api", "--port", "0"], environment, stderr_path=directory / "api.err")
        url = api.start("listening").split()[1]
        import httpx2

        with httpx2.Client(base_url=url, timeout=30) as http:
            assert http.get("/healthz").status_code == 200
            no_schema = http.get("/readyz")
            assert no_schema.status_code == 503 and "passel migrate" in no_schema.json()["detail"]
            done = subprocess.run([sys.executable, "-m", "passel", "migrate", "--json"], env=environment, capture_output=True, text=True)
            assert done.returncode == 0 and json.loads(done.stdout)["api_key"] == KEY, done.stderr
            assert http.get("/readyz").json()["status"] == "ready"
            server.stop()
            assert http.get("/healthz").status_code == 200
            assert http.get("/readyz").status_code == 503
            away = http.get("/v1/agents", headers={"Authorization": f"Bearer {KEY}"})
            assert away.status_code == 503 and away.headers["retry-after"] and away.json()["detail"]
            server.start()
            wait_until(lambda: http.get("/readyz").status_code == 200)
            assert http.get("/v1/agents", headers={"Authorization": f"Bearer {KEY}"}).json() == {"agents": []}
        assert api.stop() == 0
        server.stop()


def test_work_goes_on_after_the_database_was_away_for_long() -> None:
    """An outage longer than the heartbeat's time-out: live workers keep their sessions, and no call is made twice."""
    with scratch_dir() as directory, played_model() as model:
        settings = {"PASSEL_TAKEOVER_AFTER": "2"}
        passel = Installation(directory, 0, settings).start()
        agent = passel.deploy(model.url, ["wait-3"])
        workers = [
            Program([sys.executable, "-m", "passel", "worker"], passel.environment(), stderr_path=directory / f"w{n}.err") for n in range(2)
        ]
        for worker in workers:
            worker.start()
        made = submit(passel, agent, "outage", 30, "outage")
        wait_until(lambda: in_flight(passel) == 30)
        supervisor = psutil.Process(passel.program.process.pid)
        supervisor.suspend()  # else it would start the database again at once
        server = EmbeddedPostgres(directory / "postgres")
        postmaster = server.postmaster()
        assert postmaster is not None
        postmaster.kill()
        time.sleep(5)  # the outage itself; nothing is waited for here
        supervisor.resume()
        done = wait_for_batch(passel.client, made["batch_id"], 60)
        assert done["counts"]["completed"] == 30
        assert sum(model.calls().values()) == 30 and done["usage"]["in_doubt_calls"] == 0
        assert [worker.stop() for worker in workers] == [0, 0]
        assert passel.stop() == 0


def test_a_database_at_its_connection_limit_delays_and_loses_nothing() -> None:
    with scratch_dir() as directory, played_model() as model:
        passel = Installation(directory, 1).start()
        agent = passel.deploy(model.url, ["wait-0.3"])

        async def occupy() -> None:
            import asyncpg

            held = []
            try:
                while True:
                    held.append(await asyncpg.connect(passel.database_url()))
            except asyncpg.PostgresError:
                pass
            passel.children("worker")[0].send_signal(signal.SIGKILL)  # the new one finds no connection at first
            await asyncio.sleep(3)
            for connection in held:
                await connection.close()

        made = submit(passel, agent, "crowd", 50, "crowd")
        asyncio.run(occupy())
        done = wait_for_batch(passel.client, made["batch_id"], 60)
        assert done["counts"]["completed"] == 50
        assert passel.stop() == 0


def test_a_worker_can_be_stopped_while_its_database_is_away() -> None:
    with scratch_dir() as directory, played_model() as model:
        passel = Installation(directory, 0, {"PASSEL_DRAIN_SECONDS": "2"}).start()
        agent = passel.deploy(model.url, ["wait-1"])
        worker = Program([sys.executable, "-m", "passel", "worker"], passel.environment(), stderr_path=directory / "worker.err")
        worker.start()
        submit(passel, agent, "away", 20, "away")
        wait_until(lambda: in_flight(passel) > 0)
        assert passel.stop() == 0  # takes the database along
        assert worker.stop(90) == 0, worker.errors()


def test_a_connection_that_breaks_under_a_statement_is_503(tmp_path: Path) -> None:
    """Whatever the driver calls it: what may pass says so."""

    async def scenario() -> list[int]:
        settings = Settings(data_dir=tmp_path, database_url="postgresql://nobody@127.0.0.1:1/nothing")
        deps = await open_deps(settings, name="test", connections=1)
        app = build_app(deps, settings, Following(deps.db, 1), Embedder())
        errors = (
            asyncpg.InternalClientError,
            asyncpg.ConnectionDoesNotExistError,
            asyncpg.InterfaceError,
            ConnectionResetError,
            TimeoutError,
        )

        @app.get("/broken/{n}")
        async def broken(n: int) -> None:
            raise errors[n]("another operation is in progress")

        async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://test") as client:
            answers = [await client.get(f"/broken/{n}") for n in range(len(errors))]
        await deps.db.close()
        return [answer.status_code for answer in answers]

    assert asyncio.run(scenario()) == [503] * 5
