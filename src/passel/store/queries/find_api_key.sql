select org_id, id, label, prefix, scopes, device_name, created_at, last_used_at, revoked_at from api_key where secret_hash = $1
