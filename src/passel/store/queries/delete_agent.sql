update agent set deleted_at = coalesce(deleted_at, $2) where id = $1
returning org_id, id, name, active_version_id, created_at, deleted_at
