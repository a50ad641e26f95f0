"""Source snapshots, agents and their versions: from an uploaded archive to something that can be run."""

import asyncio
import hashlib
import re
import secrets
from collections.abc import AsyncIterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from passel.core.agent import ids as agent_ids
from passel.core.agent import manifest as manifests
from passel.core.agent.ids import AgentId, SnapshotId, VersionId
from passel.core.agent.manifest import Manifest
from passel.core.agent.spec import AgentSpec
from passel.core.errors import Conflict, Forbidden, Invalid, NotFound, TooLarge, Unprocessable
from passel.core.llm.options import LOCAL
from passel.core.text import require_storable
from passel.models.local import is_path
from passel.network import leads_inside
from passel.services.agents.bundles import BundleFile, unpack
from passel.services.agents.warnings import publish_warnings
from passel.services.deps import Caller, Deps, require_own
from passel.store import accounts as account_store
from passel.store import agents as store
from passel.store.agents import Agent, Snapshot, Version
from passel.store.database import WriteConnection

UPLOAD_TIME = timedelta(minutes=15)
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Published:
    """`created` when the agent is new. `version.number` is 0: the database gives out the real one. `warnings` are
    sentences (`publish_warnings`)."""

    agent: Agent
    version: Version
    created: bool
    warnings: tuple[str, ...]


async def reserve_snapshot(deps: Deps, caller: Caller, sha256: str, size_bytes: int, metadata: dict[str, Any]) -> Snapshot:
    """`sha256` in lower-case hexadecimal and `size_bytes` are those of the packed archive, which can be uploaded for 15
    minutes (decision 10 of the `dari` contract). `metadata` is kept and not looked at. Raises `Unprocessable` for a bad
    digest or size, `TooLarge` past the limit."""
    if not _SHA256.fullmatch(sha256):
        raise Unprocessable("sha256 must be 64 lower-case hexadecimal digits", field="sha256")
    if size_bytes <= 0:
        raise Unprocessable("size_bytes must be positive", field="size_bytes")
    if size_bytes > deps.limits.bundle_bytes:
        raise TooLarge(f"size_bytes is {size_bytes}; a bundle may have {deps.limits.bundle_bytes} bytes", field="size_bytes")
    snapshot = Snapshot(
        caller.org_id,
        SnapshotId(deps.ids.new(agent_ids.SNAPSHOT)),
        sha256,
        size_bytes,
        "pending_upload",
        None,
        deps.now() + UPLOAD_TIME,
        None,
    )
    async with deps.db.write() as c:
        await store.insert_snapshot(c, snapshot, metadata, deps.now())
    return snapshot


def upload_token(deps: Deps, snapshot: Snapshot) -> str:
    """The upload URL carries its own permission: clients send no key with it."""
    return deps.vault.sign(f"upload:{snapshot.id}")


async def upload_snapshot(deps: Deps, snapshot_id: str, token: str, body: AsyncIterable[bytes]) -> None:
    """`token` is that of `upload_token`. May be repeated until the snapshot is finalized, which looks at the newest
    upload. Raises `Forbidden` for another token, `NotFound`, `Conflict` when the snapshot is settled or expired, and
    `TooLarge`."""
    if not deps.vault.verify(f"upload:{snapshot_id}", token):
        raise Forbidden("this upload URL is not valid")
    async with deps.db.read() as c:
        snapshot = await store.find_snapshot(c, snapshot_id)
    if snapshot is None:
        raise NotFound("no such source snapshot")
    if snapshot.status != "pending_upload":
        raise Conflict(f"this source snapshot is {snapshot.status} already")
    if deps.now() > snapshot.expires_at:
        raise Conflict("this upload URL has expired: reserve a new source snapshot")
    data = bytearray()
    async for chunk in body:
        data += chunk
        if len(data) > deps.limits.bundle_bytes:
            raise TooLarge(f"a bundle may have {deps.limits.bundle_bytes} bytes")
    path = f"snapshots/{snapshot.org_id}/{snapshot.id}/{secrets.token_hex(8)}.tar.gz"
    await deps.blobs.put(path, bytes(data))
    async with deps.db.write() as c:
        taken = await store.upload_to_snapshot_if_pending(c, snapshot_id, path)
    if not taken:
        await deps.blobs.delete(path)
        raise Conflict("this source snapshot was finalized meanwhile")


async def _own_snapshot(deps: Deps, caller: Caller, snapshot_id: str) -> Snapshot:
    async with deps.db.read() as c:
        snapshot = await store.find_snapshot(c, snapshot_id)
    require_own(deps, caller, snapshot and snapshot.org_id, "source snapshot")
    assert snapshot is not None
    return snapshot


