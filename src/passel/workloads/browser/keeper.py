"""The keeper of a worker's browsers: a small process of its own that starts them, and that leaves nothing behind.

It is single-threaded, so that it may fork; it adopts whatever a browser's processes leave to nobody (PR_SET_CHILD_SUBREAPER);
and when the worker that it belongs to is gone, however it went, it ends every process that came from it and removes their
directories. Only the standard library is used: the keeper starts in a few milliseconds, and is a program of its own:

    python3 -I -S keeper.py FD HOME      FD is one end of a SOCK_SEQPACKET pair, the other is the worker's; HOME goes at the end. Other
                                         descriptors that are open are held until then, and are nobody else's

The worker asks (JSON, with file descriptors beside it), the keeper answers and tells:

    {"start": id, "argv", "env", "uid", "gid", "directory", "limits", "streams_only", "lowered"}  + stdin/stdout of the pipe, stderr
                                        -> {"started": id, "pid"}  or  {"refused": id, "error"}
    {"kill": id}                        its processes, all of them; the directory too
                                        -> {"ended": id, "status"}   also when it ends by itself

A directory beside which there is a file of its name and `.keep` is left to the worker: a file, since it is there at once, and a request may
come when the browser has ended.
"""

import contextlib
import ctypes
import errno
import json
import os
import resource
import select
import shutil
import signal
import socket
import struct
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36  # linux/prctl.h
_LARGEST = 64 * 1024
_LAST_WORDS = 2000
_GRACE_SECONDS = 2.0
_NICE = 5  # a third of the share of others
_SAY = 110
_libc = ctypes.CDLL(None, use_errno=True)


Asked = dict[str, Any]


class Stat(NamedTuple):
    """Of a process; `started` in ticks since the machine was started."""

    state: str
    parent: int
    session: int
    started: int

    @staticmethod
    def of(process: Path) -> "Stat":
        """By its directory in /proc. Raises `OSError` when it has gone."""
        fields = (process / "stat").read_text().rpartition(")")[2].split()
        return Stat(fields[0], int(fields[1]), int(fields[3]), int(fields[19]))


