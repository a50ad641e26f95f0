update api_key set revoked_at = coalesce(revoked_at, $3) where org_id = $1 and id = $2
returning org_id, id, label, prefix, scopes, device_name, created_at, last_used_at, revoked_at
