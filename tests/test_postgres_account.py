"""As which account the database runs, found out on real processes with more and fewer rights.

"Forbidden" is done to a process by taking capabilities away from it: without `setfcap` root may not map itself into a
user namespace, as in most containers, and without `setpcap` no right outlives the change of user.
"""

import asyncio
import os
import pwd
import subprocess
import sys
from pathlib import Path

import pytest

from passel.store import postgres_account
from passel.store.postgres import EmbeddedPostgres, PostgresError
from passel.store.postgres_account import Account, choose
from tests.support.installation import scratch_dir
from tests.test_postgres import answer

ROOT = os.geteuid() == 0
NOBODY = pwd.getpwnam("nobody").pw_uid
PROGRAM = postgres_account.__file__
PROGRAMS = Path("/usr/bin")
SETPCAP, SETFCAP = 8, 31
PR_CAPBSET_DROP = 24

START = """
import sys
from pathlib import Path
from passel.store.postgres import EmbeddedPostgres, PostgresError
server = EmbeddedPostgres(Path(sys.argv[1]))
try:
    server.start()
except PostgresError as error:
    sys.exit(str(error))
print(server.account().way)
server.stop()
"""


def may_use_namespaces() -> bool:
    return ROOT and subprocess.run(Account("namespace", 0, 0, "root").command("/bin/true"), capture_output=True).returncode == 0


needs_root = pytest.mark.skipif(not ROOT, reason="only root's database runs as another account")
needs_namespaces = pytest.mark.skipif(not may_use_namespaces(), reason="needs root and user namespaces")


def closed(directory: Path) -> Path:
    """A folder as /root is: nobody else may enter."""
    (directory / "home").mkdir(mode=0o700)
    return directory / "home"


def without(*capabilities: int) -> list[str]:
    """A Python that lacks these capabilities, and so do its children."""
    drop = "import ctypes, os, sys; libc = ctypes.CDLL(None)\n"
    drop += f"assert not any(libc.prctl({PR_CAPBSET_DROP}, c, 0, 0, 0) for c in {capabilities})\n"
    return [sys.executable, "-c", drop + "os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"]


def start_without(directory: Path, *capabilities: int) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PASSEL_PG_ACCOUNT": "auto"}
    return subprocess.run([*without(*capabilities), "-c", START, str(directory)], env=environment, capture_output=True, text=True)


