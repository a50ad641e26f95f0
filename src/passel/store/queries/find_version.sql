select org_id, id, agent_id, number, snapshot_id, archive_sha256, size_bytes, spec, created_at from agent_version where id = $1
