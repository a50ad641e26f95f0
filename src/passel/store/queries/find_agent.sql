select org_id, id, name, active_version_id, created_at, deleted_at from agent where id = $1
