select org_id, id, name, active_version_id, created_at, deleted_at from agent where org_id = $1 and name = $2 and deleted_at is null
