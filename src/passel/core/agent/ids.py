"""Identifiers of what only agents have."""

from typing import NewType

SnapshotId = NewType("SnapshotId", str)
AgentId = NewType("AgentId", str)
VersionId = NewType("VersionId", str)

SNAPSHOT, AGENT, VERSION = "src", "agt", "ver"  # the prefixes of new ones