def account(process: Path) -> int:
    """Its real user: whose its directory in /proc is may be another one, where it does not let itself be looked at. Raises `OSError`."""
    lines = (process / "status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("Uid:")).split()[1])


class Keeper:
    def __init__(self, worker: socket.socket, home: str) -> None:
        self.worker, self.home = worker, home
        self.running: dict[int, tuple[str, str, int]] = {}  # pid -> (id, directory, uid)

    def serve(self) -> None:
        """Until the worker is gone."""
        signals, wake = os.pipe()
        os.set_blocking(wake, False)
        signal.set_wakeup_fd(wake)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(ignored, signal.SIG_IGN)  # it ends with its worker, and not before
        while True:
            ready, _, _ = select.select([self.worker, signals], [], [])
            if signals in ready:
                os.read(signals, 4096)
                self.reap()
            if self.worker in ready and not self.answer():
                break
        for pid in list(self.running):
            self.end(pid)
        shutil.rmtree(self.home, ignore_errors=True)

    def answer(self) -> bool:
        """One request. False when the worker is gone."""
        try:
            data, fds, _, _ = socket.recv_fds(self.worker, _LARGEST, 4)
        except ConnectionError:
            return False
        if not data:
            return False
        asked = json.loads(data)
        try:
            if "start" in asked:
                self.start(asked, fds)
            else:
                for pid, (id, _, _) in list(self.running.items()):
                    if id == asked["kill"]:
                        self.end(pid)
        finally:
            for fd in fds:
                os.close(fd)
        return True

    def start(self, asked: Asked, fds: list[int]) -> None:
        id = asked["start"]
        said, say = os.pipe2(os.O_CLOEXEC)
        keeper = os.getpid()
        pid = os.fork()
        if pid == 0:
            _run(asked, fds, say, keeper)
        os.close(say)
        with os.fdopen(said, "rb") as file:
            error = file.read().decode(errors="replace")
        if error:
            os.waitpid(pid, 0)
            Path(f"{asked['directory']}.session").unlink(missing_ok=True)
            self.tell({"refused": id, "error": error})
            return
        self.running[pid] = (id, asked["directory"], asked["uid"])
        self.tell({"started": id, "pid": pid})

    def reap(self) -> None:
        """Processes that have ended: browsers, and what they left to us."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid in self.running:
                self.clear(pid, os.waitstatus_to_exitcode(status))

    def end(self, pid: int) -> None:
        """A browser. One that has just ended by itself says how."""
        os.kill(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
        self.clear(pid, os.waitstatus_to_exitcode(status))

    def clear(self, pid: int, status: int) -> None:
        """What is left of a browser whose main process has ended."""
        id, directory, uid = self.running.pop(pid)
        deadline = time.monotonic() + _GRACE_SECONDS
        while (left := self.left_of(pid, directory, uid)) and time.monotonic() < deadline:
            for other in left:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(other, signal.SIGKILL)
            time.sleep(0.01)
        errors = _last_words(directory)
        Path(f"{directory}.session").unlink(missing_ok=True)
        if not Path(f"{directory}.keep").exists():
            shutil.rmtree(directory, ignore_errors=True)
        self.tell({"ended": id, "status": status, "errors": errors})

    def left_of(self, pid: int, directory: str, uid: int) -> list[int]:
        """Processes of a browser: of those below us the ones of its account where it has one of its own, and else those of its session or
        that name its directory."""
        own = uid not in (os.getuid(), *(used for _, _, used in self.running.values()))
        found: list[int] = []
        for number, stat in self.below().items():
            process = Path(f"/proc/{number}")
            with contextlib.suppress(OSError):
                mine = account(process) == uid if own else stat.session == pid or directory.encode() in (process / "cmdline").read_bytes()
                if mine and number != pid:
                    found.append(number)
        return found

    def below(self) -> dict[int, Stat]:
        """Live processes that came from us. What they leave to nobody is left to us."""
        found: dict[int, Stat] = {}
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                found[int(process.name)] = Stat.of(process)
        ours: dict[int, bool] = {os.getpid(): True}

        def comes_from_us(number: int) -> bool:
            if number not in ours:
                ours[number] = number in found and comes_from_us(found[number].parent)
            return ours[number]

        return {number: stat for number, stat in found.items() if stat.state != "Z" and number != os.getpid() and comes_from_us(number)}

    def tell(self, message: Asked) -> None:
        with contextlib.suppress(OSError):
            self.worker.sendall(json.dumps(message).encode())


def _last_words(directory: str) -> str:
    """The end of what a browser said on its error stream."""
    with contextlib.suppress(OSError):
        fd = os.open(f"{directory}/errors", os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)  # the directory is the browser's
        with os.fdopen(fd, "rb") as errors:
            errors.seek(max(0, errors.seek(0, os.SEEK_END) - _LAST_WORDS))
            return errors.read().decode("utf-8", "replace")
    return ""


def _write_down(asked: Asked) -> None:
    """Who is to be ended where the keeper and its worker are killed together (`passel.workloads.browser.homes`)."""
    told = {"pid": os.getpid(), "started": Stat.of(Path("/proc/self")).started, "uid": asked["uid"]}
    Path(f"{asked['directory']}.session").write_text(json.dumps(told))


def _run(asked: Asked, fds: list[int], say: int, keeper: int) -> NoReturn:
    """In the child. What keeps it from being a browser it says to its keeper."""
    try:
        os.dup2(say, _SAY, inheritable=False)
        _become(asked, fds, keeper)
    except BaseException as error:
        os.write(_SAY, str(error).encode()[:1000])
    finally:
        os._exit(127)


def _become(asked: Asked, fds: list[int], keeper: int) -> None:
    """In the child of `keeper`: nothing of the keeper's stays but what was asked for."""
    os.setsid()
    _stand_back()
    _write_down(asked)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD, signal.SIGPIPE):
        signal.signal(number, signal.SIG_DFL)
    signal.set_wakeup_fd(-1)
    for name, most in asked["limits"].items():
        _, hard = resource.getrlimit(getattr(resource, name))
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(getattr(resource, name), (most, most))
    commands, answers, errors = (os.dup2(fd, 100 + n, inheritable=False) for n, fd in enumerate(fds))
    null = os.open(os.devnull, os.O_RDWR)
    for target, source in ((0, null), (1, null), (2, errors), (3, commands), (4, answers)):
        os.dup2(source, target, inheritable=True)
    os.closerange(5, 100)
    _keep_to_streams(asked["streams_only"], asked["lowered"])
    if os.getuid() == 0:
        os.setgroups([])
        os.setgid(asked["gid"])
        os.setuid(asked["uid"])
    if _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL) != 0:
        raise OSError(ctypes.get_errno(), "prctl")
    if os.getppid() != keeper:
        os._exit(127)  # it died before that, and nobody would end us
    os.chdir(asked["directory"])
    os.execve(asked["argv"][0], asked["argv"], asked["env"])