def check(data_dir: Path, programs: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-I", "-S", PROGRAM, "check", str(data_dir), str(programs)], capture_output=True, text=True)


@pytest.mark.parametrize(
    "run_as, uid",
    [
        pytest.param("auto", None, id="auto"),
        pytest.param("namespace", 0, id="namespace", marks=needs_namespaces),
        pytest.param("nobody", NOBODY, id="nobody", marks=needs_root),
    ],
)
def test_it_runs_below_a_closed_home_which_stays_closed(run_as: str, uid: int | None) -> None:
    with scratch_dir() as directory:
        home = closed(directory)
        server = EmbeddedPostgres(home / "pg", run_as=run_as)
        assert asyncio.run(answer(server.start())) == 1
        assert home.stat().st_mode & 0o777 == 0o700 and (home / "pg").stat().st_mode & 0o777 == 0o700
        postmaster = server.postmaster()
        assert postmaster is not None and postmaster.uids().real == (home / "pg").stat().st_uid
        assert uid is None or postmaster.uids().real == uid
        server.stop()


@needs_root
def test_the_user_keeps_no_right_of_roots_where_it_needs_none() -> None:
    with scratch_dir() as directory:
        (directory / "open").mkdir()
        assert choose(directory / "open", PROGRAMS, "nobody").way == "user"
        (closed(directory) / "inner").mkdir()
        assert choose(directory / "home" / "inner", PROGRAMS, "nobody").way == "passage"


@needs_root
def test_where_namespaces_are_forbidden_it_runs_as_nobody() -> None:
    with scratch_dir() as directory:
        done = start_without(closed(directory) / "pg", SETFCAP)
        assert done.returncode == 0 and done.stdout.strip() == "passage", done.stderr
        assert (directory / "home" / "pg").stat().st_uid == NOBODY


@needs_root
def test_where_nothing_works_it_says_so_and_leaves_nothing() -> None:
    with scratch_dir() as directory:
        done = start_without(closed(directory) / "pg", SETFCAP, SETPCAP)
        assert done.returncode == 1 and "nobody" in done.stderr and "/var/lib/passel" in done.stderr
        assert [p.name for p in (directory / "home").iterdir()] == ["pg.lock"]


@needs_namespaces
def test_a_database_keeps_its_owners_account() -> None:
    with scratch_dir() as directory:
        for run_as, uid, other in (("nobody", NOBODY, "namespace"), ("namespace", 0, "nobody")):
            EmbeddedPostgres(directory / run_as, run_as=run_as).start()
            again = EmbeddedPostgres(directory / run_as, run_as="auto")
            again.stop()
            again.start()
            account = again.account()
            assert account is not None and account.uid == uid
            again.stop()
            with pytest.raises(PostgresError, match=f"PASSEL_PG_ACCOUNT says {other}"):
                EmbeddedPostgres(directory / run_as, run_as=other).start()


@needs_namespaces
def test_a_database_of_roots_that_may_use_no_namespace_any_more_says_what_to_do() -> None:
    with scratch_dir() as directory:
        EmbeddedPostgres(directory / "pg", run_as="namespace").start()
        EmbeddedPostgres(directory / "pg").stop()
        done = start_without(directory / "pg", SETFCAP)
        assert done.returncode == 1 and f"chown -R nobody {directory / 'pg'}" in done.stderr
        subprocess.run(["chown", "-R", "nobody", str(directory / "pg")], check=True)
        assert start_without(directory / "pg", SETFCAP).returncode == 0


@needs_root
def test_another_users_database_runs_as_that_user() -> None:
    with scratch_dir() as directory:
        user = pwd.getpwnam("daemon")
        EmbeddedPostgres(directory / "pg", run_as="daemon").start()
        account = EmbeddedPostgres(directory / "pg", run_as="auto").account()
        assert account is not None and (account.uid, account.name) == (user.pw_uid, "daemon")
        EmbeddedPostgres(directory / "pg").stop()


@needs_root
@pytest.mark.parametrize("run_as, said", [("root", "refuses to run as root"), ("no-such-user", "there is no user")])
def test_an_account_that_cannot_be_is_said_so(run_as: str, said: str) -> None:
    with scratch_dir() as directory, pytest.raises(PostgresError, match=said):
        EmbeddedPostgres(directory / "pg", run_as=run_as).start()


@needs_root
def test_a_copy_of_the_programs_by_an_older_version_is_not_looked_at() -> None:
    with scratch_dir() as directory:
        (directory / "postgres-binaries" / "bin").mkdir(parents=True)
        server = EmbeddedPostgres(directory / "pg", run_as="nobody")
        server.start()
        server.stop()


def test_the_check_before_installation_passes_here_and_leaves_nothing() -> None:
    with scratch_dir() as directory:
        home = closed(directory)
        done = check(home / "passel-demo", home / ".venv")
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        assert not list(home.iterdir())


@pytest.mark.parametrize("name, said", [("x" * 100, "too long"), ("a,b", "choose another")])
def test_the_check_before_installation_knows_the_paths_that_cannot_work(name: str, said: str) -> None:
    with scratch_dir() as directory:
        done = check(directory / name, directory)
        assert done.returncode == 1 and said in done.stderr and len(done.stderr.splitlines()) == 1


def test_the_check_before_installation_writes_where_the_data_will_lie() -> None:
    done = check(Path("/proc/passel-demo"), PROGRAMS)
    assert done.returncode == 1 and "/proc" in done.stderr and len(done.stderr.splitlines()) == 1
