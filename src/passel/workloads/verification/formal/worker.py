"""The process that decides claims for a `Checker`: reads frames from stdin, answers each claim in a frame of its own, null
for one that needs sympy or z3 and has to go to a thorough worker.

    python -m passel.workloads.verification.formal.worker quick|thorough PARENT"""

import ctypes
import os
import resource
import signal
import sys
from pathlib import Path
from typing import Any

from passel.core.verification.findings import abstain
from passel.workloads.verification.formal import wire
from passel.workloads.verification.formal.checking import check
from passel.workloads.verification.formal.expressions import translated
from passel.workloads.verification.formal.limits import MEMORY, Handover, only_quick

_PR_SET_PDEATHSIG = 1
_MARGIN = 16 << 20


def main(kind: str, parent: int) -> None:
    _die_with(parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the checker, which ends us
    out = os.dup(1)
    os.dup2(2, 1)  # whatever a library prints is no frame
    if kind == "quick":
        only_quick()
    else:
        check("(sin(x) + 1)^2 = sin(x)^2 + 2 sin(x) + 1")
        check("for all real x, x^2 >= 0")
        check("B", ["A -> B", "A"])
    check("2 + 2 = 4")
    _limit_memory()
    _send(out, None)
    while (claims := wire.read(sys.stdin.buffer)) is not None:
        for claim, premises, translations in claims:
            _send(out, _answer(claim, premises, translations))


def _answer(claim: str, premises: list[str], translations: list[Any] | None) -> list[Any] | None:
    try:
        return wire.packed(check(claim, premises) if translations is None else translated(translations))
    except Handover:
        return None
    except Exception as error:
        return wire.packed(abstain(f"Failed to decide it: {type(error).__name__}."))


def _send(out: int, body: Any) -> None:
    raw = memoryview(wire.framed(body))
    while raw:
        raw = raw[os.write(out, raw) :]


def _die_with(parent: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before
        sys.exit(1)


def _limit_memory() -> None:
    """So much more than what the libraries took. Only Linux says how much that is."""
    if sys.platform == "linux":
        statm = Path("/proc/self/statm").read_text()
        taken = int(statm.split()[0]) * resource.getpagesize()
        limit = taken + MEMORY - _MARGIN
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
