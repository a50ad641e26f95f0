"""The supervisor of the embedded PostgreSQL, on real servers."""

import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from passel.store.postgres import EmbeddedPostgres, PostgresError, find_binaries
from tests.support.installation import scratch_dir


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


@pytest.mark.skipif(os.geteuid() != 0, reason="only root's server runs as another user")
def test_a_directory_that_the_servers_user_cannot_reach_is_said_so() -> None:
    with scratch_dir() as directory:
        closed = directory / "closed"
        closed.mkdir(mode=0o700)
        with pytest.raises(PostgresError, match="--data-dir"):
            EmbeddedPostgres(closed / "pg").start()
        assert not (closed / "pg").exists()


def test_a_path_too_long_for_a_socket_is_said_so() -> None:
    with pytest.raises(PostgresError, match="shorter"):
        EmbeddedPostgres(Path("/tmp") / ("x" * 120))


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
