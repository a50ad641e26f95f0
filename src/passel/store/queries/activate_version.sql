update agent set active_version_id = $2, name = $3 where id = $1 and deleted_at is null
returning org_id, id, name, active_version_id, created_at, deleted_at
