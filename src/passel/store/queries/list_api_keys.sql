select org_id, id, label, prefix, scopes, device_name, created_at, last_used_at, revoked_at from api_key where org_id = $1 order by created_at
