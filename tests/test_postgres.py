"""The supervisor of the embedded PostgreSQL, on real servers."""

import asyncio
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import asyncpg
import psutil
import pytest

from passel.store.postgres import EmbeddedPostgres, PostgresError, find_binaries
from tests.support.installation import scratch_dir


async def answer(url: str) -> Any:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval("select 1")
    finally:
        await connection.close()


def test_start_is_repeatable_and_stop_is_final() -> None:
    with scratch_dir() as directory:
        server = EmbeddedPostgres(directory / "pg")
        server.start()
        first = server.postmaster()
        assert EmbeddedPostgres(directory / "pg").start() == server.url and server.postmaster() == first
        server.stop()
        assert server.postmaster() is None
        server.stop()


def test_it_starts_again_right_after_a_kill() -> None:
    with scratch_dir() as directory:
        server = EmbeddedPostgres(directory / "pg")
        server.start()
        first = server.postmaster()
        assert first is not None
        first.kill()
        server.start()
        second = server.postmaster()
        assert second is not None and second.pid != first.pid
        server.stop()


def test_a_stale_pid_file_of_somebody_elses_process_is_no_server() -> None:
    """As after the restart of a container, where pids begin anew."""
    with scratch_dir() as directory:
        server = EmbeddedPostgres(directory / "pg")
        server.start()
        postmaster = server.postmaster()
        assert postmaster is not None
        saved = (directory / "pg" / "postmaster.pid").read_text()
        server.stop()
        other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
        try:
            (directory / "pg" / "postmaster.pid").write_text(saved.replace(str(postmaster.pid), str(other.pid), 1))
            assert server.postmaster() is None
            server.start()
            assert server.postmaster() is not None and other.poll() is None
        finally:
            other.kill()
            other.wait()
        server.stop()


def test_five_at_once_on_a_fresh_directory() -> None:
    with scratch_dir() as directory:
        script = f"from pathlib import Path; from passel.store.postgres import EmbeddedPostgres as E; print(E(Path({str(directory / 'pg')!r})).start())"
        starters = [subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) for _ in range(5)]
        urls = {starter.communicate(timeout=60)[0].strip() for starter in starters}
        server = EmbeddedPostgres(directory / "pg")
        assert urls == {server.url}
        server.stop()


def test_parents_of_the_data_directory_keep_their_modes() -> None:
    with scratch_dir() as directory:
        inner = directory / "data"
        inner.mkdir(mode=0o755)
        before = [p.stat().st_mode for p in (directory, inner)]
        server = EmbeddedPostgres(inner / "pg")
        server.start()
        assert [p.stat().st_mode for p in (directory, inner)] == before and (inner / "pg").stat().st_mode & 0o777 == 0o700
        server.stop()


def test_a_database_half_made_is_made_again() -> None:
    with scratch_dir() as directory:
        (directory / "pg.new").mkdir()
        (directory / "pg.new" / "PG_VERSION").write_text("18\n")
        server = EmbeddedPostgres(directory / "pg")
        server.start()
        assert sorted(p.name for p in directory.iterdir()) == ["pg", "pg.lock"]
        server.stop()


def test_what_is_no_database_is_left_alone() -> None:
    with scratch_dir() as directory:
        (directory / "pg").mkdir()
        (directory / "pg" / "letter").write_text("dear")
        with pytest.raises(PostgresError, match="not empty"):
            EmbeddedPostgres(directory / "pg").start()
        assert (directory / "pg" / "letter").read_text() == "dear"


def test_a_server_that_does_not_start_says_what_its_log_says() -> None:
    with scratch_dir() as directory:
        server = EmbeddedPostgres(directory / "pg", {"no_such_setting": "1"}, patience=0)
        with pytest.raises(PostgresError, match="no_such_setting"):
            server.start()


def test_a_path_too_long_for_a_socket_is_said_so() -> None:
    with pytest.raises(PostgresError, match="shorter"):
        EmbeddedPostgres(Path("/tmp") / ("x" * 120))


def test_a_path_may_have_blanks_and_quotes() -> None:
    with scratch_dir() as directory:
        server = EmbeddedPostgres(directory / "it's a #1 (50%) & café" / "pg")
        assert asyncio.run(answer(server.start())) == 1
        server.stop()


@pytest.mark.parametrize("sign", [",", "$", '"'])
def test_a_path_that_postgres_cannot_use_is_said_so(sign: str) -> None:
    with pytest.raises(PostgresError, match="choose another"):
        EmbeddedPostgres(Path(f"/tmp/pas{sign}sel"))


def test_binaries_come_from_the_wheel() -> None:
    assert (find_binaries() / "postgres").exists()


def test_the_supervisor_takes_its_children_along_when_it_is_killed() -> None:
    from tests.support.installation import Installation

    with scratch_dir() as directory:
        passel = Installation(directory, 1).start()
        children = passel.children("api") + passel.children("worker")
        passel.program.kill()
        deadline = time.monotonic() + 30
        while any(c.is_running() and c.status() != psutil.STATUS_ZOMBIE for c in children) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert not [c for c in children if c.is_running() and c.status() != psutil.STATUS_ZOMBIE]
        again = Installation(directory, 0).start()  # finds the database still running, and uses it
        assert again.stop() == 0
        assert EmbeddedPostgres(directory / "postgres").postmaster() is None
