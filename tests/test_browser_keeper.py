"""The keeper and its worker, without Chromium: a program that sleeps is kept as a browser is."""

import asyncio
import os
import random
import signal
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from passel.core.browser.configuration import Configuration
from passel.workloads.browser.chromium import MOST_TASKS, CannotStart, Chromium, Keeper, keeping
from passel.workloads.browser.homes import Home
from passel.workloads.browser.pipe import Pipe
from passel.workloads.browser.pool import Browsers
from passel.workloads.browser.proxy import Rules
from tests.support.installation import scratch_dir


async def kept_by(home: Home) -> psutil.Process:
    """The keeper, once it is more than a fork of us."""
    while True:
        for one in psutil.Process().children():
            if str(home.path) in one.cmdline():
                return one
        await asyncio.sleep(0.01)


@asynccontextmanager
async def kept(script: str = "exec sleep 600") -> AsyncGenerator[tuple[Keeper, Home, psutil.Process]]:
    with scratch_dir() as place:
        place.chmod(0o711)
        program = place / "program"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        async with keeping(str(program), place) as (keeper, home):
            process = await kept_by(home)
            yield keeper, home, process


async def nothing(directory: Path) -> dict[str, Any]:
    return {}


def start(keeper: Keeper, id: str, *flags: str) -> "asyncio.Task[Chromium]":
    return asyncio.create_task(keeper.start(id, flags, nothing, {}, lambda: None))


def held() -> Counter[str]:
    """Pipes, sockets and files that this process has open."""
    found = Counter[str]()
    for fd in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            found[str(fd.readlink()).partition(":")[0]] += 1
    return found


async def names(home: Home) -> list[str]:
    return [path.name for path in await asyncio.to_thread(lambda: list(home.path.iterdir()))]


async def alone(keeper: psutil.Process, home: Home) -> None:
    """Until nothing is left of browsers."""
    async with asyncio.timeout(60):
        while keeper.children() or await names(home) != ["owner"]:
            await asyncio.sleep(0.02)


def test_a_keeper_that_is_busy_is_told_later() -> None:
    """More than its socket has room for: starts, and ends of what had not begun. None is lost and none fails."""

    async def scenario() -> None:
        async with kept() as (keeper, home, process):
            first = await start(keeper, "first")
            process.send_signal(signal.SIGSTOP)
            starting = [start(keeper, f"{number}", "--" + "x" * 30_000) for number in range(16)]
            while len(await names(home)) < 19:
                await asyncio.sleep(0.02)
            await asyncio.sleep(0.1)
            ending = asyncio.create_task(first.end())
            for task in starting[:4]:
                task.cancel()
            process.send_signal(signal.SIGCONT)
            begun = await asyncio.gather(*starting, return_exceptions=True)
            assert [isinstance(one, Chromium) for one in begun] == [False] * 4 + [True] * 12, begun
            await asyncio.gather(ending, *(one.end() for one in begun if isinstance(one, Chromium)))
            await alone(process, home)

    asyncio.run(scenario())


def test_what_is_to_be_kept_is_kept_when_it_ends_at_once() -> None:
    """Also when its keeper has not heard anything for a while. A state is packed from it."""

    async def scenario() -> None:
        async with kept() as (keeper, home, process):
            browser = await start(keeper, "one")
            process.send_signal(signal.SIGSTOP)
            browser.keep()
            os.kill(browser.pid, signal.SIGKILL)
            process.send_signal(signal.SIGCONT)
            await browser.ended
            await browser.end()
            assert await asyncio.to_thread(browser.directory.is_dir)
            await browser.remove()
            await alone(process, home)

    asyncio.run(scenario())


def test_who_is_cancelled_while_it_starts_leaves_nothing() -> None:
    async def scenario() -> None:
        chance = random.Random(1)
        async with kept() as (keeper, home, process):
            browsers = Browsers(keeper, Rules(), asyncio.Semaphore(4))
            before = held()

            async def cancelled(number: int) -> None:
                getting = asyncio.create_task(browsers.get(f"{number}", Configuration(), None, nothing))
                await asyncio.sleep(chance.random() * 0.1)
                getting.cancel()
                with suppress(asyncio.CancelledError):
                    await getting

            for some in range(4):
                await asyncio.gather(*(cancelled(8 * some + number) for number in range(8)))
            await alone(process, home)
            assert held() == before

    asyncio.run(scenario())


