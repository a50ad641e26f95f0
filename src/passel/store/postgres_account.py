"""As which account the database's programs run: PostgreSQL refuses root, who is the first user on many a machine.

An ordinary user's database runs as that user. For root there are three ways, tried in this order:

    namespace   a user namespace in which root bears an ordinary user's number. Files stay root's, and all that root
                owns can be reached, also below a home of mode 700. Many containers forbid it.
    user        the user `nobody`, where it may enter the data directory and run the programs.
    passage     the same user, which keeps one right of root's on the way (CAP_DAC_OVERRIDE): to enter closed folders.

A way is chosen by trying it, for whether it is allowed depends on the kernel, seccomp, capabilities and the modes of
every parent folder. A database that exists keeps its owner's way. `PASSEL_PG_ACCOUNT` settles it: `namespace`, or the
name of a user.

Only the standard library is used, since this file is also a program, which runs before anything is installed:

    python3 -I postgres_account.py check DATA_DIR PROGRAMS     exit 0, or one sentence that says what to do
    python3 -I postgres_account.py as WAY UID GID PROGRAM...   become that account, then the program

Becoming another account in a process of its own, and not between fork and exec, is safe beside threads.
"""

import contextlib
import ctypes
import os
import pwd
import shlex
import shutil
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

AUTO = "auto"
_NAMESPACE = "namespace"
_UNPRIVILEGED = "nobody"
_CLONE_NEWUSER = 0x10000000  # sched.h
_PR_SET_SECUREBITS, _PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE = 28, 47, 2  # linux/prctl.h
_NO_SETUID_FIXUP = 1 << 2  # linux/securebits.h
_CAP_DAC_OVERRIDE = 1  # linux/capability.h
_CAPABILITY_VERSION_3 = 0x20080522
_UNUSABLE = frozenset(',"$`\\\n')  # a comma separates hosts for libpq, the others mean something to the shell of pg_ctl
_SOCKET = "/.s.PGSQL.5432"
_SOCKET_PATH_BYTES = 107 if sys.platform == "linux" else 103  # `sun_path` of unix(7), without its last zero

# what the server will do, done: enter and write its directory, then run from where the programs lie
_TRIAL = 'cd "$1" && mkdir .trial.$$ && rmdir .trial.$$ && cd "$2" && { [ ! -e postgres ] || ./postgres --version; }'


class AccountError(Exception):
    """The database cannot run there; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Account:
    """`way` is `self`, `namespace`, `user` or `passage`; `uid` and `gid` own the database's files."""

    way: str
    uid: int
    gid: int
    name: str

    def __str__(self) -> str:
        return {
            "self": f"the user `{self.name}`",
            "namespace": f"`{self.name}` in a user namespace",
            "user": f"the user `{self.name}`",
            "passage": f"the user `{self.name}`, who may enter closed folders",
        }[self.way]

    @property
    def wish(self) -> str:
        """What `PASSEL_PG_ACCOUNT` must be for a database to run as this account."""
        return _NAMESPACE if self.uid == 0 else str(self.uid)

    def command(self, program: str, *args: str) -> list[str]:
        """The command line that runs a program as this account."""
        if self.way == "self":
            return [program, *args]
        become = [sys.executable, "-I", "-S", str(Path(__file__).resolve()), "as", self.way, str(self.uid), str(self.gid)]
        return [*become, program, *args]


def choose(directory: Path, programs: Path, wish: str | None = None) -> Account:
    """The first account that can run the programs on the directory, which is given to it while it holds no database.
    `wish` is what `PASSEL_PG_ACCOUNT` may be, which is asked without one. Raises `AccountError` when there is none."""
    reasons: list[str] = []
    for account in _candidates(directory, wish or os.environ.get("PASSEL_PG_ACCOUNT") or AUTO):
        reason = _refusal(account, directory, programs)
        if reason is None:
            return account
        reasons.append(f"as {account}: {reason}")
    raise AccountError(f"the database cannot run below {directory.parent} ({'; '.join(reasons)}): {_advice(directory)}")


def check(data_dir: Path, programs: Path) -> None:
    """Raises `AccountError` when no database could be made and run in `data_dir`, with its programs in `programs`.
    Neither need exist yet, and nothing of the trial stays."""
    _require_wheel()
    require_usable_path(data_dir.resolve() / "postgres")
    for path in (data_dir, programs):
        place = nearest_existing(path)
        if place != path.absolute() and not os.access(place, os.W_OK | os.X_OK):
            raise AccountError(f"you may not write in {place}: clone the project into a folder of yours")
    try:
        scratch = Path(tempfile.mkdtemp(prefix=".passel-", dir=nearest_existing(data_dir)))
    except OSError as error:
        raise AccountError(f"nothing can be written in {nearest_existing(data_dir)} ({error.strerror}): choose another folder") from error
    try:
        choose(scratch, nearest_existing(programs), _owner(data_dir / "postgres"))
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def require_usable_path(directory: Path) -> None:
    """The database's socket lies in its directory, and a socket's path has limits. Raises `AccountError` past them, and
    for signs that PostgreSQL's programs take for something else."""
    if len(os.fsencode(f"{directory}{_SOCKET}")) > _SOCKET_PATH_BYTES:
        raise AccountError(f"the path {directory} is too long for a Unix socket: choose a shorter --data-dir, or a shorter path to here")
    if strange := sorted(_UNUSABLE.intersection(str(directory))):
        raise AccountError(
            f"PostgreSQL's programs cannot use the path {str(directory)!r} because of the {strange[0]!r} in it: choose another"
        )


def nearest_existing(path: Path) -> Path:
    """The path, or the nearest of its parents that is there and can be seen."""
    for place in (path.absolute(), *path.absolute().parents):
        with contextlib.suppress(PermissionError):
            if place.exists():
                return place
    return Path("/")


