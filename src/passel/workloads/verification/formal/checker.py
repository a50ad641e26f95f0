"""`check` in processes that can be killed: no claim costs more than its own answer.

Two lanes. Quick workers take up to 200 claims a message and answer one by one; what needs sympy or z3 they hand back, and
it goes to a thorough worker, alone. A worker that says nothing for the time limit is killed and replaced, and the claim
that it was at abstains; those behind it are sent again. So are they when a worker dies."""

import asyncio
import contextlib
import os
import sys
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Self

from passel.core.verification.findings import Finding, abstain
from passel.workloads.verification.formal import wire
from passel.workloads.verification.formal.limits import PREMISES, SECONDS, TEXT

_BATCH = 200
_CHARACTERS = 500_000  # of a message
_STARTING = 60.0
_READ = 1 << 16


@dataclass(slots=True, eq=False)
class _Claim:
    """With `translations` these are decided, and not the text."""

    text: str
    premises: list[str]
    answer: asyncio.Future[Finding]
    translations: list[Any] | None = None

    def say(self, finding: Finding) -> None:
        if not self.answer.done():
            self.answer.set_result(finding)


class Checker:
    """An async context manager. `processes` quick workers, and up to one more thorough ones as soon as they are needed."""

    def __init__(self, processes: int = 1, *, seconds: float = SECONDS) -> None:
        self._seconds = seconds
        self._thorough = _Lane("thorough", processes + 1, 1, seconds, None)
        self._quick = _Lane("quick", processes, _BATCH, seconds, self._thorough)

    async def __aenter__(self) -> Self:
        try:
            await self._quick.start_all()
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._quick.stop()
        await self._thorough.stop()

    @property
    def pids(self) -> list[int]:
        return [*self._quick.pids, *self._thorough.pids]

    async def check(self, claim: str, premises: Sequence[str] = ()) -> Finding:
        return await self._put(claim, premises)

    async def check_translations(self, translations: list[Any]) -> Finding:
        """What follows from translations of a claim (`expressions.translated`)."""
        answer: asyncio.Future[Finding] = asyncio.get_running_loop().create_future()
        self._thorough.put(_Claim("", [], answer, translations))
        return await answer

    async def check_many(self, claims: Iterable[tuple[str, Sequence[str]]]) -> list[Finding]:
        """In the order of the claims."""
        answers = [self._put(claim, premises) for claim, premises in claims]
        try:
            return [await answer for answer in answers]
        finally:
            for answer in answers:
                answer.cancel()

    def _put(self, claim: str, premises: Sequence[str]) -> asyncio.Future[Finding]:
        answer: asyncio.Future[Finding] = asyncio.get_running_loop().create_future()
        why = _unsendable(claim, premises)
        if why:
            answer.set_result(abstain(why))
        else:
            self._quick.put(_Claim(claim, list(premises), answer))
        return answer


def _unsendable(claim: str, premises: Sequence[str]) -> str:
    if len(premises) > PREMISES:
        return f"Beyond the limits: more than {PREMISES} premises."
    for text in (claim, *premises):
        if len(text) > TEXT or not _encodable(text):
            return f"Beyond the limits: a text of more than {TEXT:,} characters."
    return ""


def _encodable(text: str) -> bool:
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


