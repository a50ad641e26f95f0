-- Under the agent's lock, or of an agent that nobody else sees yet: the next number is this transaction's alone.
insert into agent_version (org_id, id, agent_id, number, snapshot_id, archive_sha256, size_bytes, spec, created_at)
select $1, $2, $3, coalesce(max(number), 0) + 1, $4, $5, $6, $7, $8 from agent_version where agent_id = $3
