select org_id, id, sha256, size_bytes, status, failure_reason, expires_at from source_snapshot where id = $1
