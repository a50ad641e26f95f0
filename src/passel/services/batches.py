"""Batches: created whole or not at all, watched, cancelled, read out.

A creation has two passes. The first reads every item, checks its form, and learns which versions, files and lanes
are needed; the second writes all rows by COPY in one transaction. A stream of items is kept in a temporary file in
between, so its length costs no memory and no network is waited for inside the transaction. A crash anywhere before
the commit leaves nothing, and the same request with the same key makes the batch then.
"""

import asyncio
import errno
import hashlib
import tempfile
from collections.abc import AsyncIterable, AsyncIterator, Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from typing import IO, Any

import orjson

from passel.core.errors import NotFound, TooLarge, Unavailable, Unprocessable
from passel.core.ids import AgentId, LaneId
from passel.core.llm import lane_name
from passel.services import files
from passel.services.deps import Caller, Deps, require_own
from passel.services.files import KnownFiles
from passel.services.sessions import seal_secrets, secret_problem, unknown_option
from passel.store import agents as agent_store
from passel.store import batches as store
from passel.store import sessions as session_store
from passel.store.agents import Agent, Version
from passel.store.batches import Batch, BatchWriter, Item, NewItem
from passel.store.database import Row

_CHUNK = 1000
_CANCEL_AT_ONCE = 2000


@dataclass(frozen=True, slots=True)
class ItemRequest:
    agent_id: str
    version_id: str | None
    llm_id: str | None
    metadata: dict[str, str]
    secrets: dict[str, str] = field(repr=False)
    content: list[dict[str, Any]]
    message_metadata: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Made:
    """`replayed` when the idempotency key was known: then nothing new was made."""

    batch: Batch
    replayed: bool


async def find_by_key(deps: Deps, caller: Caller, key: str) -> Batch | None:
    async with deps.db.read() as c:
        return await store.find_batch_by_key(c, caller.org_id, key)


async def create(
    deps: Deps, caller: Caller, items: Sequence[ItemRequest], digest: str, key: str | None, max_concurrency: int | None
) -> Made:
    if key is not None and (batch := await find_by_key(deps, caller, key)):
        return Made(batch, replayed=True)
    if not items:
        raise Unprocessable("items must hold at least one item", field="items")
    plan = _Plan(deps, caller)
    for index, item in enumerate(items):
        await plan.learn(index, item)
    return await _write(deps, caller, plan, lambda: iter(items), digest, key, max_concurrency)


async def create_from_lines(
    deps: Deps,
    caller: Caller,
    body: AsyncIterable[bytes],
    parse: Callable[[int, bytes], ItemRequest],
    key: str | None,
    max_concurrency: int | None,
) -> Made:
    """`body` is NDJSON in chunks of any size; `parse` turns one line into a request or raises `Unprocessable`."""
    if key is not None and (batch := await find_by_key(deps, caller, key)):
        return Made(batch, replayed=True)
    plan = _Plan(deps, caller)
    digest = hashlib.sha256()
    count = 0
    with _spool() as spool:
        async for lines in _line_groups(body, deps):
            for line in lines:
                if count == deps.limits.stream_items:
                    raise TooLarge(f"a stream may have {deps.limits.stream_items} items")
                request = parse(count, line)
                await plan.learn(count, request)
                digest.update(line)
                spool.write(_pack(request))
                count += 1
            await asyncio.sleep(0)  # other requests have their turn between groups
        if count == 0:
            raise Unprocessable("the body holds no items: send one JSON object a line", field="items")

        def again() -> Iterator[ItemRequest]:
            spool.seek(0)
            return map(_unpack, spool)

        return await _write(deps, caller, plan, again, digest.hexdigest(), key, max_concurrency)


def _pack(item: ItemRequest) -> bytes:
    """A checked item as one line, so that the second pass need not check it again."""
    fields = [item.agent_id, item.version_id, item.llm_id, item.metadata, item.secrets, item.content, item.message_metadata]
    return orjson.dumps(fields, option=orjson.OPT_APPEND_NEWLINE)


def _unpack(line: bytes) -> ItemRequest:
    return ItemRequest(*orjson.loads(line))