def _stand_back() -> None:
    """Behind what serves all browsers (their worker, the API, the database), so that those who load much hold up none of the others. Sessions of
    processes are weighed against each other where the kernel groups them (`sched_autogroup_enabled`), else one by one."""
    os.nice(_NICE)
    with contextlib.suppress(OSError):  # no groups, or too many at once
        Path("/proc/self/autogroup").write_text(str(_NICE))


_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _SECCOMP_MODE_FILTER = 38, 22, 2  # linux/prctl.h, linux/seccomp.h
_ALLOW, _DENY = 0x7FFF0000, 0x00050000 | errno.EACCES  # SECCOMP_RET_ALLOW, SECCOMP_RET_ERRNO
_MACHINES = {"x86_64": (0xC000003E, 41), "aarch64": (0xC00000B7, 198)}
"""By what `uname` says: AUDIT_ARCH of linux/audit.h, and the number of socket(2)."""
_IO_URING_SETUP, _X32 = 425, 0x40000000
_LOAD, _AND, _EQUAL, _AT_LEAST, _RETURN = 0x20, 0x54, 0x15, 0x35, 0x06  # of classic BPF


def _keep_to_streams(required: bool, lowered: bool) -> None:
    """From now on this process and its children open sockets of Unix, netlink and TCP alone: no UDP, whatever a browser is talked into.
    Without CAP_SYS_ADMIN that costs what setuid programs bring, Chromium's old sandbox among it: then it is done only where nobody needs
    that (`lowered`), or where it is `required`. Raises `OSError` where it cannot be, and is required."""
    machine = _MACHINES.get(os.uname().machine)
    if machine is None:
        if required:
            raise OSError(errno.ENOSYS, f"sockets of {os.uname().machine} cannot be filtered")
        return
    program = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *one) for one in _streams_only(*machine)))
    described = ctypes.create_string_buffer(struct.pack("@HP", len(program) // 8, ctypes.addressof(program)))
    if _libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, described, 0, 0) == 0 or not (required or lowered):
        return
    _libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    if _libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, described, 0, 0) != 0 and required:
        raise OSError(ctypes.get_errno(), "sockets cannot be filtered here (seccomp)")


def _streams_only(architecture: int, socket_call: int) -> list[tuple[int, int, int, int]]:
    """Instructions of classic BPF: code, how many are skipped where it is true and where not, operand. Calls of another architecture and
    rings, which open sockets without this call, are refused."""
    return [
        (_LOAD, 0, 0, 4),  # the architecture
        (_EQUAL, 0, 13, architecture),
        (_LOAD, 0, 0, 0),  # the call
        (_AT_LEAST, 11, 0, _X32),
        (_EQUAL, 10, 0, _IO_URING_SETUP),
        (_EQUAL, 0, 8, socket_call),
        (_LOAD, 0, 0, 16),  # its domain
        (_EQUAL, 6, 0, socket.AF_UNIX),
        (_EQUAL, 5, 0, socket.AF_NETLINK),
        (_EQUAL, 1, 0, socket.AF_INET),
        (_EQUAL, 0, 4, socket.AF_INET6),
        (_LOAD, 0, 0, 24),  # its type
        (_AND, 0, 0, 0xF),
        (_EQUAL, 0, 1, socket.SOCK_STREAM),
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, _DENY),
    ]


def main() -> None:
    if _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno() or errno.EPERM))
    for fd in map(int, os.listdir("/proc/self/fd")):  # noqa: PTH208 - what only we hold
        with contextlib.suppress(OSError):
            os.set_inheritable(fd, fd <= 2)
    Keeper(socket.socket(fileno=int(sys.argv[1])), sys.argv[2]).serve()


if __name__ == "__main__":
    main()