def _owner(database: Path) -> str | None:
    """What `PASSEL_PG_ACCOUNT` must be for the database in this directory; None when there is none."""
    if not (database / "PG_VERSION").exists():
        return None
    return _NAMESPACE if (uid := database.stat().st_uid) == 0 else str(uid)


def _candidates(directory: Path, wish: str) -> Iterator[Account]:
    if os.geteuid() != 0:
        yield Account("self", os.geteuid(), os.getegid(), _name(os.geteuid()))
        return
    owner = _owner(directory)
    if wish == AUTO:
        wish = owner or AUTO
    elif owner and owner != _wish_by_number(wish):
        raise AccountError(
            f"{directory} belongs to {_name(directory.stat().st_uid)}, PASSEL_PG_ACCOUNT says {wish}: unset it, or give the files to that user"
        )
    if wish in (AUTO, _NAMESPACE):
        yield Account("namespace", 0, 0, "root")
    if wish != _NAMESPACE:
        user = _user(_UNPRIVILEGED if wish == AUTO else wish)
        yield Account("user", *user)
        yield Account("passage", *user)


def _wish_by_number(wish: str) -> str:
    return wish if wish == _NAMESPACE else str(_user(wish)[0])


def _user(name: str) -> tuple[int, int, str]:
    """Number, group and name of a user, who may be given by number and have no name."""
    try:
        entry = pwd.getpwuid(int(name)) if name.isdecimal() else pwd.getpwnam(name)
    except KeyError as error:
        if name.isdecimal():
            return int(name), int(name), name
        raise AccountError(f"there is no user `{name}`: PASSEL_PG_ACCOUNT may be auto, namespace or the name of a user") from error
    if entry.pw_uid == 0:
        raise AccountError("PostgreSQL refuses to run as root: PASSEL_PG_ACCOUNT may be auto, namespace or the name of another user")
    return entry.pw_uid, entry.pw_gid, entry.pw_name


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _refusal(account: Account, directory: Path, programs: Path) -> str | None:
    """Why the account cannot work there, in the system's words; None when it has done so."""
    try:
        if not (directory / "PG_VERSION").exists() and directory.stat().st_uid != account.uid:
            os.chown(directory, account.uid, account.gid)
    except OSError as error:
        return str(error)
    trial = account.command("/bin/sh", "-c", _TRIAL, "sh", str(directory), str(programs))
    done = subprocess.run(trial, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", cwd="/")
    if done.returncode == 0:
        return None
    return (done.stderr.strip() or f"exit code {done.returncode}").splitlines()[-1]


def _advice(directory: Path) -> str:
    if os.geteuid() != 0:
        return "choose a --data-dir of yours, and an installation whose programs you may run"
    if _owner(directory) == _NAMESPACE:
        return f"root's database needs user namespaces: allow them, or give it away with `chown -R {_UNPRIVILEGED} {shlex.quote(str(directory))}`"
    return (
        "use a data directory and an installation whose parents others may enter (such as /var/lib/passel and /opt), "
        "allow user namespaces, or run as an ordinary user"
    )


def _require_wheel() -> None:
    """PostgreSQL's wheel is made for glibc and macOS."""
    if sys.platform == "linux":
        try:
            if os.confstr("CS_GNU_LIBC_VERSION"):
                return
        except (OSError, ValueError):
            pass
        raise AccountError("this system has no glibc, for which the database is packaged: use a Debian, Ubuntu or Fedora image")


def _become(way: str, uid: int, gid: int) -> None:
    {"namespace": _enter_namespace, "user": _drop_to, "passage": _drop_with_passage}[way](uid, gid)


def _enter_namespace(_uid: int, _gid: int) -> None:
    """From here on this process has root's files, and the number of somebody whom PostgreSQL accepts.

    initdb asks for that number's name, so it must be one of the system's users; any will do, it gets no rights.
    """
    number = min(entry.pw_uid for entry in pwd.getpwall() if entry.pw_uid)
    _system("unshare", _CLONE_NEWUSER)
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{number} 0 1")
    Path("/proc/self/gid_map").write_text(f"{number} 0 1")


def _drop_to(uid: int, gid: int) -> None:
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)


def _drop_with_passage(uid: int, gid: int) -> None:
    """Like `_drop_to`, but one capability outlives the change of user (securebits) and the exec (ambient).

    access(2) looks at it too only with these securebits, and initdb asks access(2) whether it finds its neighbours.
    """
    _system("prctl", _PR_SET_SECUREBITS, _NO_SETUID_FIXUP, 0, 0, 0)
    _drop_to(uid, gid)
    only = 1 << _CAP_DAC_OVERRIDE
    _system("capset", struct.pack("=Ii", _CAPABILITY_VERSION_3, 0), struct.pack("=6I", only, only, only, 0, 0, 0))
    _system("prctl", _PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, _CAP_DAC_OVERRIDE, 0, 0)


def _system(name: str, *args: int | bytes) -> None:
    function = getattr(ctypes.CDLL(None, use_errno=True), name, None)
    if function is None:
        raise OSError(f"this system has no {name}")
    if function(*args) != 0:
        raise OSError(ctypes.get_errno(), f"{name}: {os.strerror(ctypes.get_errno())}")


def main(args: list[str]) -> None:
    """`args` without the program's name. Exits with a sentence on stderr when it cannot be done."""
    try:
        if args[0] == "check":
            check(Path(args[1]), Path(args[2]))
            return
        way, uid, gid, *command = args[1:]
        _become(way, int(uid), int(gid))
        os.execv(command[0], command)
    except AccountError as error:
        sys.exit(f"This cannot work here: {error}")
    except OSError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main(sys.argv[1:])