@contextmanager
def _spool() -> Generator[IO[bytes]]:
    try:
        with tempfile.TemporaryFile(prefix="passel-batch-") as file:
            yield file
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise  # the database's, not the file's
        raise Unavailable("the server's disk has no room to take the batch in") from error


async def _line_groups(body: AsyncIterable[bytes], deps: Deps) -> AsyncIterator[list[bytes]]:
    """Complete lines, as they come in; blank ones are dropped."""
    rest, total = b"", 0
    async for chunk in body:
        total += len(chunk)
        if total > deps.limits.stream_bytes:
            raise TooLarge(f"a stream may have {deps.limits.stream_bytes} bytes")
        *lines, rest = (rest + chunk).split(b"\n")
        if len(rest) > deps.limits.stream_line_bytes:
            raise TooLarge(f"a line may have {deps.limits.stream_line_bytes} bytes")
        yield [line for line in lines if line.strip()]
    if rest.strip():
        yield [rest]


class _Plan:
    """What the first pass learns, and the second builds rows with."""

    def __init__(self, deps: Deps, caller: Caller) -> None:
        self._deps, self._caller = deps, caller
        self.agent: Agent | None = None
        self._versions: dict[str, Version | None] = {}
        self._lane_names: set[str] = set()
        self._file_ids: set[str] = set()
        self._lanes: dict[str, LaneId] = {}
        self._files = KnownFiles(caller.org_id, {})

    async def learn(self, index: int, item: ItemRequest) -> None:
        if self.agent is None:
            self.agent = await self._find_agent(item.agent_id)
        elif item.agent_id != self.agent.id:
            where = f"items[{index}].agent_id"
            raise Unprocessable(f"{where} is another agent than the first item's: a batch has one agent", field=where)
        version_id = item.version_id or self.agent.active_version_id
        if version_id not in self._versions:
            async with self._deps.db.read() as c:
                found = await agent_store.find_version(c, version_id)
            self._versions[version_id] = found if found and found.agent_id == self.agent.id else None
        version = self._versions[version_id]
        if version is not None and (item.llm_id is None or item.llm_id in version.spec.llms):
            self._lane_names.add(lane_name(version.spec.option(item.llm_id), None, item.secrets))
        self._file_ids |= files.named_files(item.content)

    async def _find_agent(self, agent_id: str) -> Agent:
        async with self._deps.db.read() as c:
            agent = await agent_store.find_agent(c, agent_id)
        require_own(self._deps, self._caller, agent and agent.org_id, "agent")
        if agent is None or agent.deleted_at:
            raise NotFound("this agent is deleted")
        return agent

    async def prepare(self) -> None:
        """Make lanes that are new, and read what the files are."""
        async with self._deps.db.write() as c:
            self._lanes = await session_store.ensure_lanes(c, self._caller.org_id, sorted(self._lane_names))
            self._files = await files.look_up(c, self._caller.org_id, sorted(self._file_ids))

    def build(self, index: int, item: ItemRequest) -> NewItem:
        assert self.agent is not None
        version = self._versions[item.version_id or self.agent.active_version_id]
        problem = self._problem(item, version)
        if problem is not None or version is None:
            return _failed_item(index, item, problem or "")
        session_id = self._deps.ids.session()
        return NewItem(
            index=index,
            session_id=session_id,
            message_id=self._deps.ids.message(),
            lane_id=self._lanes[lane_name(version.spec.option(item.llm_id), None, item.secrets)],
            version_id=version.id,
            llm_id=item.llm_id,
            metadata=item.metadata,
            content=item.content,
            message_metadata=item.message_metadata,
            secrets=seal_secrets(self._deps, session_id, item.secrets, None),
        )

    def _problem(self, item: ItemRequest, version: Version | None) -> str | None:
        if version is None:
            return f"the agent has no version {item.version_id}"
        if item.llm_id is not None and item.llm_id not in version.spec.llms:
            return unknown_option(version, item.llm_id)
        if problem := secret_problem(item.secrets, self._deps.limits):
            return problem
        bad_file = self._files.problem(item.content)
        return bad_file[1] if bad_file else None


