"""How the items of a batch of agent sessions are planned: which versions, lanes and files they need, what is wrong
with single ones."""

from dataclasses import dataclass, field
from typing import Any

import orjson

from passel.core.agent import events as agent_events
from passel.core.agent.follow_up import FollowUp
from passel.core.agent.spec import SessionSpec
from passel.core.errors import NotFound, Unprocessable
from passel.core.llm.options import lane_name
from passel.services import files
from passel.services.agents import checks
from passel.services.agents.sessions import KIND
from passel.services.deps import Caller, Deps, require_own
from passel.services.files import KnownFiles
from passel.services.planning import Planned, Refused
from passel.store import agents as store
from passel.store.agents import Agent, Version
from passel.store.database import WriteConnection

_SPOOL = "batch item"  # what secrets of items are sealed for, as long as they have no session


@dataclass(frozen=True, slots=True)
class ItemRequest:
    """`problem` is what its form is at fault with: then the item fails, and the batch goes on."""

    agent_id: str
    version_id: str | None
    llm_id: str | None
    metadata: dict[str, str]
    secrets: dict[str, str] = field(repr=False)
    content: list[dict[str, Any]]
    message_metadata: dict[str, Any]
    problem: str | None = None


class AgentPlanner:
    """Plans one request. A batch has one agent. `follow_up` is what is begun with each answer."""

    kind = KIND

    def __init__(self, deps: Deps, caller: Caller) -> None:
        self._deps, self._caller = deps, caller
        self._agent: Agent | None = None
        self._versions: dict[str, Version | None] = {}
        self._lanes: set[str] = set()
        self._file_ids: set[str] = set()
        self._files = KnownFiles(caller.org_id, {})
        self.follow_up: FollowUp | None = None

    @property
    def subject_id(self) -> str | None:
        return self._agent.id if self._agent else None

    async def take_subject(self, subject_id: str | None) -> None:
        """Raises `NotFound` when the agent is not there or deleted, `Forbidden` when it is another organisation's."""
        self._agent = await self._find_agent(subject_id or "")

    async def learn(self, index: int, item: ItemRequest) -> None:
        """The first item's agent is the batch's. Raises `NotFound` or `Forbidden` for it, and `Unprocessable` for an
        item of another one (decision 24 of the `dari` contract)."""
        if self._agent is None:
            self._agent = await self._find_agent(item.agent_id)
        elif item.agent_id != self._agent.id:
            where = f"items[{index}].agent_id"
            raise Unprocessable(f"{where} is another agent than the first item's: a batch has one agent", field=where)
        version_id = item.version_id or self._agent.active_version_id
        if version_id not in self._versions:
            async with self._deps.db.read() as c:
                found = await store.find_version(c, version_id)
            self._versions[version_id] = found if found and found.agent_id == self._agent.id else None
        version = self._versions[version_id]
        if version is not None and (item.llm_id is None or item.llm_id in version.spec.llms):
            self._lanes.add(lane_name(version.spec.option(item.llm_id), None, item.secrets))
        self._file_ids |= files.named_files(item.content)

    async def _find_agent(self, agent_id: str) -> Agent:
        async with self._deps.db.read() as c:
            agent = await store.find_agent(c, agent_id)
        require_own(self._deps, self._caller, agent and agent.org_id, "agent")
        if agent is None or agent.deleted_at:
            raise NotFound("this agent is deleted")
        return agent

    async def prepare(self) -> list[str]:
        return sorted(self._lanes)

    async def lock(self, c: WriteConnection) -> None:
        """The agent's lock is shared with other writers of sessions and keeps a deletion away, the files named are kept.
        Raises `NotFound` when the agent is deleted."""
        self._files = await files.hold(c, self._caller.org_id, self._file_ids)
        agent = await store.lock_agent(c, self._agent.id) if self._agent else None
        if self._agent and (agent is None or agent.deleted_at):
            raise NotFound("this agent is deleted")

    def build(self, index: int, item: ItemRequest) -> Planned | Refused:
        assert self._agent is not None
        version = self._versions[item.version_id or self._agent.active_version_id]
        problem = self._problem(item, version)
        if problem is not None or version is None:
            return Refused(problem or "", self._asked(item), self._named(item))
        return Planned(
            subject_id=self._agent.id,
            spec=SessionSpec(version.id, item.llm_id, follow_up=self.follow_up).to_json(),
            lane=lane_name(version.spec.option(item.llm_id), None, item.secrets),
            metadata=item.metadata,
            request=agent_events.request(item.content, item.message_metadata),
            secrets=checks.session_secrets(item.secrets, None),
            file_ids=self._named(item),
        )

    def _named(self, item: ItemRequest) -> tuple[str, ...]:
        """The files that an item names and that are there. One that cannot be made keeps them too: it may be tried again."""
        return tuple(file_id for file_id in files.named_files(item.content) if file_id in self._files.files)

    def _problem(self, item: ItemRequest, version: Version | None) -> str | None:
        if item.problem is not None:
            return item.problem
        if version is None:
            return f"the agent has no version {item.version_id}"
        limits = self._deps.limits
        wrong = [
            *checks.option_problems(version, item.llm_id),
            *checks.secret_problems(item.secrets, limits),
            *checks.metadata_problems(item.metadata, limits),
        ] or self._files.problems(item.content)
        return wrong[0].msg if wrong else None

    def _asked(self, item: ItemRequest) -> dict[str, Any]:
        """As the row of an item that could not be made keeps it."""
        return {
            "agent_id": item.agent_id,
            "version_id": item.version_id,
            "llm_id": item.llm_id,
            "metadata": item.metadata,
            "secrets": self._sealed(item.secrets),
            "content": item.content,
            "message_metadata": item.message_metadata,
            "problem": item.problem,
        }

    def _sealed(self, secrets: dict[str, str]) -> str | None:
        return self._deps.vault.seal(secrets, _SPOOL).hex() if secrets else None

    def _opened(self, sealed: str | None) -> dict[str, str]:
        return self._deps.vault.open(bytes.fromhex(sealed), _SPOOL) if sealed else {}

    def again(self, asked: dict[str, Any]) -> ItemRequest:
        kept: dict[str, Any] = {**asked, "secrets": self._opened(asked["secrets"])}
        return ItemRequest(**kept)

    def pack(self, item: ItemRequest) -> bytes:
        fields = [item.agent_id, item.version_id, item.llm_id, item.metadata, self._sealed(item.secrets), item.content]
        return orjson.dumps([*fields, item.message_metadata, item.problem], option=orjson.OPT_APPEND_NEWLINE)

    def identity(self, item: ItemRequest, line: bytes) -> bytes:
        if not item.secrets:
            return line
        plain = [item.secrets, item.agent_id, item.version_id, item.llm_id, item.metadata, item.content, item.message_metadata]
        return self._deps.vault.sign(orjson.dumps(plain).decode()).encode()

    def unpack(self, line: bytes) -> ItemRequest:
        fields = orjson.loads(line)
        fields[4] = self._opened(fields[4])
        return ItemRequest(*fields)