class _Lane:
    def __init__(self, kind: str, most: int, batch: int, seconds: float, behind: "_Lane | None") -> None:
        self.kind, self._most, self._batch, self._seconds, self._behind = kind, most, batch, seconds, behind
        self._waiting: deque[_Claim] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._processes: set[asyncio.subprocess.Process] = set()
        self._wake: deque[asyncio.Future[None]] = deque()
        self._stopped = False

    @property
    def pids(self) -> list[int]:
        return [process.pid for process in self._processes]

    async def start_all(self) -> None:
        ready = [asyncio.get_running_loop().create_future() for _ in range(self._most)]
        for one in ready:
            self._start(one)
        for one in ready:
            await one

    def put(self, claim: _Claim, *, first: bool = False) -> None:
        if self._stopped:
            claim.answer.cancel()
            return
        if first:
            self._waiting.appendleft(claim)
        else:
            self._waiting.append(claim)
        while self._wake:
            one = self._wake.popleft()
            if not one.done():
                one.set_result(None)
                return
        if len(self._tasks) < self._most:
            self._start(None)

    async def stop(self) -> None:
        self._stopped = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for claim in self._waiting:
            claim.answer.cancel()
        self._waiting.clear()

    def _start(self, ready: "asyncio.Future[None] | None") -> None:
        task = asyncio.create_task(self._work(ready))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _work(self, ready: "asyncio.Future[None] | None") -> None:
        """One worker, and those that replace it."""
        while True:
            try:
                async with _Worker(self.kind) as worker:
                    self._processes.add(worker.process)
                    if ready and not ready.done():
                        ready.set_result(None)
                    try:
                        while await self._round(worker):
                            pass
                    finally:
                        self._processes.discard(worker.process)
            except _NotStarted as error:
                if ready and not ready.done():
                    ready.set_exception(error)
                    return
                for claim in self._taken():
                    claim.say(abstain(str(error)))
                if not self._waiting:
                    await self._called()

    async def _round(self, worker: "_Worker") -> bool:
        """One message. False: the worker has to be replaced."""
        while not (claims := self._taken()):
            await self._called()
        left = deque(claims)
        why = ""
        try:
            await worker.send([(claim.text, claim.premises, claim.translations) for claim in claims], self._seconds)
            while left:
                for answer in await worker.answers(self._seconds):
                    self._answered(left.popleft(), answer)
        except TimeoutError:
            why = "Took too long."
        except OSError:
            why = "The process that was to decide it died."
        except BaseException:
            for claim in left:
                claim.answer.cancel()
            raise
        if not why:
            return True
        left.popleft().say(abstain(why))
        for claim in reversed(left):
            self.put(claim, first=True)
        return False

    def _answered(self, claim: _Claim, answer: list[Any] | None) -> None:
        if answer is not None:
            claim.say(wire.unpacked(answer))
        elif self._behind is not None:
            self._behind.put(claim)
        else:
            claim.say(abstain("Not decided."))

    def _taken(self) -> list[_Claim]:
        taken: list[_Claim] = []
        size = 0
        while self._waiting and len(taken) < self._batch and size < _CHARACTERS:
            claim = self._waiting.popleft()
            if not claim.answer.done():
                taken.append(claim)
                size += len(claim.text) + sum(map(len, claim.premises))
        return taken

    async def _called(self) -> None:
        one: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._wake.append(one)
        await one


class _NotStarted(Exception):
    pass


class _Worker:
    process: asyncio.subprocess.Process

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._buffer = bytearray()

    async def __aenter__(self) -> Self:
        pipe, nothing = asyncio.subprocess.PIPE, asyncio.subprocess.DEVNULL
        words = (sys.executable, "-m", f"{__package__}.worker", self._kind, str(os.getpid()))
        try:
            self.process = await asyncio.create_subprocess_exec(*words, stdin=pipe, stdout=pipe, stderr=nothing)
        except OSError as error:
            raise _NotStarted(f"No process to decide claims could be started: {error}.") from None
        try:
            await self.answers(_STARTING)
        except (OSError, TimeoutError):
            await self.__aexit__()
            raise _NotStarted("The process that decides claims did not start.") from None
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *exc: object) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        assert self.process.stdin
        self.process.stdin.close()
        dead = asyncio.ensure_future(self.process.wait())
        try:
            await asyncio.shield(dead)
        except asyncio.CancelledError:
            await dead  # killed it is: soon, and no zombie is left
            raise

    async def send(self, claims: list[tuple[str, list[str], list[Any] | None]], seconds: float) -> None:
        assert self.process.stdin
        self.process.stdin.write(wire.framed(claims))
        async with asyncio.timeout(seconds):
            await self.process.stdin.drain()

    async def answers(self, seconds: float) -> list[Any]:
        """At least one."""
        assert self.process.stdout
        async with asyncio.timeout(seconds):
            while not (found := wire.split(self._buffer)):
                chunk = await self.process.stdout.read(_READ)
                if not chunk:
                    raise ConnectionError("the worker died")
                self._buffer += chunk
        return found