def _failed_item(index: int, item: ItemRequest, error: str) -> NewItem:
    asked = {"version_id": item.version_id, "llm_id": item.llm_id, "metadata": item.metadata}
    return NewItem(index, None, None, None, None, item.llm_id, item.metadata, [], {}, None, error, asked)


async def _write(
    deps: Deps,
    caller: Caller,
    plan: _Plan,
    items: Callable[[], Iterator[ItemRequest]],
    digest: str,
    key: str | None,
    max_concurrency: int | None,
) -> Made:
    await plan.prepare()
    assert plan.agent is not None
    batch_id = deps.ids.batch()
    async with deps.db.write() as c:
        agent = await agent_store.lock_agent(c, plan.agent.id)
        if agent is None or agent.deleted_at:
            raise NotFound("this agent is deleted")
        writer = BatchWriter(c, caller.org_id, batch_id, AgentId(agent.id), deps.now())
        fresh = await writer.begin(key, digest, max_concurrency)
        if fresh:
            await _fill(writer, plan, items())
            await writer.end(deps.capacity)
            batch = await store.find_batch(c, batch_id)
        else:
            batch = await store.find_batch_by_key(c, caller.org_id, key or "")
    assert batch is not None
    return Made(batch, replayed=not fresh)


async def _fill(writer: BatchWriter, plan: _Plan, items: Iterator[ItemRequest]) -> None:
    """Build a chunk of rows in a thread while PostgreSQL takes in the one before: both have work all the time, and
    the loop stays free for other requests."""
    numbered = enumerate(items)

    def build() -> list[NewItem]:
        return [plan.build(index, item) for index, item in islice(numbered, _CHUNK)]

    chunk = await asyncio.to_thread(build)
    while chunk:
        # both are waited for even if one fails: the connection and the file are still in use until then
        following, added = await asyncio.gather(asyncio.to_thread(build), writer.add(chunk), return_exceptions=True)
        for outcome in (added, following):
            if isinstance(outcome, BaseException):
                raise outcome
        assert isinstance(following, list)
        chunk = following


async def get(deps: Deps, caller: Caller, batch_id: str) -> Batch:
    async with deps.db.read() as c:
        return await _own(deps, caller, c, batch_id)


async def _own(deps: Deps, caller: Caller, c: store.ReadConnection, batch_id: str) -> Batch:
    batch = await store.find_batch(c, batch_id)
    require_own(deps, caller, batch and batch.org_id, "session batch")
    assert batch is not None
    return batch


async def list_batches(deps: Deps, caller: Caller, before: str | None, limit: int) -> list[Batch]:
    async with deps.db.read() as c:
        return await store.list_batches(c, caller.org_id, before, limit)


async def read_items(deps: Deps, caller: Caller, batch_id: str, write: Callable[[Batch, list[Item]], None]) -> Batch:
    """Give `write` the batch's items in pages, all of one moment: the counts fit the items. Nothing of a client is
    waited for in between, since that would hold a connection and its snapshot for as long as the client likes."""
    async with deps.db.snapshot() as c:
        batch = await _own(deps, caller, c, batch_id)
        after = -1
        while page := await store.list_items(c, batch_id, after, _CHUNK):
            write(batch, page)
            after = page[-1].index
    return batch


async def read_results(deps: Deps, caller: Caller, batch_id: str) -> AsyncIterator[Batch | list[tuple[Item, Row]]]:
    """First the batch, then its items with their texts and bills in pages, each page of its own moment."""
    yield await get(deps, caller, batch_id)
    after = -1
    while True:
        async with deps.db.read() as c:
            page = await store.list_results(c, batch_id, after, _CHUNK)
        if not page:
            return
        yield page
        after = page[-1][0].index


async def cancel(deps: Deps, caller: Caller, batch_id: str) -> Batch:
    """Ends what has not ended. Admission stops with this call; of a large batch a worker ends the rest in steps."""
    async with deps.db.write() as c:
        await _own(deps, caller, c, batch_id)
        await store.request_cancel(c, batch_id, deps.now())
    ended = 0
    while ended < _CANCEL_AT_ONCE:
        async with deps.db.write() as c:
            done = await store.cancel_some(c, batch_id, 500, deps.now(), deps.capacity)
        if not done:
            break
        ended += done
    return await get(deps, caller, batch_id)