async def finalize_snapshot(deps: Deps, caller: Caller, snapshot_id: str) -> Snapshot:
    """Check what was uploaded. Repeats give the first answer; before an upload it is a conflict, so that the client can
    still upload (decision 11 of the `dari` contract). An archive that is not what was announced makes the snapshot
    `failed`, which is no error. Raises `NotFound`, `Forbidden` and `Conflict`."""
    snapshot = await _own_snapshot(deps, caller, snapshot_id)
    if snapshot.status != "pending_upload":
        return snapshot
    if snapshot.blob_path is None:
        if deps.now() <= snapshot.expires_at:
            raise Conflict("nothing was uploaded yet: PUT the archive to upload_url first")
        status, reason = "failed", "expired"
    else:
        status, reason = _judge(snapshot, await deps.blobs.get(snapshot.blob_path))
    async with deps.db.write() as c:
        settled = await store.settle_snapshot_if_pending(c, snapshot_id, status, reason, snapshot.blob_path)
    if settled is None:
        settled = await _own_snapshot(deps, caller, snapshot_id)
        if settled.status == "pending_upload":
            raise Conflict("another upload arrived while this one was checked: finalize again")
    return settled


def _judge(snapshot: Snapshot, archive: bytes) -> tuple[str, str | None]:
    if len(archive) != snapshot.size_bytes:
        return "failed", f"Uploaded archive has {len(archive)} bytes instead of {snapshot.size_bytes}."
    if hashlib.sha256(archive).hexdigest() != snapshot.sha256:
        return "failed", "Uploaded archive checksum did not match."
    return "ready", None


async def delete_snapshot(deps: Deps, caller: Caller, snapshot_id: str) -> None:
    """The archive goes too. Raises `NotFound`, also when repeated, `Forbidden`, and `Conflict` while a version is made
    of it (decision 13 of the `dari` contract)."""
    snapshot = await _own_snapshot(deps, caller, snapshot_id)
    async with deps.db.write() as c:
        if not await store.delete_snapshot_if_unused(c, snapshot_id):
            raise Conflict("in use")
    if snapshot.blob_path is not None:
        await deps.blobs.delete(snapshot.blob_path)


async def _bundle(deps: Deps, snapshot: Snapshot) -> dict[str, BundleFile]:
    if snapshot.status != "ready":
        raise Conflict(f"this source snapshot is {snapshot.status}: upload and finalize it first")
    archive = await deps.blobs.get(snapshot.blob_path or "")
    if hashlib.sha256(archive).hexdigest() != snapshot.sha256:
        raise Conflict("the stored archive is not the one that was finalized: publish again")
    return await asyncio.to_thread(unpack, archive, deps.limits)


async def read_manifest(deps: Deps, caller: Caller, snapshot_id: str) -> Manifest:
    """The checked manifest of a finalized snapshot. Raises `NotFound`, `Forbidden`, `Conflict` when the snapshot is not
    `ready`, and `Invalid` for what the bundle or its manifest is at fault with."""
    snapshot = await _own_snapshot(deps, caller, snapshot_id)
    files = await _bundle(deps, snapshot)
    manifest = await asyncio.to_thread(manifests.parse, {path: file.data for path, file in files.items()}, deps.limits)
    await _check_urls(deps, manifest.spec)
    return manifest


async def _check_urls(deps: Deps, spec: AgentSpec) -> None:
    if deps.allow_private_urls:
        return
    for key, option in spec.llms.items():
        where = f"llm.options.{key}" if key else "llm"
        if option.provider == LOCAL and is_path(option.model):
            raise Invalid(
                f"{where}.model names a file of the server; set PASSEL_ALLOW_PRIVATE_URLS=1 on the server to allow it",
                field=f"{where}.model",
            )
        if option.base_url and await leads_inside(urlsplit(option.base_url).hostname or ""):
            raise Invalid(
                f"{where}.base_url leads to a private address; the server allows that only while it listens on loopback or with PASSEL_ALLOW_PRIVATE_URLS=1",
                field=f"{where}.base_url",
            )


async def publish(deps: Deps, caller: Caller, snapshot_id: str, agent_id: str | None) -> Published:
    """Make a version from a snapshot and activate it: of `agent_id`, or of the agent that the manifest names, which is
    made when there is none. The agent takes the manifest's name. The same snapshot may be published again, as another
    version (decisions 12, 14 and 15 of the `dari` contract).

    Either a usable active version exists afterwards, or nothing has changed (decision 16). Raises what `read_manifest`
    raises; for the agent `NotFound`, also when it is deleted, and `Forbidden`; `Conflict` when the name is another
    agent's; `Invalid` when a credential is not stored.
    """
    snapshot = await _own_snapshot(deps, caller, snapshot_id)
    manifest = await read_manifest(deps, caller, snapshot_id)
    await _require_credentials(deps, caller, manifest.spec)
    async with deps.db.write() as c:
        await store.lock_agent_name(c, caller.org_id, manifest.spec.name)
        agent = await _target(deps, caller, c, agent_id, manifest.spec.name)
        if agent is not None:
            await store.lock_agent_name(c, caller.org_id, agent.id)  # the manifest may name it otherwise than the one before
        version = Version(
            caller.org_id, VersionId(deps.ids.new(agent_ids.VERSION)), agent.id if agent else AgentId(deps.ids.new(agent_ids.AGENT)), 0, snapshot.id,
            snapshot.sha256, snapshot.size_bytes, manifest.spec, deps.now(),
        )  # fmt: skip
        created = agent is None
        if agent is None:
            agent = Agent(caller.org_id, version.agent_id, manifest.spec.name, version.id, deps.now(), None)
            await store.insert_agent(c, agent)
        await store.insert_version(c, version)
        active = await store.activate_version(c, agent.id, version.id, manifest.spec.name)
        if active is None:
            raise NotFound("this agent is deleted")
    return Published(active, version, created, tuple(publish_warnings(deps, manifest.spec)))


