"""`passel doctor` says ok where `passel serve` starts, and only there."""

import json
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

from passel.store.postgres import EmbeddedPostgres
from tests.support.installation import Installation, scratch_dir


def doctor(data_dir: Path, **settings: str) -> tuple[int, str]:
    environment = Installation(data_dir, settings={"PASSEL_PORT": "0", **settings}).environment()
    done = subprocess.run([sys.executable, "-m", "passel", "doctor", "--json"], env=environment, capture_output=True, text=True)
    findings: list[dict[str, Any]] = json.loads(done.stdout)
    return done.returncode, "\n".join(f"{f['level']}: {f['what']} {f['mend']}" for f in findings)


def test_it_starts_a_throw_away_database_and_leaves_nothing() -> None:
    with scratch_dir() as directory:
        code, said = doctor(directory / "not yet" / "there")
        assert code == 0 and "ok: embedded PostgreSQL" in said and "starts and answers as" in said
        assert not list(directory.iterdir())


def test_it_asks_a_server_that_runs() -> None:
    with scratch_dir() as directory:
        passel = Installation(directory, 0).start()
        code, said = doctor(directory, PASSEL_PORT=passel.url.rsplit(":", 1)[1])
        assert code == 0 and "is running and answers" in said and "`passel serve` is running" in said
        assert passel.stop() == 0


def test_it_uses_the_account_of_the_database_that_is_there() -> None:
    with scratch_dir() as directory:
        server = EmbeddedPostgres(directory / "postgres")
        server.start()
        server.stop()
        code, said = doctor(directory)
        assert code == 0 and f"answers as {server.account()}" in said
        assert sorted(p.name for p in directory.iterdir()) == ["postgres", "postgres.lock"]


def test_a_database_of_another_version_is_a_problem() -> None:
    with scratch_dir() as directory:
        server = EmbeddedPostgres(directory / "postgres")
        server.start()
        server.stop()
        (directory / "postgres" / "PG_VERSION").write_text("12\n")
        code, said = doctor(directory)
        assert code == 1 and "problem: the database was made by PostgreSQL 12" in said


def test_a_data_directory_that_cannot_be_made_is_a_problem() -> None:
    with scratch_dir() as directory:
        (directory / "file").write_text("")
        code, said = doctor(directory / "file" / "data")
        assert code == 1 and "cannot be written" in said and "PASSEL_DATA_DIR" in said


def test_programs_that_do_not_run_are_a_problem() -> None:
    with scratch_dir() as directory:
        (directory / "bin").mkdir()
        (directory / "bin" / "postgres").write_text("no program")
        code, said = doctor(directory, PASSEL_PGBIN=str(directory / "bin"))
        assert code == 1 and "problem: the embedded PostgreSQL does not start" in said


def test_an_address_that_is_taken_or_not_ours_is_a_problem() -> None:
    with scratch_dir() as directory, socket.create_server(("127.0.0.1", 0)) as taken:
        code, said = doctor(directory, PASSEL_PORT=str(taken.getsockname()[1]))
        assert code == 1 and "problem: the API cannot listen on 127.0.0.1" in said
        code, said = doctor(directory, PASSEL_HOST="192.0.2.1")
        assert code == 1 and "problem: the API cannot listen on 192.0.2.1" in said
