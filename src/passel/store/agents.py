"""Source snapshots, agents and versions."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from passel.core.agent.ids import AgentId, SnapshotId, VersionId
from passel.core.agent.spec import AgentSpec
from passel.core.ids import OrgId
from passel.store.database import ReadConnection, Row, WriteConnection


@dataclass(frozen=True, slots=True)
class Snapshot:
    """`sha256` and `size_bytes` are what was announced of the packed archive. `status` is `pending_upload`, `ready` or
    `failed`; `blob_path` is None before an upload."""

    org_id: OrgId
    id: SnapshotId
    sha256: str
    size_bytes: int
    status: str
    failure_reason: str | None
    expires_at: datetime
    blob_path: str | None


@dataclass(frozen=True, slots=True)
class Agent:
    org_id: OrgId
    id: AgentId
    name: str
    active_version_id: VersionId
    created_at: datetime
    deleted_at: datetime | None


@dataclass(frozen=True, slots=True)
class Version:
    """`number` counts the versions of an agent from 1. `archive_sha256` and `size_bytes` are those of the packed
    bundle."""

    org_id: OrgId
    id: VersionId
    agent_id: AgentId
    number: int
    snapshot_id: SnapshotId
    archive_sha256: str
    size_bytes: int
    spec: AgentSpec
    created_at: datetime


async def insert_snapshot(c: WriteConnection, snapshot: Snapshot, metadata: dict[str, Any], now: datetime) -> None:
    """As one without an upload, whatever its fields say. `metadata` is kept and not looked at."""
    await c.execute(
        "insert_snapshot", snapshot.org_id, snapshot.id, snapshot.sha256, snapshot.size_bytes, metadata, now, snapshot.expires_at
    )


async def find_snapshot(c: ReadConnection, snapshot_id: str) -> Snapshot | None:
    row = await c.fetchrow("find_snapshot", snapshot_id)
    return Snapshot(**row) if row else None


async def upload_to_snapshot_if_pending(c: WriteConnection, snapshot_id: str, blob_path: str) -> bool:
    """The newest upload counts. False when the snapshot is settled or gone."""
    return await c.fetchval("upload_to_snapshot", snapshot_id, blob_path) is not None


async def settle_snapshot_if_pending(
    c: WriteConnection, snapshot_id: str, status: str, reason: str | None, blob_path: str | None
) -> Snapshot | None:
    """`blob_path` is the upload that was looked at. None when the snapshot is settled or gone, or another upload has
    arrived."""
    row = await c.fetchrow("settle_snapshot", snapshot_id, status, reason, blob_path)
    return Snapshot(**row) if row else None


async def delete_snapshot_if_unused(c: WriteConnection, snapshot_id: str) -> bool:
    """False while a version is made of it, or when it is gone."""
    return await c.fetchval("delete_snapshot", snapshot_id) is not None


async def fail_snapshots_if_stale(c: WriteConnection, before: datetime, limit: int) -> list[Snapshot]:
    """What expired before that moment without having become ready, and can become nothing any more then."""
    return [Snapshot(**row) for row in await c.fetch("fail_stale_snapshots", before, limit)]


async def delete_snapshots_if_failed(c: WriteConnection, snapshot_ids: Sequence[str]) -> None:
    await c.execute("delete_failed_snapshots", snapshot_ids)


async def lock_agent_name(c: WriteConnection, org_id: OrgId, name: str) -> None:
    """Publishing under one name is one at a time; the lock ends with the transaction."""
    await c.fetchval("lock_agent_name", org_id, name)


async def find_agent_by_name(c: ReadConnection, org_id: OrgId, name: str) -> Agent | None:
    """Deleted ones are not found: their names are free."""
    return _agent(await c.fetchrow("find_agent_by_name", org_id, name))


async def find_agent(c: ReadConnection, agent_id: str) -> Agent | None:
    """Deleted ones too."""
    return _agent(await c.fetchrow("find_agent", agent_id))


async def lock_agent(c: WriteConnection, agent_id: str) -> Agent | None:
    """Deleted ones too. The lock is shared with other writers of sessions and keeps a deletion away."""
    return _agent(await c.fetchrow("lock_agent", agent_id))


async def insert_agent(c: WriteConnection, agent: Agent) -> None:
    await c.execute("insert_agent", agent.org_id, agent.id, agent.name, agent.active_version_id, agent.created_at)


async def activate_version(c: WriteConnection, agent_id: str, version_id: str, name: str) -> Agent | None:
    """The agent takes the name, too. None when it is deleted or not there."""
    return _agent(await c.fetchrow("activate_version", agent_id, version_id, name))


async def list_agents(c: ReadConnection, org_id: OrgId, after: str | None, limit: int | None) -> list[Agent]:
    """Those that are not deleted, by id, from the one behind `after`; `limit` None means all."""
    return [Agent(**row) for row in await c.fetch("list_agents", org_id, after, limit)]


async def delete_agent(c: WriteConnection, agent_id: str, now: datetime) -> Agent | None:
    """Soft. One that is deleted already keeps its moment."""
    return _agent(await c.fetchrow("delete_agent", agent_id, now))


async def insert_version(c: WriteConnection, version: Version) -> None:
    """Under a lock that makes the caller the only one to publish to the agent. `version.number` is not looked at: the
    agent's next one is taken."""
    await c.execute(
        "insert_version",
        version.org_id,
        version.id,
        version.agent_id,
        version.snapshot_id,
        version.archive_sha256,
        version.size_bytes,
        version.spec.to_json(),
        version.created_at,
    )


async def find_version(c: ReadConnection, version_id: str) -> Version | None:
    row = await c.fetchrow("find_version", version_id)
    return _version(row) if row else None


async def list_versions(c: ReadConnection, agent_id: str) -> list[Version]:
    """Oldest first."""
    return [_version(row) for row in await c.fetch("list_versions", agent_id)]


def _agent(row: Row | None) -> Agent | None:
    return Agent(**row) if row else None


def _version(row: Row) -> Version:
    fields: dict[str, Any] = {**row, "spec": AgentSpec.from_json(row["spec"])}
    return Version(**fields)