def test_who_is_cancelled_again_while_it_is_undone_leaves_nothing() -> None:
    """A worker says more than once what is not to go on."""

    async def scenario() -> None:
        async with kept() as (keeper, home, process):
            before = held()
            getting = asyncio.create_task(Browsers(keeper, Rules(), asyncio.Semaphore(1)).get("one", Configuration(), None, nothing))
            while not any(name.endswith(".session") for name in await names(home)):
                await asyncio.sleep(0.02)
            await asyncio.sleep(0.1)
            process.send_signal(signal.SIGSTOP)
            for _ in range(3):
                getting.cancel()
                await asyncio.sleep(0.02)
            process.send_signal(signal.SIGCONT)
            with pytest.raises(asyncio.CancelledError):
                await getting
            await alone(process, home)
            assert held() == before

    asyncio.run(scenario())


@pytest.mark.parametrize("turns", range(1, 8))
def test_a_pipe_that_is_cancelled_while_it_opens_is_closed(turns: int) -> None:
    """After so many turns of the loop."""

    async def scenario() -> None:
        before = held()
        (reads, theirs), (ours, writes) = os.pipe(), os.pipe()
        pipe = Pipe(lambda message: None, lambda: None)
        opening = asyncio.create_task(pipe.open(reads, writes))
        for _ in range(turns):
            await asyncio.sleep(0)
        opening.cancel()
        with suppress(asyncio.CancelledError):
            await opening
        pipe.close()
        await asyncio.sleep(0.01)
        os.close(theirs)
        os.close(ours)
        assert held() == before

    asyncio.run(scenario())


def test_what_cannot_be_run_says_so(tmp_path: Path) -> None:
    """And leaves nothing, neither files nor a process that goes on as its keeper."""
    program = tmp_path / "program"
    program.write_text("#!/nowhere/at/all")
    program.chmod(0o755)

    async def scenario() -> None:
        async with keeping(str(program), None) as (keeper, home):
            process = await kept_by(home)
            for _ in range(2):
                with pytest.raises(CannotStart, match=r"No such file|Permission denied"):
                    await start(keeper, "one")
            await alone(process, home)

    asyncio.run(scenario())


def test_what_ends_at_once_says_how() -> None:
    async def scenario() -> None:
        async with kept("echo libnone.so: cannot open shared object file >&2; exit 127") as (keeper, home, process):
            browsers = Browsers(keeper, Rules(), asyncio.Semaphore(1))
            with pytest.raises(CannotStart, match=r"exit code 127: libnone.so: cannot open"):
                await browsers.get("one", Configuration(), None, nothing)
            await alone(process, home)

    asyncio.run(scenario())


@pytest.mark.skipif(os.getuid() != 0, reason="processes are counted by account: those of a user are not of its browsers alone")
def test_processes_of_a_browser_are_bounded() -> None:
    async def scenario() -> None:
        async with kept("cat /proc/self/limits > $HOME/limits; sleep 600") as (keeper, _, _process):
            browser = await start(keeper, "one")
            path = browser.directory / "limits"
            while not (told := await asyncio.to_thread(lambda: path.read_text() if path.exists() else "")):
                await asyncio.sleep(0.02)
            [line] = [line for line in told.splitlines() if line.startswith("Max processes")]
            assert line.split()[2:4] == [str(MOST_TASKS)] * 2
            await browser.end()

    asyncio.run(scenario())


@pytest.mark.parametrize("again", [False, True])
def test_a_kept_process_has_nothing_of_its_keepers(again: bool) -> None:
    """Of the first one, and of one that took the place of another, of a worker with many files open. 0 to 2 are its own, 3 and 4 the pipe."""

    async def scenario() -> None:
        async with kept("ls /proc/self/fd > $HOME/open; sleep 600") as (keeper, _, process):
            files = [await asyncio.to_thread(os.open, os.devnull, os.O_RDONLY) for _ in range(200)]
            if again:
                process.kill()
                process.wait()
            browser = await start(keeper, "one")
            path = browser.directory / "open"
            while len(told := await asyncio.to_thread(lambda: path.read_text().split() if path.exists() else [])) < 5:
                await asyncio.sleep(0.02)
            assert told[:5] == ["0", "1", "2", "3", "4"] and len(told) <= 6, "and the directory that it reads"
            await browser.end()
            for fd in files:
                os.close(fd)

    asyncio.run(scenario())