async def _target(deps: Deps, caller: Caller, c: WriteConnection, agent_id: str | None, name: str) -> Agent | None:
    by_name = await store.find_agent_by_name(c, caller.org_id, name)
    if agent_id is None:
        return by_name
    agent = await store.find_agent(c, agent_id)
    require_own(deps, caller, agent and agent.org_id, "agent")
    if agent is None or agent.deleted_at:
        raise NotFound("this agent is deleted")
    if by_name is not None and by_name.id != agent.id:
        raise Conflict(f"the manifest names {name}, which is another agent ({by_name.id}): rename it or publish to that one")
    return agent


async def _require_credentials(deps: Deps, caller: Caller, spec: AgentSpec) -> None:
    wanted = sorted({option.api_key_secret for option in spec.llms.values() if option.api_key_secret})
    async with deps.db.read() as c:
        found = await account_store.find_credentials(c, caller.org_id, wanted)
    missing = [name for name in wanted if name not in found]
    if missing:
        raise Invalid(
            f"the credential {missing[0]} that llm.api_key_secret names is not stored: `passel credentials set {missing[0]}`",
            field="llm.api_key_secret",
        )


async def get_agent(deps: Deps, caller: Caller, agent_id: str) -> Agent:
    """Deleted ones too. Raises `NotFound` or `Forbidden`."""
    async with deps.db.read() as c:
        agent = await store.find_agent(c, agent_id)
    require_own(deps, caller, agent and agent.org_id, "agent")
    assert agent is not None
    return agent


async def list_agents(deps: Deps, caller: Caller, after: str | None, limit: int | None) -> list[Agent]:
    """Those that are not deleted, oldest first, from the one behind the id `after`; `limit` None means all (decision 28
    of the `dari` contract)."""
    async with deps.db.read() as c:
        return await store.list_agents(c, caller.org_id, after, limit)


async def delete_agent(deps: Deps, caller: Caller, agent_id: str) -> Agent:
    """Soft and repeatable. Queued messages still run to their end (decision 62 of the `dari` contract). Raises
    `NotFound` or `Forbidden`."""
    await get_agent(deps, caller, agent_id)
    async with deps.db.write() as c:
        agent = await store.delete_agent(c, agent_id, deps.now())
    assert agent is not None
    return agent


async def list_versions(deps: Deps, caller: Caller, agent_id: str) -> tuple[Agent, list[Version]]:
    """Oldest version first; the agent may be deleted. Raises `NotFound` or `Forbidden`."""
    agent = await get_agent(deps, caller, agent_id)
    async with deps.db.read() as c:
        return agent, await store.list_versions(c, agent_id)


async def get_version(deps: Deps, caller: Caller, agent_id: str, version_id: str) -> tuple[Agent, Version]:
    """Raises `NotFound`, also for a version of another agent, or `Forbidden`."""
    agent = await get_agent(deps, caller, agent_id)
    async with deps.db.read() as c:
        version = await store.find_version(c, version_id)
    if version is None or version.agent_id != agent.id:
        raise NotFound("no such version of this agent")
    return agent, version


async def version_files(deps: Deps, caller: Caller, agent_id: str, version_id: str) -> tuple[Agent, Version, dict[str, BundleFile]]:
    """The files by their paths. Raises what `get_version` raises, and `Conflict` when the stored archive is not the one
    that was finalized."""
    agent, version = await get_version(deps, caller, agent_id, version_id)
    snapshot = await _own_snapshot(deps, caller, version.snapshot_id)
    return agent, version, await _bundle(deps, snapshot)


async def version_file(deps: Deps, caller: Caller, agent_id: str, version_id: str, path: str) -> str:
    """The file's text. Raises what `version_files` raises, `NotFound` for a path that is not in the bundle, and
    `Unprocessable` for a file that is not UTF-8."""
    _, _, files = await version_files(deps, caller, agent_id, version_id)
    require_storable(path, "path")
    if path not in files:
        raise NotFound(f"the bundle has no file {path}")
    try:
        return files[path].data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Unprocessable(f"{path} is not UTF-8 text", field="path") from error
