"""Answers of many clients, committed together.

What comes while a transaction is under way shares the next one. So thousands of answers take the locks of their batch and
their lane, which all of them need, a few times; one that comes alone waits for nothing. There is one transaction at a time,
but one that is slow, since it waits for somebody's lock, holds up no others.
"""

import asyncio
from collections import deque
from dataclasses import dataclass

import orjson

from passel.services import sessions
from passel.services.agents import answers
from passel.services.agents.answers import Submission, ToolAnswer
from passel.services.deps import Caller, Deps
from passel.services.sessions import Sent
from passel.store.database import is_passing

_LARGEST_GROUP = 100
_LARGEST_BYTES = 4_000_000
_MOST_AT_ONCE = 4
_SLOW_SECONDS = 0.25


@dataclass(frozen=True, eq=False, slots=True)
class _Waiting:
    """A submission whose sender waits for `sent`."""

    submission: Submission
    size: int
    sent: asyncio.Future[Sent]

    def names(self) -> set[tuple[str, ...]]:
        """What no other one of its group may have in common with it: the second is told what became of the first."""
        one = self.submission
        call = {(one.session_id, one.answer.message_id, one.answer.call_id)}
        return call if one.once is None else {*call, (one.once.scope, one.once.key)}

    def tell(self, outcome: Sent | Exception) -> None:
        if self.sent.done():
            return  # the client has left
        if isinstance(outcome, Exception):
            self.sent.set_exception(outcome)
        else:
            self.sent.set_result(outcome)


class Answering:
    """Takes the answers of a process."""

    def __init__(self, deps: Deps) -> None:
        self._deps = deps
        self._waiting: deque[_Waiting] = deque()
        self._committing: set[asyncio.Task[None]] = set()

    async def submit(self, caller: Caller, session_id: str, answer: ToolAnswer, key: str | None) -> Sent:
        """Answer a call, once it is durable. Raises what `answers.submit` says."""
        once = sessions.once(self._deps, session_id, key, answer.message_id, answer.call_id, answer.result, answer.is_error)
        sent: asyncio.Future[Sent] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(Submission(caller, session_id, answer, once), len(orjson.dumps(answer.result)), sent))
        if all(task.done() for task in self._committing):  # one that has just ended is there until the loop comes to its callback
            self._begin()
        return await sent

    def _begin(self) -> None:
        if len(self._committing) < _MOST_AT_ONCE:
            task = asyncio.create_task(self._commit_all())
            self._committing.add(task)
            task.add_done_callback(self._committing.discard)

    async def _commit_all(self) -> None:
        await asyncio.sleep(0)  # what was read from the network at the same moment comes along
        while self._waiting:
            slow = asyncio.get_running_loop().call_later(_SLOW_SECONDS, self._begin)
            try:
                await self._commit(self._next_group())
            finally:
                slow.cancel()

    def _next_group(self) -> list[_Waiting]:
        group: list[_Waiting] = []
        later: list[_Waiting] = []
        names: set[tuple[str, ...]] = set()
        size = 0
        while self._waiting and len(group) < _LARGEST_GROUP and size < _LARGEST_BYTES:
            one = self._waiting.popleft()
            if names.isdisjoint(one.names()):
                group.append(one)
                names |= one.names()
                size += one.size
            else:
                later.append(one)
        self._waiting.extendleft(reversed(later))
        return group

    async def _commit(self, group: list[_Waiting], *, again: bool = True) -> None:
        try:
            outcomes = await answers.submit(self._deps, [one.submission for one in group])
        except Exception as error:
            if is_passing(error) and again:
                await self._commit(group, again=False)  # a deadlock, or a connection that broke; what was kept is found
            elif is_passing(error) or len(group) == 1:
                for one in group:
                    one.tell(error)
            else:
                for one in group:  # what the database does not take fails alone
                    await self._commit([one], again=again)
            return
        for one, outcome in zip(group, outcomes, strict=True):
            if outcome is None:
                self._waiting.append(one)
            else:
                one.tell(outcome)
